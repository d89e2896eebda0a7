"""Algorithms that extract meshes of the decision boundary.

The keys of `LEVEL_SETS` are the values of `levelset.kind` in a scene file.
"""

from dimple.levelsets.adaptive import Adaptive
from dimple.levelsets.auto import Auto
from dimple.levelsets.base import LevelSet
from dimple.levelsets.completeness import CompletenessResult, check_completeness
from dimple.levelsets.dense import Dense, NoLevelSet
from dimple.levelsets.exact import Exact, PolygonComplex
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.multiclass import PairwiseBoundary, class_regions, extract_pairwise_boundaries

LEVEL_SETS: dict[str, type[LevelSet]] = {
    "adaptive": Adaptive,
    "auto": Auto,
    "exact": Exact,
    "dense": Dense,
    "none": NoLevelSet,
}

__all__ = [
    "LEVEL_SETS",
    "Adaptive",
    "Auto",
    "CompletenessResult",
    "Dense",
    "Exact",
    "LevelSet",
    "Mesh",
    "NoLevelSet",
    "PairwiseBoundary",
    "PolygonComplex",
    "check_completeness",
    "class_regions",
    "extract_pairwise_boundaries",
]
