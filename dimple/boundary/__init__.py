"""The decision boundary of a classifier: scores, logit margins and gradients with every pass counted, and slices."""

from dimple.boundary.affine_slice import Section, restricted
from dimple.boundary.boundary import Boundary

__all__ = ["Boundary", "Section", "restricted"]
