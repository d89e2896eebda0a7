"""The snapshots of a run converted to VTK data once, for any number of images and windows."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import FloatArray, Frame, Perturbations
from dimple.views.content.metadata import Metadata
from dimple.views.content.ribbons import embed_frame_in_3d, map_to_ribbons
from dimple.views.vtk.polydata import boundary_polydata_list, cross_section_line

if TYPE_CHECKING:
    import pyvista as pv


class SnapshotEvaluator(Protocol):
    """Quantities that need the networks and the manifold of a run, computed on demand."""

    def perturbations(self, step: int, points: Sequence[int] | None = None, /) -> Perturbations:
        """Return the shortest steps from training points to the boundary of a snapshot.

        Args:
            step: of the snapshot.
            points: rows of the training points; None for all.
        """
        ...

    def gradient_norms(self, step: int, points: FloatArray, /) -> FloatArray:
        """Return the gradient norm `(V,)` of the logit margin of class 1 of a snapshot, at points `(V, n)`."""
        ...

    def distances(self, points: FloatArray, /) -> FloatArray:
        """Return the distances `(V,)` of points `(V, n)` from the manifold."""
        ...


@final
@dataclasses.dataclass(frozen=True)
class RunView:
    """A run to be shown in a window.

    Attributes:
        frames: its snapshots, of a scene in R^2 or R^3.
        path: its folder, which gives images and films their names.
        point_table: the columns of points.parquet, for the statistics of single points.
        evaluator: computes further quantities. Without it there are fewer of them, and no steps to the boundary.
        metadata: written into images and films of the run.
    """

    frames: Sequence[Frame]
    path: Path
    point_table: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)
    evaluator: SnapshotEvaluator | None = None
    metadata: Metadata = dataclasses.field(default_factory=dict)


@final
class Animation:
    """The 3-D frames of a run with their boundaries as VTK data. Only the colors of the boundaries ever change.

    Args:
        run: the run to be shown.
        depth_scale: the manifold depth at which the color is full; None for that of the frames.

    Attributes:
        run: as given.
        is_planar: whether the scene lies in the plane.
        frames: in space; those of the plane after `embed_frame_in_3d`.
        boundaries: the boundary of each frame with its present colors.
        boundary_lines: the boundary of each frame as a curve in the plane; None in space.
        steps: the training step of each frame, increasing.
    """

    def __init__(self, run: RunView, depth_scale: float | None = None) -> None:
        self.run = run
        self.is_planar = run.frames[0].drawing.ambient_dim == 2
        scale = run.frames[0].depth_scale if depth_scale is None else depth_scale
        self.frames = [embed_frame_in_3d(dataclasses.replace(frame, depth_scale=scale)) for frame in run.frames]
        self.boundaries = boundary_polydata_list(self.frames)
        self._default_colors = [np.array(boundary.point_data["color"]) for boundary in self.boundaries]
        self.boundary_lines = [_boundary_line(frame) if self.is_planar else None for frame in self.frames]
        self.steps = np.array([frame.step for frame in run.frames], dtype=np.int64)

    def snapshot_index(self, step: int) -> int:
        """Return the index of the last snapshot at or before a step; 0 if there is none."""
        return max(int(np.searchsorted(self.steps, step, side="right")) - 1, 0)

    def vertices(self, index: int) -> FloatArray:
        """Return the vertices `(V, n)` of the boundary of a snapshot, at which quantities are measured."""
        drawing = self.run.frames[index].drawing
        layer = drawing.layer("boundary")
        return np.zeros((0, drawing.ambient_dim)) if layer is None else layer.mesh.vertices

    def color_boundary(self, index: int, colors: NDArray[np.uint8] | None) -> None:
        """Color the boundary of a snapshot.

        Args:
            index: of the snapshot.
            colors: `(V, 3)` at its `vertices`; None for the original colors.
        """
        layer = self.run.frames[index].drawing.layer("boundary")
        if layer is None or len(layer.mesh.faces) == 0:
            return
        vertex_colors = self._default_colors[index] if colors is None else colors
        if self.is_planar and colors is not None:
            vertex_colors = map_to_ribbons(layer.mesh, colors)
        elif layer.manifold_depth is None and colors is not None:
            vertex_colors = np.tile(colors, (2, 1))
        self.boundaries[index].point_data["color"] = vertex_colors
        self.boundaries[index].set_active_scalars("color")


def _boundary_line(frame: Frame) -> "pv.PolyData | None":
    """Return the boundary of a planar scene as a curve; None if class regions fill the plane and show it anyway."""
    if frame.cross_section is None or frame.drawing.class_regions is not None:
        return None
    return cross_section_line(frame.cross_section)


def make_animations(runs: Sequence[RunView]) -> list[Animation]:
    """Return the animations of runs that are shown side by side, with one color scale for their manifold depth."""
    scale = max(run.frames[0].depth_scale for run in runs)
    return [Animation(run, scale) for run in runs]
