"""Data: labelled points of manifolds, and images."""

from dimple.data.labels import LABELLINGS, Labelling
from dimple.data.sampling import SAMPLINGS, Sampling
from dimple.data.synthetic import ManifoldSamples, Synthetic

__all__ = ["LABELLINGS", "SAMPLINGS", "Labelling", "ManifoldSamples", "Sampling", "Synthetic"]
