"""The verbs of the package, as the command line calls them and as a notebook may."""

from dimple.experiment.outputs.archive import pack
from dimple.experiment.outputs.film import film
from dimple.experiment.outputs.gallery import gallery
from dimple.experiment.outputs.napari import napari
from dimple.experiment.outputs.report import compare, report
from dimple.experiment.outputs.view import view
from dimple.experiment.probing.config import ProbeRequest
from dimple.experiment.probing.probe import probe
from dimple.experiment.simulation.completeness import certify_run
from dimple.experiment.simulation.simulate_scene import simulate
from dimple.experiment.slices.config import SectionRequest
from dimple.experiment.slices.slice_network import section

__all__ = [
    "ProbeRequest",
    "SectionRequest",
    "certify_run",
    "compare",
    "film",
    "gallery",
    "napari",
    "pack",
    "probe",
    "report",
    "section",
    "simulate",
    "view",
]
