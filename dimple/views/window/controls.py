"""What a window is steered by: the slider and the lines beneath it, keys and their list, clicks, and the clock."""

import dataclasses
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, final

from dimple.views.drawing.info_panels import keys_card, line_card
from dimple.views.style.colors import INK, RULE
from dimple.views.vtk.opengl import by_processor
from dimple.views.vtk.overlay import Overlay
from dimple.views.vtk.polydata import unit

if TYPE_CHECKING:
    import pyvista as pv

HINT = "space: play    ← →: step    c: colour    click a point    z: close to it    h: all keys"
# A press and a release nearer than this, in pixels, are a click; otherwise the scene was turned.
STILL = 4
BEAT_MILLISECONDS = 10


@final
@dataclasses.dataclass(frozen=True)
class Key:
    """A key, as VTK calls it and as a reader does, with what it does in words and in deed."""

    symbol: str
    label: str
    words: str
    action: Callable[[], None]


@final
class Controls:
    """The strip beneath the scenes of a plotter, and the events of its window.

    Args:
        plotter: with a last renderer that is left for the strip.
        places: over how many the slider goes; there is none for a single one.
        keys: instead of all that VTK and pyvista have of their own.
        slide: called with the place that the slider was put to.
        click: called with the pixel that was clicked at, from the lower left.
    """

    def __init__(
        self,
        plotter: "pv.Plotter",
        places: int,
        keys: Sequence[Key],
        slide: Callable[[int], None],
        click: Callable[[int, int], None],
    ) -> None:
        # Typed loosely: the decorators of pyvista hide what its methods take.
        self._plotter: Any = plotter
        self._keys, self._click = keys, click
        self._pressed = (0, 0)
        strip: Any = plotter.renderers[-1]
        self._hint, self._message = Overlay(strip, (0.0, 0.0), 3), Overlay(strip, (1.0, 0.0), 3)
        self._list = Overlay(plotter.renderers[0], (0.5, 0.5))
        self._hint.show(line_card(HINT))
        self._slider = self._add_slider(places, slide) if places > 1 else None
        self._bind()

    def put(self, place: int) -> None:
        """Move the slider."""
        if self._slider is not None:
            self._slider.GetRepresentation().SetValue(place)

    def say(self, message: str) -> None:
        """Write a line at the right of the strip; nothing for an empty one."""
        self._message.show(line_card(message, INK) if message else None)

    def list_keys(self) -> None:
        """Show all keys in front of the scene, or put them away."""
        rows = [(key.label, key.words) for key in self._keys]
        self._list.show(None if self._list.shown else keys_card(rows))

    def run(self, beat: Callable[[], None], title: str) -> None:
        """Show the window until it is closed, calling `beat` many times a second.

        Raises:
            KeyboardInterrupt: after an interrupt, which closes it too.
        """
        interactor = self._plotter.iren
        # A timer of VTK's own, as the window's event loop leaves no other chance to move on.
        interactor.add_observer("TimerEvent", lambda *_: beat())
        interactor.initialize()
        if not by_processor(self._plotter.render_window):
            self._plotter.enable_anti_aliasing("fxaa", all_renderers=True)
        interactor.create_timer(BEAT_MILLISECONDS)
        interrupts: list[int] = []

        def interrupt(number: int, _: object) -> None:
            interrupts.append(number)
            interactor.terminate_app()

        # VTK drops what is raised within its events, an interrupt too.
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            self._plotter.show(title=title, auto_close=True)
        finally:
            signal.signal(signal.SIGINT, before)
        if interrupts:
            raise KeyboardInterrupt

    def _bind(self) -> None:
        interactor = self._plotter.iren
        interactor.clear_key_event_callbacks()
        for key in self._keys:
            self._plotter.add_key_event(key.symbol, key.action)
        # VTK itself would answer letters too, with wireframes, stereo and flights.
        interactor.style.add_observer("CharEvent", lambda *_: None)
        interactor.style.add_observer("LeftButtonPressEvent", lambda *_: self._press())
        interactor.style.add_observer("LeftButtonReleaseEvent", lambda *_: self._release())

    def _press(self) -> None:
        self._pressed = self._plotter.iren.get_event_position()

    def _release(self) -> None:
        x, y = self._plotter.iren.get_event_position()
        if max(abs(x - self._pressed[0]), abs(y - self._pressed[1])) < STILL:
            self._click(x, y)

    def _add_slider(self, places: int, slide: Callable[[int], None]) -> Any:
        """Over places, as steps are spaced logarithmically."""
        self._plotter.subplot(1, 0)
        slider = self._plotter.add_slider_widget(
            lambda value: slide(round(value)), (0, places - 1), value=0, pointa=(0.02, 0.66), pointb=(0.98, 0.66),
            fmt="", interaction_event="always", color=unit(INK), title="", tube_width=0.04, slider_width=0.3,
        )  # fmt: skip
        handle = slider.GetRepresentation()
        handle.ShowSliderLabelOff()
        handle.SetSliderLength(0.012)
        handle.SetEndCapLength(0.0)
        handle.GetSelectedProperty().SetColor(*unit(INK))
        handle.GetTubeProperty().SetColor(*unit(RULE))
        return slider
