"""Energy of the gradient along the manifold over that along a random subspace, after training."""

from typing import ClassVar, final

import torch
from torch import nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.protocols import TangentField
from dimple.settings import Count, settings
from dimple.tangents.decomposition import decompose
from dimple.tangents.random_subspace import RandomSubspace

NULL_DRAWS = 20


@final
@settings
class GradientEnergy(Experiment):
    """Scenes trained as they ship, with the gradient of the logit margin at held-out points of their manifolds.

    Columns: those of `measure_energies` at the end of training, and `energy_untrained`, before its first step.

    Args:
        names: built-in scenes, the parts.
        heldout: held-out points of the manifold.
    """

    version: ClassVar[int] = 1

    names: tuple[str, ...]
    heldout: Count = 200

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        rows = {}
        for name in self.names:
            prepared = prepare_scene(
                name, ["snapshots.count=2", f"data.heldout_points={self.heldout}"], seed, resources
            )
            networks = train(prepared).networks
            rows[name] = measure_energies(prepared, networks[-1])
            rows[name]["energy_untrained"] = measure_energies(prepared, networks[0])["energy"]
        return rows


def measure_energies(prepared: PreparedScene, network: nn.Module) -> Row:
    """Return the energy of the gradient along the manifold, at held-out and at training points, and along its null.

    Returns:
        `energy`, `energy_train` and `energy_random`, along random subspaces of the dimension of the manifold at the
        held-out points.
    """
    manifold = prepared.scene.require_manifold()
    boundary = Boundary(freeze(network).cpu().double())
    samples = prepared.samples
    random = [RandomSubspace(manifold.dim, prepared.scene.seed, draw) for draw in range(NULL_DRAWS)]
    null = torch.tensor([relative_energy(boundary, samples.heldout.double(), field) for field in random])
    return {
        "energy": relative_energy(boundary, samples.heldout.double(), manifold),
        "energy_train": relative_energy(boundary, samples.train.double(), manifold),
        "energy_random": float(null.mean()),
    }


def relative_energy(boundary: Boundary, x: torch.Tensor, field: TangentField) -> float:
    """Return the mean fraction of the squared gradient within d-dimensional tangent spaces over d / n.

    It is 1 for gradients of random direction and 0 for gradients orthogonal to the tangent spaces; samples without a
    gradient are left out.
    """
    _, gradient = boundary.logit_margin_and_gradient(x, boundary.predict(x))
    found = decompose(gradient, field, x)
    return float(found.tangent_fraction.nanmean()) / found.isotropic_fraction
