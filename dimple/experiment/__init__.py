"""Verbs of the package: the functions behind the commands of the program, for scripts and notebooks too."""

from dimple.experiment.callbacks import LightningCallback, TransformersCallback
from dimple.experiment.outputs.archive import pack
from dimple.experiment.outputs.export import export_run
from dimple.experiment.outputs.figures import write_figures
from dimple.experiment.outputs.gallery import build_gallery
from dimple.experiment.outputs.napari import open_in_napari
from dimple.experiment.outputs.report import compare, report
from dimple.experiment.outputs.view import view
from dimple.experiment.probing.config import ProbeConfig
from dimple.experiment.probing.in_memory import measure
from dimple.experiment.probing.measurement import Column, Measurement
from dimple.experiment.probing.probe import probe
from dimple.experiment.recorder import Recorder
from dimple.experiment.run import Run
from dimple.experiment.simulation.completeness import check_run_completeness
from dimple.experiment.simulation.simulate_scene import simulate, train
from dimple.experiment.slices.config import SliceConfig
from dimple.experiment.slices.slice_network import slice_network
from dimple.renamed import missing_attribute

__all__ = [
    "Column",
    "LightningCallback",
    "Measurement",
    "ProbeConfig",
    "Recorder",
    "Run",
    "SliceConfig",
    "TransformersCallback",
    "build_gallery",
    "check_run_completeness",
    "compare",
    "export_run",
    "measure",
    "open_in_napari",
    "pack",
    "probe",
    "report",
    "simulate",
    "slice_network",
    "train",
    "view",
    "write_figures",
]

__getattr__ = missing_attribute(__name__)
