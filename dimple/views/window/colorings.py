"""Quantities by which the boundary can be colored, each with its unit, its color scale and its measurement."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.color_scale import ColorScale, ColorScaleKind, fit_color_scale
from dimple.views.content.frame import FloatArray
from dimple.views.drawing.plane import side_of_boundary
from dimple.views.vtk.polydata import surface_polydata
from dimple.views.window.animation import Animation, SnapshotEvaluator

MeasureFunction: TypeAlias = Callable[[Animation, int], FloatArray]


@final
@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number at every vertex of the boundary.

    Attributes:
        name: shown in the legend, and the name of the array in files for ParaView.
        unit: of the numbers; empty if the colors stand for classes only.
        kind: of the color scale.
        measure: returns the numbers `(V,)` at the vertices of the boundary of a snapshot, nan where undefined; None for
            the colors that every frame has from the start.
        end_labels: texts for the low and the high end of the color scale, where the numbers alone do not explain them.
    """

    name: str
    unit: str = ""
    kind: ColorScaleKind = "diverging"
    measure: MeasureFunction | None = None
    end_labels: tuple[str, str] = ("", "")


def available_quantities(animation: Animation) -> list[Quantity]:
    """Return the quantities that can be shown for a run. The first one is that of the original colors."""
    if animation.run.frames[0].drawing.class_regions is not None:
        return [REGION_CLASS]
    layers = [frame.drawing.layer("boundary") for frame in animation.run.frames]
    has_depth = any(layer is not None and layer.manifold_depth is not None for layer in layers)
    first = SIDE_CLASS if animation.is_planar else MANIFOLD_DEPTH if has_depth else VIEWER_CLASS
    evaluated = [] if animation.run.evaluator is None else [MANIFOLD_DISTANCE, GRADIENT_NORM]
    return [first, *evaluated, MOVEMENT]


@final
class Coloring:
    """A quantity on all boundaries of several runs, with one color scale. It is measured once, snapshot by snapshot.

    Args:
        quantity: to be measured.
        animations: of the runs.

    Attributes:
        quantity: as given.
        color_scale: of all snapshots, final when `measure_snapshots` is exhausted.
    """

    def __init__(self, quantity: Quantity, animations: Sequence[Animation]) -> None:
        self.quantity = quantity
        depth_scale = animations[0].frames[0].depth_scale
        self.color_scale = ColorScale("diverging", -depth_scale, depth_scale)
        self._animations = animations
        self._colors: list[list[NDArray[np.uint8] | None]] = [
            [None] * len(animation.frames) for animation in animations
        ]

    def measure_snapshots(self) -> Iterator[tuple[int, int]]:
        """Measure the quantity, snapshot by snapshot, and fit the color scale.

        Yields:
            The number of measured snapshots and the number of all snapshots.
        """
        if self.quantity.measure is None:
            return
        snapshots = [(animation, index) for animation in self._animations for index in range(len(animation.frames))]
        values = []
        for animation, index in snapshots:
            has_vertices = len(animation.vertices(index)) > 0
            values.append(self.quantity.measure(animation, index) if has_vertices else np.zeros(0))
            yield len(values), len(snapshots)
        self.color_scale = fit_color_scale(self.quantity.kind, values)
        colors = iter([self.color_scale.colors(numbers) for numbers in values])
        self._colors = [[next(colors) for _ in animation.frames] for animation in self._animations]

    def apply(self) -> None:
        """Set the colors of all boundaries."""
        for animation, snapshot_colors in zip(self._animations, self._colors, strict=True):
            for index, colors in enumerate(snapshot_colors):
                animation.color_boundary(index, colors)


def _evaluator(animation: Animation) -> SnapshotEvaluator:
    assert animation.run.evaluator is not None
    return animation.run.evaluator


def _manifold_distance(animation: Animation, index: int) -> FloatArray:
    return _evaluator(animation).distances(animation.vertices(index))


def _gradient_norm(animation: Animation, index: int) -> FloatArray:
    return _evaluator(animation).gradient_norms(animation.run.frames[index].step, animation.vertices(index))


def movement(animation: Animation, index: int) -> FloatArray:
    """Return the distance of each vertex of a boundary from the previous boundary, positive where class 1 gained.

    Returns:
        `(V,)`; nan if there is no previous boundary.
    """
    positions = animation.vertices(index)
    previous = None if index == 0 else animation.run.frames[index - 1].drawing.layer("boundary")
    if previous is None or len(previous.mesh.faces) == 0 or len(positions) == 0:
        return np.full(len(positions), np.nan)
    if animation.is_planar:
        from dimple.levelsets.closest_points import closest_points_on_mesh

        distances = np.linalg.norm(closest_points_on_mesh(previous.mesh, positions) - positions, axis=1)
        return np.asarray(-distances * side_of_boundary(previous.mesh, positions), dtype=np.float64)
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    # Exact, and positive on the side of class 1, to which the normals of the triangles point.
    signed_distance = vtkImplicitPolyDataDistance()
    signed_distance.SetInput(surface_polydata(previous.mesh))
    result = vtkDoubleArray()
    signed_distance.FunctionValue(numpy_to_vtk(np.ascontiguousarray(positions), deep=True), result)
    return np.asarray(-vtk_to_numpy(result), dtype=np.float64)


INPUT_UNIT = "input units"
# Available without an evaluator.
REGION_CLASS = Quantity("class of each region")
SIDE_CLASS = Quantity("class on each side", end_labels=("class 0", "class 1"))
VIEWER_CLASS = Quantity("class on the visible side", end_labels=("class 0", "class 1"))
MANIFOLD_DEPTH = Quantity("how deep the manifold lies", INPUT_UNIT, end_labels=("in class 0", "in class 1"))
MOVEMENT = Quantity(
    "movement since the previous snapshot",
    INPUT_UNIT,
    measure=movement,
    end_labels=("gained by class 0", "gained by class 1"),
)
# Available with an evaluator only.
MANIFOLD_DISTANCE = Quantity("distance to the manifold", INPUT_UNIT, "linear", _manifold_distance)
GRADIENT_NORM = Quantity("gradient norm of the logit margin", "logits per input unit", "logarithmic", _gradient_norm)
