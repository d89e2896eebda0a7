"""dimple: a synthetic-manifold laboratory with eyes, and one boundary-probe API for it and for image networks."""

__version__ = "0.1.0"
