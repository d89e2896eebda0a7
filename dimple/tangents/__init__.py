"""Tangent fields: estimates from data, a decoder's Jacobian, a table, random subspaces; angles and decompositions."""

from dimple.tangents.decoder_jacobian import AutoencoderJacobian
from dimple.tangents.decomposition import TangentDecomposition, decompose
from dimple.tangents.global_pca import ClassPCA, GlobalPCA
from dimple.tangents.intrinsic_dimension import intrinsic_dimension
from dimple.tangents.local_pca import LocalPCA
from dimple.tangents.principal_angles import angles_between_fields, principal_angles
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tangents.tabulated import TabulatedTangents

__all__ = [
    "AutoencoderJacobian",
    "ClassPCA",
    "GlobalPCA",
    "LocalPCA",
    "RandomSubspace",
    "TabulatedTangents",
    "TangentDecomposition",
    "angles_between_fields",
    "decompose",
    "intrinsic_dimension",
    "principal_angles",
]
