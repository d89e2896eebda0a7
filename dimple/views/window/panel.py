"""One run in one renderer: its scene, its caption, and the training point that somebody asked about."""

import functools
from typing import TYPE_CHECKING, Any, final

from PIL import Image

from dimple.views.content.camera import camera_of
from dimple.views.content.frame import Frame
from dimple.views.drawing.info_panels import caption, facts_card
from dimple.views.style.markers import GHOST_DEPTH
from dimple.views.vtk.billboards import Tags, tags_of
from dimple.views.vtk.glyphs import Arrows, Markers
from dimple.views.vtk.overlay import Overlay
from dimple.views.vtk.surfaces import Scenery
from dimple.views.window.animation import Reel
from dimple.views.window.picking import Picked, picked_card, picked_of

if TYPE_CHECKING:
    import pyvista as pv

MARGIN = 8


@final
class Panel:
    """The part of a window, or of a picture, that shows one run.

    Args:
        plotter: whose active renderer is drawn into.
        name: what the run is called in its caption.
        scale: pixels of the picture for one of the window.

    Attributes:
        index: the place of the snapshot that is shown.
        picked: the point in question; None while there is none.
    """

    def __init__(self, plotter: "pv.Plotter", reel: Reel, name: str, scale: int = 1) -> None:
        self.reel = reel
        self.index = 0
        self.picked: Picked | None = None
        self.renderer: Any = plotter.renderer
        self._name, self._scale = name, scale
        first = reel.frames[0].drawing
        self.scenery = Scenery(plotter, reel.frames[0])
        self.scenery.enclose(first, None)
        if not reel.flat:
            self.renderer.AddObserver(
                "StartEvent", lambda *_: self.scenery.enclose(first, camera_of(self.renderer.camera))
            )
        self.arrows = Arrows(plotter, scale)
        self._markers = Markers(plotter, first.points, GHOST_DEPTH * first.side, scale)
        self._caption = Overlay(self.renderer, (0.0, 1.0), MARGIN * scale)
        self._figures = Overlay(self.renderer, (1.0, 1.0), MARGIN * scale, self._caption)
        self._tags = Tags(self.renderer)
        self._captions: dict[int, Image.Image] = {}

    @functools.cached_property
    def covered(self) -> int:
        """Over so many pixels from the left the caption of one snapshot or another lies."""
        return max(self._card(index).width for index in range(len(self.reel.frames))) + 2 * MARGIN * self._scale

    @property
    def frame(self) -> Frame:
        """The snapshot that is shown."""
        return self.reel.frames[self.index]

    def show(self, index: int) -> None:
        """Go to a snapshot, with the point in question."""
        self.index = index
        self.scenery.show(self.reel.boundaries[index], self.reel.lines[index])
        self._caption.show(self._card(index))
        self._tags.show(self.frame, tags_of(self.frame, self._scale))
        self.pick(None if self.picked is None else self.picked.index)

    def _card(self, index: int) -> Image.Image:
        if index not in self._captions:
            self._captions[index] = facts_card(*caption(self.reel.frames[index], self._name), self._scale)
        return self._captions[index]

    def pick(self, point: int | None) -> None:
        """Ask about a training point, by its row, or about none."""
        self._markers.show(self.frame.drawing.points, point)
        if point is None:
            self.picked = None
            self.arrows.hide()
            self._figures.show(None)
            return
        self.picked = picked_of(self.reel, self.index, point)
        self.arrows.show(self.picked.place, self.picked.whole, self.picked.on, self.picked.off)
        self._figures.show(picked_card(self.picked, self._scale))
