"""Controls of a window: the slider and the lines of text below it, the keys and their list, clicks, and the timer."""

import dataclasses
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, final

from dimple.views.drawing.info_panels import draw_key_list, draw_text_line
from dimple.views.style.colors import FOREGROUND_COLOR, GRID_LINE_COLOR
from dimple.views.vtk.opengl import is_software_rendered
from dimple.views.vtk.overlay import Overlay
from dimple.views.vtk.polydata import unit_rgb

if TYPE_CHECKING:
    import pyvista as pv

# Shown below the slider.
KEYS_HINT = "space: play    ← →: step    c: color    click: pick a point    z: zoom to the point    h: all keys"
# Pixels. A press and a release that are closer together than this are a click; otherwise the user turned the scene.
CLICK_TOLERANCE = 4
TIMER_MILLISECONDS = 10


@final
@dataclasses.dataclass(frozen=True)
class KeyBinding:
    """A key and its action.

    Attributes:
        symbol: name of the key in VTK.
        label: name of the key for the user.
        description: of the action, for the list of keys.
        action: called when the key is pressed.
    """

    symbol: str
    label: str
    description: str
    action: Callable[[], None]


@final
class Controls:
    """The control area below the scenes of a plotter, and the events of its window.

    Args:
        plotter: its last renderer is the control area.
        num_positions: positions of the slider; there is no slider for a single position.
        key_bindings: they replace the keys of VTK and pyvista.
        on_slide: called with the index to which the user moves the slider.
        on_click: called with the clicked pixel, counted from the lower left corner.
    """

    def __init__(
        self,
        plotter: "pv.Plotter",
        num_positions: int,
        key_bindings: Sequence[KeyBinding],
        on_slide: Callable[[int], None],
        on_click: Callable[[int, int], None],
    ) -> None:
        # Any, because decorators of pyvista hide the parameters of its methods.
        self._plotter: Any = plotter
        self._key_bindings = key_bindings
        self._on_click = on_click
        self._press_position = (0, 0)
        control_area: Any = plotter.renderers[-1]
        self._hint = Overlay(control_area, (0.0, 0.0), 3)
        self._message = Overlay(control_area, (1.0, 0.0), 3)
        self._key_list = Overlay(plotter.renderers[0], (0.5, 0.5))
        self._hint.show(draw_text_line(KEYS_HINT))
        self._slider = self._add_slider(num_positions, on_slide) if num_positions > 1 else None
        self._bind_events()

    def set_slider(self, index: int) -> None:
        """Move the slider to a position."""
        if self._slider is not None:
            self._slider.GetRepresentation().SetValue(index)

    def show_message(self, message: str) -> None:
        """Show a line of text at the right of the control area; an empty message clears it."""
        self._message.show(draw_text_line(message, FOREGROUND_COLOR) if message else None)

    def toggle_key_list(self) -> None:
        """Show or hide the list of keys in front of the scene."""
        rows = [(key.label, key.description) for key in self._key_bindings]
        self._key_list.show(None if self._key_list.is_visible else draw_key_list(rows))

    def run(self, on_timer: Callable[[], None], title: str) -> None:
        """Show the window until it is closed, and call `on_timer` every `TIMER_MILLISECONDS`.

        Raises:
            KeyboardInterrupt: after an interrupt, which also closes the window.
        """
        interactor = self._plotter.iren
        # A VTK timer, because the event loop of the window runs nothing else.
        interactor.add_observer("TimerEvent", lambda *_: on_timer())
        interactor.initialize()
        if not is_software_rendered(self._plotter.render_window):
            self._plotter.enable_anti_aliasing("fxaa", all_renderers=True)
        interactor.create_timer(TIMER_MILLISECONDS)
        interrupts: list[int] = []

        def interrupt(number: int, _: object) -> None:
            interrupts.append(number)
            interactor.terminate_app()

        # VTK drops exceptions that are raised within its events, KeyboardInterrupt included.
        previous_handler = signal.signal(signal.SIGINT, interrupt)
        try:
            self._plotter.show(title=title, auto_close=True)
        finally:
            signal.signal(signal.SIGINT, previous_handler)
        if interrupts:
            raise KeyboardInterrupt

    def _bind_events(self) -> None:
        interactor = self._plotter.iren
        interactor.clear_key_event_callbacks()
        for key in self._key_bindings:
            self._plotter.add_key_event(key.symbol, key.action)
        # By default VTK has functions for letters too, such as wireframe and stereo display.
        interactor.style.add_observer("CharEvent", lambda *_: None)
        interactor.style.add_observer("LeftButtonPressEvent", lambda *_: self._on_press())
        interactor.style.add_observer("LeftButtonReleaseEvent", lambda *_: self._on_release())

    def _on_press(self) -> None:
        self._press_position = self._plotter.iren.get_event_position()

    def _on_release(self) -> None:
        x, y = self._plotter.iren.get_event_position()
        if max(abs(x - self._press_position[0]), abs(y - self._press_position[1])) < CLICK_TOLERANCE:
            self._on_click(x, y)

    def _add_slider(self, num_positions: int, on_slide: Callable[[int], None]) -> Any:
        """Add a slider over the indices of the steps, not over the steps, whose spacing is logarithmic."""
        self._plotter.subplot(1, 0)
        slider = self._plotter.add_slider_widget(
            lambda value: on_slide(round(value)), (0, num_positions - 1), value=0, pointa=(0.02, 0.66),
            pointb=(0.98, 0.66), fmt="", interaction_event="always", color=unit_rgb(FOREGROUND_COLOR), title="",
            tube_width=0.04, slider_width=0.3,
        )  # fmt: skip
        handle = slider.GetRepresentation()
        handle.ShowSliderLabelOff()
        handle.SetSliderLength(0.012)
        handle.SetEndCapLength(0.0)
        handle.GetSelectedProperty().SetColor(*unit_rgb(FOREGROUND_COLOR))
        handle.GetTubeProperty().SetColor(*unit_rgb(GRID_LINE_COLOR))
        return slider
