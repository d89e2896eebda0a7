"""Meshes of the decision boundary; the table's keys are the values of `levelset.kind` in a scene file."""

from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.auto import Automatic
from dimple.levelsets.base import LevelSet
from dimple.levelsets.completeness import Certificate, certify
from dimple.levelsets.dense import Grid, NoLevelSet
from dimple.levelsets.exact import Exact, Polyhedral
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.multiclass import Surface, class_regions, extract_pairs

LEVEL_SETS: dict[str, type[LevelSet]] = {
    "adaptive": Adaptive,
    "auto": Automatic,
    "exact": Exact,
    "grid": Grid,
    "none": NoLevelSet,
}

__all__ = [
    "LEVEL_SETS",
    "Adaptive",
    "Automatic",
    "Certificate",
    "Exact",
    "Grid",
    "LevelSet",
    "Mesh",
    "NoLevelSet",
    "Polyhedral",
    "Surface",
    "certify",
    "class_regions",
    "extract_pairs",
]
