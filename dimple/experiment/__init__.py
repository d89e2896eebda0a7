"""The verbs of the package, as the command line calls them and as a notebook may."""

from dimple.experiment.probe import probe
from dimple.experiment.request import ProbeRequest
from dimple.experiment.simulate import simulate
from dimple.experiment.view import view

__all__ = ["ProbeRequest", "probe", "simulate", "view"]
