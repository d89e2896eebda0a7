"""One run or two beside each other, as a picture: what a window shows, and what is photographed and filmed from it."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

from dimple.views.content.camera import FLOOR_ROOM, VIEW_ANGLE, Camera, camera_of, close_look, look, look_down
from dimple.views.content.frame import Drawing, Reals
from dimple.views.style.colors import PAPER, RULE
from dimple.views.style.markers import GHOST_DEPTH
from dimple.views.vtk.overlay import Overlay
from dimple.views.vtk.polydata import unit
from dimple.views.window.animation import Reel
from dimple.views.window.colorings import Paint
from dimple.views.window.legend import legend_card
from dimple.views.window.panel import MARGIN, Panel

if TYPE_CHECKING:
    import pyvista as pv

# The share of a window's height that its controls take.
STRIP = 0.1


@final
@dataclasses.dataclass(frozen=True)
class Looks:
    """How an exhibit is shown, whatever its step.

    Attributes:
        paint: what the boundaries are coloured by.
        translucent: whether one sees through the boundaries.
        manifold: whether the manifolds are shown.
        points: by panel, the training point in question.
        cut: the direction, `(3,)`, towards which the scene is cut away at that point; None for a whole one.
    """

    paint: Paint
    translucent: bool = False
    manifold: bool = True
    points: tuple[int | None, ...] = ()
    cut: Reals | None = None


@final
class Exhibit:
    """The runs in one plotter, side by side, with one camera for all, one step and one legend.

    Args:
        reels: at least one, of scenes in the same space.
        size: pixels, width and height.
        looks: how they are shown.
        off_screen: draw into memory instead of a window.
        strip: whether a strip beneath the scenes is left free, for controls.
        scale: pixels for one of the window, so that letters and markers have their size in larger pictures.
        key: the key that changes the quantity, for the legend.
    """

    def __init__(
        self,
        reels: Sequence[Reel],
        size: tuple[int, int],
        looks: Looks,
        *,
        off_screen: bool = True,
        strip: bool = False,
        scale: int = 1,
        key: str = "",
    ) -> None:
        self.reels, self.looks, self.step = reels, looks, int(reels[0].steps[0])
        self.plotter: Any = _plotter(len(reels), size, off_screen, strip)
        self.panels: list[Panel] = []
        self._scale, self._key = scale, key
        titles = [reel.frames[0].title for reel in reels]
        # Two runs of one scene are told apart by their folders.
        alike = len(set(titles)) < len(titles)
        names = [reel.show.path.name if alike else title for reel, title in zip(reels, titles, strict=True)]
        for column, reel in enumerate(reels):
            self.plotter.subplot(0, column)
            self.panels.append(Panel(self.plotter, reel, names[column], scale))
        self.view: Any = self.panels[0].renderer.camera
        for panel in self.panels[1:]:
            panel.renderer.camera = self.view
        # What is near enough to be seen is decided by the boxes of all runs, as they share the camera; outlines of
        # points stand a little before them.
        whole, first = self._whole(), self.panels[0].renderer
        room = GHOST_DEPTH * whole.side
        bounds = [end for low, high in zip(whole.low, whole.high, strict=True) for end in (low - room, high + room)]
        first.AddObserver("StartEvent", lambda *_: first.ResetCameraClippingRange(bounds))
        if reels[0].flat:
            first.AddObserver("StartEvent", lambda *_: self._make_room(whole))
        self._legend = Overlay(first, (0.0, 0.0), MARGIN * scale)
        self.from_afar()
        self.wear(looks)

    def show(self, step: int) -> None:
        """Go to a step of training: in each run the last snapshot that is not after it."""
        self.step = step
        for panel in self.panels:
            panel.show(panel.reel.at(step))

    def wear(self, looks: Looks) -> None:
        """Show it otherwise; the boundaries themselves are painted by their paint."""
        for panel, point in zip(self.panels, looks.points or [None] * len(self.panels), strict=True):
            panel.scenery.see_through(looks.translucent)
            panel.scenery.show_manifold(looks.manifold)
            panel.pick(point)
        self.looks = looks
        drawings = [reel.frames[0].drawing for reel in self.reels]
        paint = looks.paint
        hollow = not self.reels[0].flat
        self._legend.show(legend_card(paint.quantity, paint.scale, drawings, self._key, self._scale, hollow))
        self._cut()

    def points_like(self, panel: Panel, point: int | None) -> tuple[int | None, ...]:
        """By panel, the point to ask about where one was picked in `panel`: the same where the points are the same."""
        places = panel.frame.drawing.points.positions
        return tuple(
            point if other is panel or np.array_equal(places, other.frame.drawing.points.positions) else None
            for other in self.panels
        )

    @property
    def camera(self) -> Camera:
        """Where all are looked at from."""
        return camera_of(self.view)

    def look_through(self, camera: Camera) -> None:
        """Move the camera of all."""
        self.view.position = tuple(camera.position.tolist())
        self.view.focal_point = tuple(camera.focus.tolist())
        self.view.up = tuple(camera.up.tolist())
        self.view.view_angle = VIEW_ANGLE

    def from_afar(self) -> None:
        """Look at the whole of the boxes."""
        whole, section = self._whole(), self.reels[0].frames[0].section
        self.look_through(look_down(whole) if self.reels[0].flat else look(whole, section.plane if section else None))

    def close_camera(self) -> Camera | None:
        """Where to look from at the first point in question that has a step to the boundary; None without one."""
        for panel in self.panels:
            # The length of an unknown step is no number, which is not above zero either.
            if panel.picked is not None and np.linalg.norm(panel.picked.whole) > 0:
                return close_look(panel.picked.place, panel.picked.on, panel.picked.off, self.camera)
        return None

    def picture(self) -> Image.Image:
        """What is seen."""
        self.plotter.render_window.Render()
        return Image.fromarray(np.asarray(self.plotter.screenshot(return_img=True)))

    def copy(self, size: tuple[int, int], scale: int = 1) -> "Exhibit":
        """The same off the screen, without room for controls; a translucent one sorts what lies behind what."""
        other = Exhibit(self.reels, (scale * size[0], scale * size[1]), self.looks, scale=scale)
        other.look_through(self.camera)
        if self.looks.translucent:
            for panel in other.panels:
                panel.renderer.enable_depth_peeling(4)
        other.show(self.step)
        return other

    def close(self) -> None:
        """Free the plotter and what it holds in the graphics memory."""
        self.plotter.close()

    def _make_room(self, whole: Drawing) -> None:
        """Move what is flat to the right, out from under the captions, as far as it stays in the picture."""
        width, height = self.panels[0].renderer.GetSize()
        across, up = (b - a for a, b in zip(whole.low[:2], whole.high[:2], strict=True))
        free = width - 1.05 * height / FLOOR_ROOM * across / max(across, up)
        covered = max(self._legend.size[0] + 2 * self._legend.margin, *(panel.covered for panel in self.panels))
        self.view.SetWindowCenter(-max(0.0, min(covered, free)) / max(width, 1), 0.0)

    def _whole(self) -> Drawing:
        """A drawing whose box holds those of all runs."""
        drawings = [reel.frames[0].drawing for reel in self.reels]
        low = np.min([drawing.low for drawing in drawings], axis=0)
        high = np.max([drawing.high for drawing in drawings], axis=0)
        return dataclasses.replace(drawings[0], low=tuple(low.tolist()), high=tuple(high.tolist()))

    def _cut(self) -> None:
        """Cut the scenes open at the point in question, or heal them."""
        asked = next((panel.picked for panel in self.panels if panel.picked is not None), None)
        for panel in self.panels:
            if self.looks.cut is not None and asked is not None:
                panel.scenery.cut_open(asked.place, self.looks.cut)
            else:
                panel.scenery.heal()


def _plotter(columns: int, size: tuple[int, int], off_screen: bool, strip: bool) -> "pv.Plotter":
    import pyvista as pv

    layout: dict[str, Any] = {"shape": (1, columns)}
    if strip:
        layout = {"shape": (2, columns), "row_weights": [1 - STRIP, STRIP], "groups": [(1, slice(None))]}
    plotter = pv.Plotter(
        off_screen=off_screen, window_size=list(size), lighting="none", border=columns > 1,
        border_color=unit(RULE), **layout,
    )  # fmt: skip
    plotter.set_background(unit(PAPER), all_renderers=True)  # type: ignore[arg-type]
    # Without a graphics card multisampling triples the time of a render, and blanks it with translucent layers.
    plotter.disable_anti_aliasing(all_renderers=True)
    return plotter
