"""The window in which a run can be turned, zoomed and stepped through."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

from dimple.errors import DeviceError, RunError
from dimple.views.camera import look
from dimple.views.frame import Frame
from dimple.views.lettering import font_file
from dimple.views.palette import INK, MUTED, RULE, Colour
from dimple.views.polydata import unit
from dimple.views.rendering import has_display, require_rendering
from dimple.views.upright import in_space

Place: TypeAlias = Literal["upper_left", "lower_edge"]
PLAY_MILLISECONDS = 150
KEYS = "space: play or pause    left, right: one step    Home, End: first, last    o: see through    q: close"


def open_window(frames: Sequence[Frame], run_path: Path | str) -> None:
    """Show a run in a window until it is closed.

    Args:
        frames: the run's frames, of a scene in R^2 or R^3.
        run_path: the run folder, named in the message that tells where else to look.

    Raises:
        DeviceError: without a display, or without a system library for drawing.
        RunError: if there are no frames.
    """
    run_path = Path(run_path)
    if not frames:
        raise RunError(f"{run_path}: has no snapshots to show; simulate the scene again")
    elsewhere = f"look at {run_path / 'film.mp4'} or {run_path / 'report.html'} instead"
    if not has_display():
        display = os.environ.get("DISPLAY")
        why = f"DISPLAY {display} does not answer" if display else "DISPLAY is not set"
        raise DeviceError(f"no display for a window ({why}); {elsewhere}")
    require_rendering()
    Viewer(frames, off_screen=False).start()


@final
class Viewer:
    """The scene with a slider over the snapshots, keys for playing and stepping, and a caption.

    Built apart from `open_window`, so that it can be driven without anybody at the keyboard. All snapshots are turned
    into what VTK draws when it is made; going to one then only swaps the input of a mapper.

    Args:
        frames: of one run.
        off_screen: draw into memory instead of a window.

    Attributes:
        index: the place of the snapshot that is shown.
        playing: whether the snapshots go by on their own.
    """

    def __init__(self, frames: Sequence[Frame], off_screen: bool = False, size: tuple[int, int] = (1100, 800)) -> None:
        from dimple.views.polydata import polydatas
        from dimple.views.space import Space, add_markers

        self.frames = [in_space(frame) for frame in frames]
        self.index = 0
        self.playing = False
        self._space = Space(self.frames[0], size, off_screen, whole_box=True)
        self._boundaries = polydatas(self.frames)
        # Typed loosely: the decorators of pyvista hide what its methods take.
        self.plotter: Any = self._space.plotter
        add_markers(self.plotter, self.frames[0].drawing)
        first = self.frames[0]
        self._space.look_through(look(first.drawing, first.section.plane if first.section else None), first.drawing)
        self._caption = self._add_text(caption(first), "upper_left", 10, INK)
        self._add_text(KEYS, "lower_edge", 7, MUTED)
        self._slider = self._add_slider()
        self._bind_keys()
        self.show(0)

    def show(self, index: int) -> None:
        """Go to the snapshot at that place; beyond the ends, to the end."""
        self.index = min(max(index, 0), len(self.frames) - 1)
        self._space.show(self._boundaries[self.index])
        self._caption.set_text("upper_left", caption(self.frames[self.index]))
        if self._slider is not None:
            self._slider.GetRepresentation().SetValue(self.index)
        self.plotter.render()

    def step(self, by: int) -> None:
        """Go on, or back, by that many snapshots, and stop playing."""
        self.playing = False
        self.show(self.index + by)

    def toggle(self) -> None:
        """Play from here, or from the start when the end is reached; or pause."""
        self.playing = not self.playing
        if self.playing and self.index == len(self.frames) - 1:
            self.show(0)

    def see_through(self) -> None:
        """Make the boundary translucent, so that the points under its bumps appear, or opaque again."""
        self._space.see_through()
        self.plotter.render()

    def tick(self) -> None:
        """One beat of the clock: the next snapshot while playing, until the last."""
        if self.playing:
            self.show(self.index + 1)
            self.playing = self.index < len(self.frames) - 1

    def start(self) -> None:
        """Show the window until it is closed."""
        # A timer of VTK's own, as the window's event loop leaves no other chance to move on.
        interactor = self.plotter.iren
        interactor.add_observer("TimerEvent", lambda *_: self.tick())
        interactor.initialize()
        interactor.create_timer(PLAY_MILLISECONDS)
        self.plotter.show(title=f"dimple: {self.frames[0].title}", auto_close=True)

    def close(self) -> None:
        """Free the window and what it holds."""
        self._space.close()

    def _bind_keys(self) -> None:
        actions: dict[str, Any] = {
            "space": self.toggle,
            "Right": lambda: self.step(1),
            "Left": lambda: self.step(-1),
            "Home": lambda: self.step(-len(self.frames)),
            "End": lambda: self.step(len(self.frames)),
            "o": self.see_through,
        }
        for key, action in actions.items():
            self.plotter.add_key_event(key, action)

    def _add_text(self, text: str, place: Place, size: int, colour: Colour) -> Any:
        return self.plotter.add_text(
            text, position=place, font_size=size, color=unit(colour), font_file=str(font_file()), name=place
        )

    def _add_slider(self) -> Any:
        """The slider along the lower edge, over places, as steps are spaced logarithmically; None for one snapshot."""
        if len(self.frames) == 1:
            return None
        slider = self.plotter.add_slider_widget(
            self._slide, (0, len(self.frames) - 1), value=0, pointa=(0.15, 0.075), pointb=(0.85, 0.075), fmt="",
            interaction_event="always", color=unit(INK), title="", tube_width=0.003, slider_width=0.022,
        )  # fmt: skip
        handle = slider.GetRepresentation()
        handle.ShowSliderLabelOff()
        handle.SetSliderLength(0.014)
        handle.GetTubeProperty().SetColor(*unit(RULE))
        return slider

    def _slide(self, value: float) -> None:
        if round(value) != self.index:
            self.playing = False
            self.show(round(value))


def caption(frame: Frame) -> str:
    """Name, step, phase and figures of a snapshot, a line each, with the nulls in brackets."""
    head = f"{frame.title}\nstep {frame.step:,}" + (f"   {frame.phase}" if frame.phase else "")
    lines = [f"{fact.name} {fact.value}" + (f"  [null {fact.null}]" if fact.null else "") for fact in frame.facts]
    return "\n".join([head, *lines])
