"""A run folder turned into frames: the one place where the views read what was recorded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.errors import RunError
from dimple.levelsets.mesh import Mesh
from dimple.runs.run import Run
from dimple.stats.aggregate import NULL
from dimple.views.content.color_scale import round_up
from dimple.views.content.columns import curve_of
from dimple.views.content.cross_section import choose_plane, section_of
from dimple.views.content.frame import Chart, Drawing, Fact, Frame, Layer, Plane, PointSet, Timeline
from dimple.views.content.from_slice import frames_of_section, is_section, section_timeline
from dimple.views.content.labels import found_text, number, words
from dimple.views.content.manifold_depth import Feet, refined
from dimple.views.content.run_header import note_of

Columns = dict[str, NDArray[Any]]
CAPTION = ("train_accuracy", "boundary_distance", "dimple_depth", "off_share")
# And of one that is drawn in a section.
IN_SECTION = ("margin", "margin_section", "section_share")
# The charts of a film: title, columns, fixed limits of the axis.
CHARTS = (
    ("distance from manifold and points to the boundary", ("boundary_distance", "dimple_depth"), None),
    ("shares", ("off_share", "train_accuracy"), (0.0, 1.04)),
)
# In shares of the box's largest side.
NEAR_SECTION = 0.02
FOOT_SPACING = 1 / 150
FACET = 1 / 25


def frames_of_run(run: Run) -> list[Frame]:
    """One frame a snapshot, in the order of the steps.

    Raises:
        RunError: if the run has no boundary that could be drawn, as in more than three dimensions.
    """
    if is_section(run):
        return frames_of_section(run)
    metrics, meshes = run.metrics(), run.meshes()
    steps = metrics["step"].astype(np.int64)
    positions, (low, high) = run.positions, run.box
    if len(low) not in (2, 3):
        raise RunError(
            f"{run.path}: lies in R^{len(low)}, where there is nothing to draw; its curves stand in "
            f"{run.path / 'report.html'}"
        )
    if len(meshes) != len(steps):
        raise RunError(
            f"{run.path}: has {len(meshes)} boundaries for {len(steps)} snapshots in R^{len(low)}, so there is nothing "
            "to draw; scenes in R^2 or R^3 with a level set can be drawn"
        )
    timeline = timeline_of(run)
    predictions = _predictions(run.points(), steps, len(positions["labels"]))
    manifold = run.manifold_mesh
    scenery = _Scenery(run.drawn, low, high, manifold)
    last = PointSet(scenery.train, positions["labels"].astype(np.int64), predictions[-1])
    scale = scenery.relief_scale(meshes)
    name, note = str(run.info.get("name", run.path.name)), note_of(run)
    frames = []
    for index, (step, mesh) in enumerate(zip(steps, meshes, strict=True)):
        points = PointSet(last.positions, last.classes, predictions[index])
        drawing = scenery.drawing(mesh, points)
        facts = facts_of(metrics, index)
        section = None
        if scenery.plane is not None:
            section = section_of(drawing, scenery.plane, NEAR_SECTION * scenery.side)
        frames.append(Frame(name, int(step), index, drawing, facts, timeline, scale, section, note=note))
    return frames


def timeline_of(run: Run) -> Timeline:
    """The charts of a run, with the steps at which it had clung and dimpled."""
    if is_section(run):
        return section_timeline(run)
    metrics, units = run.metrics(), run.units()
    charts = []
    for title, columns, limits in CHARTS:
        present = [column for column in columns if column in metrics]
        if present:
            curves = tuple(curve_of(metrics, column) for column in present)
            unit = units.get(present[0], "") if limits is None else ""
            charts.append(Chart(title, curves, unit, limits))
    summary = run.info.get("summary") or {}
    named = (("clung", summary.get("cling_step")), ("dimpled", summary.get("dimple_step")))
    phases = tuple((name, int(step)) for name, step in named if step is not None)
    return Timeline(metrics["step"].astype(np.int64), tuple(charts), phases)


def facts_of(metrics: Columns, index: int) -> tuple[Fact, ...]:
    """The caption of one snapshot, the row `index` of the metrics."""
    said = CAPTION + IN_SECTION if "section_share" in metrics else CAPTION
    return tuple(_fact(metrics, column, index) for column in said if column in metrics)


def _fact(metrics: Columns, column: str, index: int) -> Fact:
    row = {name: float(values[index]) for name, values in metrics.items()}
    # The band of a null stands in the report; beside a picture there is room for one number.
    null = number(row[column + NULL]) if column + NULL in row else ""
    # Points farther than the search goes were counted with its limit.
    least = "≥ " if column == "boundary_distance" and row.get("boundary_found", 1.0) < 1 else ""
    name = ", ".join(filter(None, (words(column), found_text(row, column))))
    return Fact(name, least + number(row[column]), null)


def _predictions(points: Columns, steps: NDArray[np.int64], count: int) -> list[NDArray[np.int64] | None]:
    """The predicted classes of the training points at each step; None where the table lacks a step."""
    train = points["split"] == "train"
    step, index, prediction = (points[name][train] for name in ("step", "index", "prediction"))
    result: list[NDArray[np.int64] | None] = []
    for wanted in steps:
        rows = step == wanted
        complete = np.array_equal(np.sort(index[rows]), np.arange(count))
        result.append(prediction[rows][np.argsort(index[rows])].astype(np.int64) if complete else None)
    return result


class _Scenery:
    """What all frames of a run share: box, manifold, the way down to it, and the plane of the section."""

    def __init__(
        self, train: NDArray[np.float64], low: tuple[float, ...], high: tuple[float, ...], manifold: Mesh | None
    ) -> None:
        self.train = train
        self.low = low
        self.high = high
        self.manifold = manifold
        self.side = max(b - a for a, b in zip(low, high, strict=True))
        self.feet: Feet | None = None
        self.plane: Plane | None = None
        if manifold is not None and manifold.ambient_dim == 3 and manifold.faces.shape[1] == 3 and len(manifold.faces):
            self.feet = Feet(manifold, FOOT_SPACING * self.side)
            self.plane = choose_plane(train, self.feet, NEAR_SECTION * self.side)

    def drawing(self, mesh: Mesh, points: PointSet) -> Drawing:
        """The manifold, and the boundary with its relief.

        Large triangles are divided first: colours are interpolated between corners, and the manifold beneath a flat
        facet is curved.
        """
        if mesh.ambient_dim == 3:
            mesh = refined(mesh, FACET * self.side)
        relief = self.feet.relief(mesh) if self.feet is not None else None
        layers = [] if self.manifold is None else [Layer(self.manifold, "manifold")]
        return Drawing((*layers, Layer(mesh, "boundary", relief)), points, self.low, self.high)

    def relief_scale(self, meshes: list[Mesh]) -> float:
        """A round relief of which the last boundary's, near the training points, uses most; a tenth of the box if none.

        Depths beneath the training points are what the colour has to show, and they are a small part of the box.
        """
        last = meshes[-1]
        if self.feet is None or len(last.faces) == 0:
            return round_up(self.side / 10)
        away = np.linalg.norm(self.feet.offsets(last.vertices), axis=1)
        near = away < self.side / 8
        if not near.any():
            return round_up(self.side / 10)
        return round_up(float(np.quantile(np.abs(self.feet.relief(last)[near]), 0.85)))
