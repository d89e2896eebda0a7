"""What the boundary can be coloured by: each quantity with its unit, its colours and how it is had."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.color_scale import Kind, Scale, scale_of
from dimple.views.content.frame import Reals
from dimple.views.drawing.plane import sides
from dimple.views.vtk.polydata import surface
from dimple.views.window.animation import Asked, Reel

Measure: TypeAlias = Callable[[Reel, int], Reals]


@final
@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number at every vertex of the boundary.

    Attributes:
        name: as the legend has it.
        unit: of the numbers; empty where the colours stand for classes alone.
        kind: how they become colours.
        measure: the numbers `(V,)` at the vertices of a snapshot's boundary, nan where there is none; None for the
            relief, which every frame has already.
        ends: what the two ends of the colours mean, where the numbers alone do not say it.
    """

    name: str
    unit: str = ""
    kind: Kind = "diverging"
    measure: Measure | None = None
    ends: tuple[str, str] = ("", "")


def quantities_of(reel: Reel) -> list[Quantity]:
    """Those that can be shown for a run, the one that its boundary is painted with at first in front."""
    if reel.show.frames[0].drawing.classes is not None:
        return [CLASSES]
    layers = [frame.drawing.layer("boundary") for frame in reel.show.frames]
    relief = any(layer is not None and layer.relief is not None for layer in layers)
    first = SIDES if reel.flat else DEPTH if relief else SEEN
    asked = [] if reel.show.asked is None else [DISTANCE, GRADIENT]
    return [first, *asked, MOVEMENT]


@final
class Paint:
    """A quantity on all boundaries of several runs, on one scale; measured once, snapshot by snapshot.

    Attributes:
        scale: of all snapshots, once `prepare` has ended.
    """

    def __init__(self, quantity: Quantity, reels: Sequence[Reel]) -> None:
        self.quantity = quantity
        self.scale = Scale("diverging", -reels[0].frames[0].relief_scale, reels[0].frames[0].relief_scale)
        self._reels = reels
        self._colours: list[list[NDArray[np.uint8] | None]] = [[None] * len(reel.frames) for reel in reels]

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Measure, snapshot by snapshot; says after each how many of how many are done."""
        if self.quantity.measure is None:
            return
        places = [(reel, index) for reel in self._reels for index in range(len(reel.frames))]
        values = []
        for reel, index in places:
            values.append(self.quantity.measure(reel, index) if len(reel.vertices(index)) else np.zeros(0))
            yield len(values), len(places)
        self.scale = scale_of(self.quantity.kind, values)
        colours = iter([self.scale.colours(numbers) for numbers in values])
        self._colours = [[next(colours) for _ in reel.frames] for reel in self._reels]

    def apply(self) -> None:
        """Put the colours onto the boundaries."""
        for reel, colours in zip(self._reels, self._colours, strict=True):
            for index, shown in enumerate(colours):
                reel.paint(index, shown)


def _asked(reel: Reel) -> Asked:
    assert reel.show.asked is not None
    return reel.show.asked


def _distance(reel: Reel, index: int) -> Reals:
    return _asked(reel).distances(reel.vertices(index))


def _gradient(reel: Reel, index: int) -> Reals:
    return _asked(reel).gradient_norms(reel.show.frames[index].step, reel.vertices(index))


def movement(reel: Reel, index: int) -> Reals:
    """How far each vertex of a boundary is from the boundary of the snapshot before, positive where class 1 gained."""
    places = reel.vertices(index)
    before = None if index == 0 else reel.show.frames[index - 1].drawing.layer("boundary")
    if before is None or len(before.mesh.faces) == 0 or len(places) == 0:
        return np.full(len(places), np.nan)
    if reel.flat:
        from dimple.levelsets.closest_points import nearest_places

        away = np.linalg.norm(nearest_places(before.mesh, places) - places, axis=1)
        return np.asarray(-away * sides(before.mesh, places), dtype=np.float64)
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    # Exact, and positive on the side that the triangles' normals point to, which is class 1.
    distance = vtkImplicitPolyDataDistance()
    distance.SetInput(surface(before.mesh))
    answer = vtkDoubleArray()
    distance.FunctionValue(numpy_to_vtk(np.ascontiguousarray(places), deep=True), answer)
    return np.asarray(-vtk_to_numpy(answer), dtype=np.float64)


INPUT = "input units"
CLASSES = Quantity("in each region the colour of its class")
SIDES = Quantity("class on that side", ends=("class 0", "class 1"))
SEEN = Quantity("seen from", ends=("class 0", "class 1"))
DEPTH = Quantity("depth of the manifold beneath", INPUT, ends=("in class 0", "in class 1"))
DISTANCE = Quantity("distance to the manifold", INPUT, "linear", _distance)
GRADIENT = Quantity("gradient norm of the score", "score per input unit", "logarithmic", _gradient)
MOVEMENT = Quantity(
    "movement since the snapshot before", INPUT, measure=movement, ends=("gained by class 0", "gained by class 1")
)
