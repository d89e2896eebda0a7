"""Verbs of the package: the functions behind the commands of the program, for scripts and notebooks too.

The names are imported on first use: the settings of a verb and the check of its inputs need no torch.
"""

from typing import TYPE_CHECKING

from dimple.lazy import import_on_use

if TYPE_CHECKING:
    from dimple.experiment.callbacks import LightningCallback, TransformersCallback
    from dimple.experiment.outputs.archive import check, pack
    from dimple.experiment.outputs.export import export_run
    from dimple.experiment.outputs.figures import write_figures
    from dimple.experiment.outputs.gallery import build_gallery
    from dimple.experiment.outputs.napari import open_in_napari
    from dimple.experiment.outputs.report import compare, report
    from dimple.experiment.outputs.view import view
    from dimple.experiment.probing.config import ProbeConfig
    from dimple.experiment.probing.in_memory import measure
    from dimple.experiment.probing.measurement import Column, Measurement
    from dimple.experiment.probing.probe import gather, probe, probe_part
    from dimple.experiment.probing.shard_status import ShardStatus, missing_parts, status
    from dimple.experiment.recorder import Recorder
    from dimple.experiment.run import Run
    from dimple.experiment.simulation.completeness import check_run_completeness
    from dimple.experiment.simulation.simulate_scene import simulate, train
    from dimple.experiment.slices.config import SliceConfig
    from dimple.experiment.slices.slice_network import slice_network
    from dimple.experiment.work_estimate import estimate

_HOMES = {
    "Column": "probing.measurement",
    "LightningCallback": "callbacks",
    "Measurement": "probing.measurement",
    "ProbeConfig": "probing.config",
    "Recorder": "recorder",
    "Run": "run",
    "ShardStatus": "probing.shard_status",
    "SliceConfig": "slices.config",
    "TransformersCallback": "callbacks",
    "build_gallery": "outputs.gallery",
    "check": "outputs.archive",
    "check_run_completeness": "simulation.completeness",
    "compare": "outputs.report",
    "estimate": "work_estimate",
    "export_run": "outputs.export",
    "gather": "probing.probe",
    "measure": "probing.in_memory",
    "missing_parts": "probing.shard_status",
    "open_in_napari": "outputs.napari",
    "pack": "outputs.archive",
    "probe": "probing.probe",
    "probe_part": "probing.probe",
    "report": "outputs.report",
    "simulate": "simulation.simulate_scene",
    "slice_network": "slices.slice_network",
    "status": "probing.shard_status",
    "train": "simulation.simulate_scene",
    "view": "outputs.view",
    "write_figures": "outputs.figures",
}

__all__ = [
    "Column",
    "LightningCallback",
    "Measurement",
    "ProbeConfig",
    "Recorder",
    "Run",
    "ShardStatus",
    "SliceConfig",
    "TransformersCallback",
    "build_gallery",
    "check",
    "check_run_completeness",
    "compare",
    "estimate",
    "export_run",
    "gather",
    "measure",
    "missing_parts",
    "open_in_napari",
    "pack",
    "probe",
    "probe_part",
    "report",
    "simulate",
    "slice_network",
    "status",
    "train",
    "view",
    "write_figures",
]

__getattr__ = import_on_use(__name__, _HOMES)
