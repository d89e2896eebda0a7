"""A run as a user reads it: tables as data frames, scene, networks and meshes, and its page in a notebook."""

import functools
import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from torch import nn

from dimple.columns import describe_column
from dimple.data import DataSplits
from dimple.errors import DataError, DeviceError, RunError
from dimple.networks.wrappers import freeze
from dimple.runs import RunFolder
from dimple.scene import Scene, load_run_scene

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

PAGE_HEIGHT = 820


@final
class Run(RunFolder):
    """A simulation, a measurement or a slice on disk; `Run.open(path)` reads a folder or a packed file.

    Attributes:
        path: the run folder.
        info: what `run.json` holds: name, seed, device, versions, seconds, and the summary with all statistics.

    Example:
        >>> from dimple import simulate, load_scene
        >>> import tempfile
        >>> scene = load_scene("circle_in_2d", ["training.steps=3", "snapshots.count=1", "levelset={kind: none}"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = simulate(scene, f"{folder}/run", film=False)
        ...     run.kind, run.steps, list(run.metrics.columns)[:3], len(run.points) > 100
        ('simulation', [0, 3], ['step', 'loss', 'train_accuracy'], True)
    """

    @functools.cached_property
    def metrics(self) -> "pd.DataFrame":
        """One row for each snapshot of a simulation or step of a slice; `attrs` hold units and meanings.

        Raises:
            RunError: if the run is a measurement, whose numbers are in `measurements`.
        """
        return self._frame("metrics")

    @functools.cached_property
    def points(self) -> "pd.DataFrame":
        """One row for each point and snapshot of a simulation, or image and step of a slice.

        Raises:
            RunError: if the run is a measurement, whose numbers are in `measurements`.
        """
        return self._frame("points")

    @functools.cached_property
    def measurements(self) -> "pd.DataFrame":
        """One row for each sample and network of a measurement.

        Raises:
            RunError: if the run is none.
        """
        return self._frame("measurements")

    def to_xarray(self) -> "xr.Dataset":
        """Return `points` or `measurements` as a data set with the dimensions `snapshot` and `point`.

        Every column is a variable with its unit and meaning; `step` is the coordinate of `snapshot`, the split and the
        index of a sample are those of `point`.

        Raises:
            RunError: if the steps have different samples.
            DeviceError: if xarray is missing.
        """
        try:
            import xarray as xr
        except ImportError:
            raise DeviceError("xarray is missing; pip install xarray") from None

        columns, units = self.read_table("measurements" if self.kind == "measurement" else "points")
        steps = np.unique(columns.pop("step"))
        points = len(next(iter(columns.values()))) // len(steps)
        names = [name for name in ("split", "index") if name in columns]
        if any(len(values) != points * len(steps) for values in columns.values()):
            raise RunError(f"{self.path}: its steps have different samples; run.measurements has every row")
        blocks = {name: values.reshape(len(steps), points, *values.shape[1:]) for name, values in columns.items()}
        if any(bool((blocks[name] != blocks[name][:1]).any()) for name in names):
            raise RunError(f"{self.path}: its steps have different samples; run.measurements has every row")
        variables = {
            name: (
                ("snapshot", "point"),
                values,
                {"units": units.get(name, ""), "long_name": describe_column(name).meaning},
            )
            for name, values in blocks.items()
            if name not in names and values.ndim == 2
        }
        coordinates = {"step": ("snapshot", steps)} | {name: ("point", blocks[name][0]) for name in names}
        return xr.Dataset(variables, coordinates, {"name": str(self.info.get("name", ""))})

    @functools.cached_property
    def replicas(self) -> "pd.DataFrame":
        """One row for each replica and snapshot of a simulation of several replicas, with the columns of `metrics`.

        Raises:
            RunError: if the run has no replicas.
        """
        return self._frame("replicas")

    def _frame(self, name: str) -> "pd.DataFrame":
        import pandas as pd

        columns, units = self.read_table(name)
        frame = pd.DataFrame(columns)
        frame.attrs["units"] = units
        frame.attrs["meanings"] = {column: describe_column(column).text for column in columns}
        frame.attrs["sources"] = {column: describe_column(column).source for column in columns}
        return frame

    @functools.cached_property
    def scene(self) -> Scene:
        """The scene of a simulation, with every value; of several replicas that of the one that the run shows.

        Raises:
            RunError: if the run is no simulation.
            SceneError: if its settings are no scene, such as one with a class of your own.
        """
        if self.kind != "simulation":
            raise RunError(f"{self.path}: is a {self.kind} and has no scene; run.settings_text has its settings")
        return load_run_scene(self)

    def network(self, step: int, replica: int | None = None) -> nn.Module:
        """Return the network after `step` updates, frozen and in double precision.

        Args:
            step: a step of `steps`.
            replica: the number of the replica in a run of several; None for the one that the run shows.

        Raises:
            RunError: if the run is no simulation, or has no snapshot of this step, or no such replica.
        """
        if self.kind != "simulation":
            raise RunError(f"{self.path}: is a {self.kind}, which keeps no networks")
        if step not in self.steps:
            raise RunError(f"{self.path}: has no snapshot of step {step}; choose from {self.steps}")
        # The scene of a run is that of the replica it shows; the file has the number of all.
        count = self.settings.get("replicas", 1)
        if replica is not None and not 0 <= replica < count:
            raise RunError(f"{self.path}: has no replica {replica}; it has {count}, numbered from 0")
        network = self.scene.build_network(self.sample_shape, len(self.class_names))
        try:
            network.load_state_dict(self.read_snapshot(step, replica)[0])
        except RuntimeError as error:
            cause = " ".join(str(error).split())[:300]
            raise RunError(f"{self.path}: the snapshot of step {step} is none of its scene ({cause})") from None
        return freeze(network).double()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes of a simulation."""
        return tuple(self.info["samples"]["classes"]) if "samples" in self.info else ("0", "1")

    def samples(self) -> DataSplits:
        """Return the samples that a simulation was trained on and measured at, made or read again.

        Raises:
            DataError: if the data set is no longer where the run found it, nor in another place that is looked at.
        """
        source = self.info.get("samples", {}).get("source") or None
        try:
            return self.scene.samples(source)
        except DataError:
            return self.scene.samples()

    def show(self, height: int = PAGE_HEIGHT) -> "RunPage":
        """Return the interactive page of the run, or else its report, which a notebook shows inline.

        Args:
            height: in pixels.

        Raises:
            RunError: if the run has neither.
        """
        for file in (self.views_path / "page.html", self.path / "report.html"):
            if file.is_file():
                return RunPage(file, self.read_bytes(file).decode(), height)
        raise RunError(f"{self.path}: has neither page.html nor report.html; dimple report {self.path} writes one")

    def __repr__(self) -> str:
        name = self.info.get("name", "")
        status = self.info.get("status", "unknown")
        return f"<Run: {self.kind} {name}, {status}, in {self.path}>"

    def _repr_html_(self) -> str:
        from dimple.views.report.notebook import statistics_html
        from dimple.views.report.simulation import load_stills

        stills = load_stills(self, last_only=True) if self.kind != "measurement" else []
        still = stills[-1] if stills else {"source": "", "caption": ""}
        row, units = self._final_statistics()
        return statistics_html(repr(self)[1:-1], row, units, still["source"], still["caption"])

    def _final_statistics(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Return the statistics at the last step and their units; empty for a run without a summary."""
        summary = self.info.get("summary") or {}
        if self.kind == "measurement":
            return (summary["rows"][-1] if summary else {}), summary.get("units", {})
        return summary.get("final", {}) | summary.get("verdicts", {}), self.units("metrics") if summary else {}


@final
class RunPage:
    """The page of a run: inline in a notebook, elsewhere a path to open in a browser.

    Args:
        path: the HTML file, which needs no other file.
        text: what it holds.
        height: in pixels.
    """

    def __init__(self, path: Path, text: str, height: int) -> None:
        self.path = path
        self.text = text
        self.height = height

    def __repr__(self) -> str:
        return f"<page {self.path}: open it in a browser>"

    def _repr_html_(self) -> str:
        content = html.escape(self.text)
        style = f"width: 100%; height: {self.height}px; border: 0"
        return f'<iframe srcdoc="{content}" style="{style}" title="{html.escape(self.path.parent.name)}"></iframe>'
