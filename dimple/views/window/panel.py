"""One run in one renderer: its scene, its caption and the picked training point."""

import functools
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

from dimple.stats.aggregate import DISTANCE_UNIT
from dimple.views.content.camera import camera_from_vtk
from dimple.views.content.frame import Frame
from dimple.views.drawing.axes import draw_axes
from dimple.views.drawing.info_panels import caption_content, draw_info_panel
from dimple.views.style.markers import HIDDEN_OUTLINE_DEPTH
from dimple.views.vtk.billboards import BillboardOverlay, make_billboards
from dimple.views.vtk.glyphs import Arrows, Markers
from dimple.views.vtk.overlay import Overlay
from dimple.views.vtk.surfaces import SceneSurfaces
from dimple.views.window.animation import Animation
from dimple.views.window.picking import PickedPoint, draw_picked_point, measure_picked_point

if TYPE_CHECKING:
    import pyvista as pv

# Pixels between the overlays and the edge of the renderer, at scale 1.
OVERLAY_PADDING = 8


@final
class RunPanel:
    """The part of a window or an image that shows one run.

    Args:
        plotter: the panel is drawn into its active renderer.
        animation: of the run.
        name: of the run in its caption.
        scale: pixels of the image for one of the window.

    Attributes:
        animation: as given.
        index: of the snapshot that is shown.
        picked_point: None while no point is picked.
        renderer: the renderer of the panel.
        surfaces: the boundary, the manifold and the box.
        arrows: the step from the picked point to the boundary.
    """

    def __init__(self, plotter: "pv.Plotter", animation: Animation, name: str, scale: int = 1) -> None:
        self.animation = animation
        self.index = 0
        self.picked_point: PickedPoint | None = None
        self.renderer: Any = plotter.renderer
        self._name = name
        self._scale = scale
        first = animation.frames[0].drawing
        self.surfaces = SceneSurfaces(plotter, animation.frames[0])
        self.surfaces.show_box(first, None)
        if not animation.is_planar:
            self.renderer.AddObserver(
                "StartEvent", lambda *_: self.surfaces.show_box(first, camera_from_vtk(self.renderer.camera))
            )
        self.arrows = Arrows(plotter, scale)
        self._markers = Markers(plotter, first.points, HIDDEN_OUTLINE_DEPTH * first.longest_side, scale)
        self._caption = Overlay(self.renderer, (0.0, 1.0), OVERLAY_PADDING * scale)
        self._point_info = Overlay(self.renderer, (1.0, 1.0), OVERLAY_PADDING * scale, self._caption)
        self._axes = Overlay(self.renderer, (1.0, 0.0), OVERLAY_PADDING * scale)
        self._axes_view: bytes | None = None
        self._unit = DISTANCE_UNIT if first.class_regions is None else first.class_regions.unit
        self.renderer.AddObserver("StartEvent", lambda *_: self._show_axes())
        self._billboards = BillboardOverlay(self.renderer)
        self._caption_images: dict[int, Image.Image] = {}

    @functools.cached_property
    def caption_size(self) -> tuple[int, int]:
        """Width and height in pixels that the largest captions of all snapshots cover, counted from the upper left."""
        images = [self._caption_image(index) for index in range(len(self.animation.frames))]
        padding = 2 * OVERLAY_PADDING * self._scale
        return max(image.width for image in images) + padding, max(image.height for image in images) + padding

    @property
    def frame(self) -> Frame:
        """The snapshot that is shown."""
        return self.animation.frames[self.index]

    def show_snapshot(self, index: int) -> None:
        """Show a snapshot. The picked point stays the same and is measured again."""
        self.index = index
        self.surfaces.show(self.animation.boundaries[index], self.animation.boundary_lines[index])
        self._caption.show(self._caption_image(index))
        self._billboards.show(self.frame, make_billboards(self.frame, self._scale))
        self.pick(None if self.picked_point is None else self.picked_point.index)

    def _show_axes(self) -> None:
        """Draw axes and scale bar again if the camera or the height of the panel changed."""
        camera = camera_from_vtk(self.renderer.camera)
        height = int(self.renderer.GetSize()[1])
        view = np.concatenate([camera.position, camera.focal_point, camera.up, [height]]).tobytes()
        if height > 0 and view != self._axes_view:
            self._axes_view = view
            self._axes.show(draw_axes(camera, height, self._unit, self._scale))

    def _caption_image(self, index: int) -> Image.Image:
        if index not in self._caption_images:
            self._caption_images[index] = draw_info_panel(
                *caption_content(self.animation.frames[index], self._name), self._scale
            )
        return self._caption_images[index]

    def pick(self, point: int | None) -> None:
        """Pick a training point by its row, or none: show its statistics and the arrows to the boundary."""
        self._markers.show(self.frame.drawing.points, point)
        if point is None:
            self.picked_point = None
            self.arrows.hide()
            self._point_info.show(None)
            return
        picked = measure_picked_point(self.animation, self.index, point)
        self.picked_point = picked
        self.arrows.show(picked.position, picked.total, picked.on_manifold, picked.off_manifold)
        self._point_info.show(draw_picked_point(picked, self._scale))
