"""The snapshots of a run turned into what VTK draws, once, for any number of pictures and windows."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Frame, Perturbations, Reals
from dimple.views.content.metadata import Imprint
from dimple.views.content.ribbons import in_space, onto_ribbons
from dimple.views.vtk.polydata import polydatas, section_line

if TYPE_CHECKING:
    import pyvista as pv


class Asked(Protocol):
    """What only the networks of a run and its manifold can tell, when somebody asks."""

    def nearest(self, step: int, points: Sequence[int] | None = None, /) -> Perturbations:
        """The shortest steps from all training points, or from those rows of them, to the boundary of a snapshot."""
        ...

    def gradient_norms(self, step: int, points: Reals, /) -> Reals:
        """The length of the gradient of the score of class 1 over class 0 of a snapshot, at points `(V, n)`: `(V,)`."""
        ...

    def distances(self, points: Reals, /) -> Reals:
        """How far points `(V, n)` are from the manifold, `(V,)`."""
        ...


@final
@dataclasses.dataclass(frozen=True)
class Show:
    """A run to be looked at.

    Attributes:
        frames: its snapshots, of a scene in R^2 or R^3.
        path: its folder, after which pictures are named.
        points: the columns of points.parquet, for the figures of single points.
        asked: what can still be asked; without it there are fewer quantities, and no steps to the boundary.
        imprint: what pictures of it say of themselves.
    """

    frames: Sequence[Frame]
    path: Path
    points: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    asked: Asked | None = None
    imprint: Imprint = dataclasses.field(default_factory=dict)


@final
class Reel:
    """A run's frames in space with their boundaries as VTK takes them; to colour these is all that ever changes.

    Args:
        relief_scale: at which the colour of the relief is full; without it, that of the frames.

    Attributes:
        flat: whether the scene is one of the plane.
        frames: in space, also those of the plane.
        boundaries: of each frame, with the colours that are shown.
        lines: in the plane, the curves that the boundaries are; None in space.
        steps: of each frame, rising.
    """

    def __init__(self, show: Show, relief_scale: float | None = None) -> None:
        self.show = show
        self.flat = show.frames[0].drawing.ambient_dim == 2
        scale = show.frames[0].relief_scale if relief_scale is None else relief_scale
        self.frames = [in_space(dataclasses.replace(frame, relief_scale=scale)) for frame in show.frames]
        self.boundaries = polydatas(self.frames)
        self._relief = [np.array(boundary.point_data["colour"]) for boundary in self.boundaries]
        self.lines = [_line(frame) if self.flat else None for frame in self.frames]
        self.steps = np.array([frame.step for frame in show.frames], dtype=np.int64)

    def at(self, step: int) -> int:
        """The place of the last snapshot that is not after a step; the first, where all are."""
        return max(int(np.searchsorted(self.steps, step, side="right")) - 1, 0)

    def vertices(self, index: int) -> Reals:
        """Where on the boundary of a snapshot quantities are wanted, `(V, n)`."""
        layer = self.show.frames[index].drawing.layer("boundary")
        width = len(self.show.frames[index].drawing.low)
        return np.zeros((0, width)) if layer is None else layer.mesh.vertices

    def paint(self, index: int, colours: NDArray[np.uint8] | None) -> None:
        """Colour the boundary of a snapshot: `(V, 3)` at its `vertices`, or None for its relief again."""
        layer = self.show.frames[index].drawing.layer("boundary")
        if layer is None or len(layer.mesh.faces) == 0:
            return
        shown = self._relief[index] if colours is None else colours
        if self.flat and colours is not None:
            shown = onto_ribbons(layer.mesh, colours)
        elif layer.relief is None and colours is not None:
            shown = np.tile(colours, (2, 1))
        self.boundaries[index].point_data["colour"] = shown
        self.boundaries[index].set_active_scalars("colour")


def _line(frame: Frame) -> "pv.PolyData | None":
    """The boundary of a scene of the plane as a curve on its floor; where classes fill the floor it is seen anyway."""
    return None if frame.section is None or frame.drawing.classes is not None else section_line(frame.section)


def reels_of(shows: Sequence[Show]) -> list[Reel]:
    """The runs made ready to be seen beside each other, the colours of their relief on one scale."""
    scale = max(show.frames[0].relief_scale for show in shows)
    return [Reel(show, scale) for show in shows]
