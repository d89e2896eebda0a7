"""The decision boundary: asked by gaps and gradients, landed on, and extracted as a level set."""

from dimple.boundary.adaptive import Adaptive
from dimple.boundary.automatic import Automatic
from dimple.boundary.boundary import Boundary
from dimple.boundary.certify import Certificate, certify
from dimple.boundary.crossing import land
from dimple.boundary.folds import folds, is_folded
from dimple.boundary.grid import Grid, NoLevelSet
from dimple.boundary.levelset import LevelSet
from dimple.boundary.mesh import Mesh
from dimple.boundary.pairs import Surface, class_regions, extract_pairs
from dimple.boundary.polyhedral import Exact, Polyhedral
from dimple.boundary.section import Section, restricted

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
    "Boundary",
    "Certificate",
    "Exact",
    "Grid",
    "LevelSet",
    "Mesh",
    "NoLevelSet",
    "Polyhedral",
    "Section",
    "Surface",
    "certify",
    "class_regions",
    "extract_pairs",
    "folds",
    "is_folded",
    "land",
    "restricted",
]
