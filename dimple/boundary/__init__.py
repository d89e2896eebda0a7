"""The decision boundary: asked by gaps and gradients, landed on, and extracted as a level set."""

from dimple.boundary.boundary import Boundary
from dimple.boundary.crossing import land
from dimple.boundary.grid import LEVEL_SETS, Grid, LevelSet
from dimple.boundary.mesh import Mesh

__all__ = ["LEVEL_SETS", "Boundary", "Grid", "LevelSet", "Mesh", "land"]
