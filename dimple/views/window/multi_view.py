"""One run, or several side by side, in one plotter: shown in a window, and rendered for screenshots and films."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

from dimple.views.content.camera import (
    TOP_VIEW_HEIGHT_RATIO,
    VIEW_ANGLE,
    Camera,
    camera_from_vtk,
    close_up_camera,
    default_camera,
    top_view_camera,
)
from dimple.views.content.frame import Drawing, FloatArray
from dimple.views.style.colors import BACKGROUND_COLOR, GRID_LINE_COLOR
from dimple.views.style.markers import HIDDEN_OUTLINE_DEPTH
from dimple.views.vtk.overlay import Overlay
from dimple.views.vtk.polydata import unit_rgb
from dimple.views.window.animation import Animation
from dimple.views.window.colorings import Coloring
from dimple.views.window.legend import draw_legend
from dimple.views.window.panel import OVERLAY_PADDING, RunPanel

if TYPE_CHECKING:
    import pyvista as pv

# Fraction of the height of a window that its controls take.
CONTROLS_FRACTION = 0.1
# Radius of a ball that the bulges of a boundary around the training points seldom leave, in radii of the points.
BALL_FACTOR = 1.1


@final
@dataclasses.dataclass(frozen=True)
class ViewOptions:
    """Options of a `MultiView` that do not depend on the training step.

    Attributes:
        coloring: of the boundaries.
        translucent: whether the boundaries are translucent.
        show_manifold: whether the manifolds are shown.
        picked_points: the row of the picked training point for each panel, or None; empty for no picked point at all.
        cut_direction: `(3,)`; the part of the scene beyond the picked point in this direction is hidden. None shows
            everything.
    """

    coloring: Coloring
    translucent: bool = False
    show_manifold: bool = True
    picked_points: tuple[int | None, ...] = ()
    cut_direction: FloatArray | None = None


@final
class MultiView:
    """Runs side by side in one plotter, with a common training step and legend, and one camera or one each.

    Args:
        animations: of the runs, at least one, of scenes in the same space.
        size: width and height in pixels.
        options: see `ViewOptions`.
        off_screen: render into memory instead of a window.
        with_controls: whether space for controls is left free below the scenes.
        scale: pixels of the image for one of the window, so that text and markers keep their relative size in larger
            images.
        key_hint: text for the legend that names the key that changes the quantity.

    Attributes:
        animations, options: as given.
        step: the training step that is shown.
        plotter: the plotter of all panels.
        panels: one for each run.
    """

    def __init__(
        self,
        animations: Sequence[Animation],
        size: tuple[int, int],
        options: ViewOptions,
        *,
        off_screen: bool = True,
        with_controls: bool = False,
        scale: int = 1,
        key_hint: str = "",
    ) -> None:
        self.animations = animations
        self.options = options
        self.step = int(animations[0].steps[0])
        self.plotter: Any = _make_plotter(len(animations), size, off_screen, with_controls)
        self.panels: list[RunPanel] = []
        self._scale = scale
        self._key_hint = key_hint
        titles = [animation.frames[0].title for animation in animations]
        # Runs of the same scene are named after their folders.
        has_duplicates = len(set(titles)) < len(titles)
        for column, (animation, title) in enumerate(zip(animations, titles, strict=True)):
            self.plotter.subplot(0, column)
            name = animation.run.path.name if has_duplicates else title
            self.panels.append(RunPanel(self.plotter, animation, name, scale))
        self.link_cameras(True)
        combined = self._combined_drawing()
        first_renderer = self.panels[0].renderer
        shift = self._shift_plane_from_captions if animations[0].is_planar else self._shift_space_from_captions
        self._shift_from_captions = functools.partial(shift, combined)
        # The clipping range must contain the boxes of all runs, because they share the camera, and the outlines of
        # points, which lie a little in front of the boxes.
        padding = HIDDEN_OUTLINE_DEPTH * combined.longest_side
        bounds = [
            end
            for low, high in zip(combined.low, combined.high, strict=True)
            for end in (low - padding, high + padding)
        ]
        for panel in self.panels:
            panel.renderer.AddObserver("StartEvent", functools.partial(_reset_clipping, panel.renderer, bounds))
        first_renderer.AddObserver("StartEvent", lambda *_: self._shift_from_captions())
        self._legend = Overlay(first_renderer, (0.0, 0.0), OVERLAY_PADDING * scale)
        self.reset_camera()
        self.apply_options(options)

    def show_step(self, step: int) -> None:
        """Show a training step: in each run the last snapshot at or before it."""
        self.step = step
        for panel in self.panels:
            panel.show_snapshot(panel.animation.snapshot_index(step))
        self._show_legend()

    def apply_options(self, options: ViewOptions) -> None:
        """Change the options. The colors of the boundaries are set by `Coloring.apply`, not here."""
        for panel, point in zip(self.panels, options.picked_points or [None] * len(self.panels), strict=True):
            panel.surfaces.set_translucent(options.translucent)
            panel.surfaces.set_manifold_visible(options.show_manifold)
            panel.pick(point)
        self.options = options
        self._show_legend()
        self._update_clipping()

    def _show_legend(self) -> None:
        coloring = self.options.coloring
        self._legend.show(
            draw_legend(
                coloring.quantity,
                coloring.color_scale,
                [panel.frame.drawing for panel in self.panels],
                self._key_hint,
                self._scale,
                show_hidden=not self.animations[0].is_planar,
                show_manifold=self.options.show_manifold,
            )
        )
        self._shift_from_captions()

    def matching_points(self, panel: RunPanel, point: int | None) -> tuple[int | None, ...]:
        """Return the picked point of each panel when `point` is picked in `panel`.

        Panels with the same training points get the same point, the others None.
        """
        positions = panel.frame.drawing.points.positions
        return tuple(
            point if other is panel or np.array_equal(positions, other.frame.drawing.points.positions) else None
            for other in self.panels
        )

    @property
    def camera(self) -> Camera:
        """The camera of the first panel, and of all while they are linked."""
        return camera_from_vtk(self.panels[0].renderer.camera)

    @property
    def cameras_linked(self) -> bool:
        """True while all panels have one camera."""
        return all(panel.renderer.camera is self.panels[0].renderer.camera for panel in self.panels)

    def link_cameras(self, linked: bool) -> None:
        """Give all panels the camera of the first one, or each panel a camera of its own, which starts as a copy."""
        first = self.panels[0].renderer.camera
        for panel in self.panels[1:]:
            panel.renderer.camera = first if linked else first.copy()

    def set_camera(self, camera: Camera) -> None:
        """Move the cameras of all panels."""
        for panel in self.panels:
            _move_camera(panel, camera)

    def reset_camera(self) -> None:
        """Move the camera to its first position, from which the boxes of all runs are visible."""
        combined = self._combined_drawing()
        cross_section = self.animations[0].frames[0].cross_section
        self._first_camera = (
            top_view_camera(combined)
            if self.animations[0].is_planar
            else default_camera(combined, cross_section.plane if cross_section else None)
        )
        self.set_camera(self._first_camera)

    def close_up_camera(self) -> Camera | None:
        """Return a camera close to the first picked point that has a step to the boundary; None without one."""
        for panel in self.panels:
            # The length of an unknown step is nan, and nan > 0 is false.
            if panel.picked_point is not None and np.linalg.norm(panel.picked_point.total) > 0:
                return close_up_camera(
                    panel.picked_point.position,
                    panel.picked_point.on_manifold,
                    panel.picked_point.off_manifold,
                    self.camera,
                )
        return None

    def render(self) -> Image.Image:
        """Return the image that the camera sees."""
        self.plotter.render_window.Render()
        return Image.fromarray(np.asarray(self.plotter.screenshot(return_img=True)))

    def offscreen_copy(self, size: tuple[int, int], scale: int = 1) -> "MultiView":
        """Return the same view off the screen, without controls. Translucent surfaces are sorted by depth."""
        copy = MultiView(self.animations, (scale * size[0], scale * size[1]), self.options, scale=scale)
        copy.link_cameras(self.cameras_linked)
        for panel, copied in zip(self.panels, copy.panels, strict=True):
            _move_camera(copied, camera_from_vtk(panel.renderer.camera))
        if self.options.translucent:
            for panel in copy.panels:
                panel.renderer.enable_depth_peeling(4)
        copy.show_step(self.step)
        return copy

    def close(self) -> None:
        """Free the plotter and what it holds in the graphics memory."""
        self.plotter.close()

    def _shift_space_from_captions(self, combined: Drawing) -> None:
        """Move a scene in space to the right, where the ball around its points would be under a caption or the legend.

        The ball is that at the first position of the camera; it stays inside the image.
        """
        width, height = self.panels[0].renderer.GetSize()
        center = (np.array(combined.low) + np.array(combined.high)) / 2
        points = np.concatenate([panel.frame.drawing.points.positions for panel in self.panels])
        distance = float(np.linalg.norm(self._first_camera.position - self._first_camera.focal_point))
        reach = BALL_FACTOR * float(np.linalg.norm(points - center, axis=1).max(initial=0.0))
        radius = height / 2 * reach / distance / np.tan(np.radians(VIEW_ANGLE / 2))
        legend = tuple(length + 2 * self._legend.padding for length in self._legend.size)
        captions = [panel.caption_size for panel in self.panels]
        # For each corner that the ball must not touch, where its center must be.
        needed = 0.0
        for covered_width, covered_height in (legend, *captions):
            above = max(height / 2 - covered_height, 0.0)
            if above < radius:
                needed = max(needed, covered_width + float(np.sqrt(radius**2 - above**2)))
        is_close_up = self.options.cut_direction is not None
        shift = 0.0 if is_close_up else max(0.0, min(needed - width / 2, width / 2 - radius))
        self._set_window_center(-2 * shift / max(width, 1))

    def _shift_plane_from_captions(self, combined: Drawing) -> None:
        """Move a planar scene to the right of legend and captions, as far as it stays inside the image."""
        width, height = self.panels[0].renderer.GetSize()
        across, up = (b - a for a, b in zip(combined.low[:2], combined.high[:2], strict=True))
        free = width - 1.05 * height / TOP_VIEW_HEIGHT_RATIO * across / max(across, up)
        covered_width = max(
            self._legend.size[0] + 2 * self._legend.padding, *(panel.caption_size[0] for panel in self.panels)
        )
        self._set_window_center(-max(0.0, min(covered_width, free)) / max(width, 1))

    def _set_window_center(self, center: float) -> None:
        for panel in self.panels:
            panel.renderer.camera.SetWindowCenter(center, 0.0)

    def _combined_drawing(self) -> Drawing:
        """Return the first drawing with a box that contains those of all runs."""
        drawings = [animation.frames[0].drawing for animation in self.animations]
        low = np.min([drawing.low for drawing in drawings], axis=0)
        high = np.max([drawing.high for drawing in drawings], axis=0)
        return dataclasses.replace(drawings[0], low=tuple(low.tolist()), high=tuple(high.tolist()))

    def _update_clipping(self) -> None:
        """Clip the scenes at the picked point, or remove the clipping."""
        picked = next((panel.picked_point for panel in self.panels if panel.picked_point is not None), None)
        for panel in self.panels:
            if self.options.cut_direction is not None and picked is not None:
                panel.surfaces.clip_by_plane(picked.position, self.options.cut_direction)
            else:
                panel.surfaces.remove_clipping()


def _move_camera(panel: RunPanel, camera: Camera) -> None:
    moved = panel.renderer.camera
    moved.position = tuple(camera.position.tolist())
    moved.focal_point = tuple(camera.focal_point.tolist())
    moved.up = tuple(camera.up.tolist())
    moved.view_angle = VIEW_ANGLE


def _reset_clipping(renderer: Any, bounds: list[float], *_: object) -> None:
    renderer.ResetCameraClippingRange(bounds)


def _make_plotter(columns: int, size: tuple[int, int], off_screen: bool, with_controls: bool) -> "pv.Plotter":
    import pyvista as pv

    layout: dict[str, Any] = {"shape": (1, columns)}
    if with_controls:
        layout = {
            "shape": (2, columns),
            "row_weights": [1 - CONTROLS_FRACTION, CONTROLS_FRACTION],
            "groups": [(1, slice(None))],
        }
    plotter = pv.Plotter(
        off_screen=off_screen, window_size=list(size), lighting="none", border=columns > 1,
        border_color=unit_rgb(GRID_LINE_COLOR), **layout,
    )  # fmt: skip
    plotter.set_background(unit_rgb(BACKGROUND_COLOR), all_renderers=True)  # type: ignore[arg-type]
    # Without a graphics card multisampling triples the render time, and images with translucent layers stay blank.
    plotter.disable_anti_aliasing(all_renderers=True)
    return plotter
