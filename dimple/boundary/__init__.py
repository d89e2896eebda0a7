"""The decision boundary of a classifier: scores, logit margins and gradients with every pass counted, and slices."""

from dimple.boundary.affine_slice import AffineSlice, restrict_to_slice
from dimple.boundary.boundary import Boundary
from dimple.renamed import missing_attribute

__all__ = ["AffineSlice", "Boundary", "restrict_to_slice"]

__getattr__ = missing_attribute(__name__)
