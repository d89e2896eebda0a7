"""The verbs of the package, as the command line calls them and as a notebook may."""

from dimple.experiment.simulate import simulate

__all__ = ["simulate"]
