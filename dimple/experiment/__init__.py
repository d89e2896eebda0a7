"""The verbs of the package, as the command line calls them and as a notebook may."""

from dimple.experiment.certifying import certify_run
from dimple.experiment.filming import film
from dimple.experiment.layering import napari
from dimple.experiment.packing import pack
from dimple.experiment.probing import probe
from dimple.experiment.reporting import compare, report
from dimple.experiment.request import ProbeRequest
from dimple.experiment.section_request import SectionRequest
from dimple.experiment.sectioning import section
from dimple.experiment.simulation import simulate
from dimple.experiment.static_site import gallery
from dimple.experiment.viewing import view

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
