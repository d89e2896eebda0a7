"""The window in which a run, or two beside each other, can be turned, stepped through and asked about."""

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from dimple.errors import DeviceError, DimpleError, RunError
from dimple.views.content.camera import Camera
from dimple.views.vtk.opengl import fitting, has_display, require_rendering
from dimple.views.window.animation import Show, reels_of
from dimple.views.window.background_task import Errand, Pieces
from dimple.views.window.colorings import Paint, Quantity, quantities_of
from dimple.views.window.controls import Controls, Key
from dimple.views.window.multi_view import STRIP, Exhibit, Looks
from dimple.views.window.picking import point_under
from dimple.views.window.recording import free_path, write_film, write_picture

SIZE, WIDE = (1100, 800), (1560, 800)
FPS = 8


def open_window(shows: Sequence[Show], fps: int = FPS) -> list[Path]:
    """Show a run, or two beside each other, in a window until it is closed.

    Args:
        shows: the runs, of scenes in R^2 or R^3.
        fps: snapshots a second when they are played.

    Returns:
        The pictures and films that were made in the window.

    Raises:
        DeviceError: without a display, or without a system library for drawing.
        RunError: if there are no frames.
    """
    for show in shows:
        if not show.frames:
            raise RunError(f"{show.path}: has no snapshots to show; simulate the scene again")
    if not has_display():
        display = os.environ.get("DISPLAY")
        why = f"DISPLAY {display} does not answer" if display else "DISPLAY is not set"
        elsewhere = f"look at {shows[0].path / 'film.mp4'} or {shows[0].path / 'report.html'} instead"
        raise DeviceError(f"no display for a window ({why}); {elsewhere}")
    require_rendering()
    viewer = Viewer(shows, fps=fps)
    viewer.start()
    return viewer.written


@final
class Viewer:
    """The exhibit with a slider over the snapshots, a clock, keys, and a mouse that asks about points.

    Built apart from `open_window`, so that it can be driven without anybody at the keyboard. All snapshots are turned
    into what VTK draws when it is made; going to one then only swaps the input of a mapper.

    Args:
        shows: the runs.
        off_screen: draw into memory instead of a window.
        fps: snapshots a second when they are played, or fewer where drawing takes longer.

    Attributes:
        steps: of all runs together, rising: what the slider goes over.
        index: the place of the step that is shown.
        playing: whether the snapshots go by on their own.
        written: the pictures and films that were made.
    """

    def __init__(
        self, shows: Sequence[Show], off_screen: bool = False, size: tuple[int, int] | None = None, fps: int = FPS
    ) -> None:
        reels = reels_of(shows)
        self.steps = sorted({int(step) for reel in reels for step in reel.steps})
        self.index, self.playing, self.fps = 0, False, fps
        self.written: list[Path] = []
        self._due = 0.0
        self._afar: Camera | None = None
        self._quantities = _shared([quantities_of(reel) for reel in reels])
        self._paints = {self._quantities[0]: Paint(self._quantities[0], reels)}
        shape = size or fitting(SIZE if len(reels) == 1 else WIDE)
        looks = Looks(self._paints[self._quantities[0]])
        self.exhibit = Exhibit(reels, shape, looks, off_screen=off_screen, strip=True, key="c: next")
        self.plotter: Any = self.exhibit.plotter
        self.errand = Errand(self._say)
        self._controls = Controls(self.plotter, len(self.steps), self._keys(), self._slide, self.click)
        self.show(0)

    @property
    def quantity(self) -> Quantity:
        """What the boundary is coloured by."""
        return self.exhibit.looks.paint.quantity

    @property
    def size(self) -> tuple[int, int]:
        """Of the scenes without the strip, in pixels, made even as films want it."""
        width, height = self.plotter.render_window.GetSize()
        return width // 2 * 2, round(height * (1 - STRIP)) // 2 * 2

    def show(self, index: int) -> None:
        """Go to the step at that place; beyond the ends, to the end."""
        self.index = min(max(index, 0), len(self.steps) - 1)
        self.exhibit.show(self.steps[self.index])
        self._controls.put(self.index)
        self.plotter.render()

    def step(self, by: int) -> None:
        """Go on, or back, by that many snapshots, and stop playing."""
        self.playing = False
        self.show(self.index + by)

    def toggle(self) -> None:
        """Play from here, or from the start when the end is reached; or pause."""
        self.playing = not self.playing
        self._due = time.monotonic() + 1 / self.fps
        if self.playing and self.index == len(self.steps) - 1:
            self.show(0)

    def see_through(self) -> None:
        """Make the boundary translucent, so that the points under its bumps appear, or opaque again."""
        self._wear(translucent=not self.exhibit.looks.translucent)

    def toggle_manifold(self) -> None:
        """Hide the manifold, or show it again."""
        self._wear(manifold=not self.exhibit.looks.manifold)

    def next_quantity(self) -> None:
        """Colour the boundary by the next quantity; measured first, when it has not been before."""
        place = self._quantities.index(self.quantity) + 1
        self.errand.begin(self._colouring(self._quantities[place % len(self._quantities)]))

    def click(self, x: int, y: int) -> None:
        """Ask about the training point that is seen at a pixel of the window, counted from the lower left."""
        for panel in self.exhibit.panels:
            if panel.renderer.IsInViewport(x, y):
                places = panel.frame.drawing.points.positions
                point = point_under(self.plotter.render_window, panel.renderer, places, (x, y))
                if point is not None:
                    self._wear(points=self.exhibit.points_like(panel, point))

    def forget(self) -> None:
        """Ask about no point any more."""
        self._leave_close()
        self._wear(points=())

    def close_up(self) -> None:
        """Look closely at the point in question with the scene cut open there, or go back."""
        if self._leave_close():
            self.plotter.render()
            return
        camera = self.exhibit.close_camera()
        if camera is None:
            self._say("click a training point first, one with a boundary to step to")
            return
        self._afar = self.exhibit.camera
        self.exhibit.look_through(camera)
        self._wear(cut=-camera.forward)

    def from_afar(self) -> None:
        """Look at everything, as in the beginning."""
        self._leave_close()
        self.exhibit.from_afar()
        self.plotter.render()

    def save(self) -> None:
        """Write what is shown as a picture beside the run."""
        try:
            self.written.append(write_picture(self.exhibit, self.size))
        except DimpleError as error:
            self._say(str(error))
        else:
            self._say(f"wrote {self.written[-1]}")

    def film(self) -> None:
        """Film the run as it is shown now, beside the run; or stop filming."""
        if self.errand.busy:
            self.errand.stop()
            self._say("stopped")
        else:
            self.errand.begin(self._filming())

    def tick(self) -> None:
        """One beat of the playing clock: the next snapshot while playing, until the last."""
        if self.playing:
            self.show(self.index + 1)
            self.playing = self.index < len(self.steps) - 1

    def beat(self) -> None:
        """What is done many times a second: a piece of what takes long, and the next snapshot when it is due."""
        self.errand.proceed()
        now = time.monotonic()
        if self.playing and now >= self._due:
            # Where drawing takes longer than there is time for, the next one follows at once.
            self._due = max(self._due + 1 / self.fps, now)
            self.tick()

    def start(self) -> None:
        """Show the window until it is closed."""
        names = " and ".join(reel.frames[0].title for reel in self.exhibit.reels)
        try:
            self._controls.run(self.beat, f"dimple: {names}")
        finally:
            self.errand.stop()

    def close(self) -> None:
        """Free the window and what it holds."""
        self.errand.stop()
        self.exhibit.close()

    def _keys(self) -> list[Key]:
        return [
            Key("space", "space", "play or pause", self.toggle),
            Key("Right", "→", "one snapshot on", lambda: self.step(1)),
            Key("Left", "←", "one snapshot back", lambda: self.step(-1)),
            Key("Home", "Home", "to the first snapshot", lambda: self.step(-len(self.steps))),
            Key("End", "End", "to the last snapshot", lambda: self.step(len(self.steps))),
            Key("c", "c", "colour the boundary by the next quantity", self.next_quantity),
            Key("o", "o", "see through the boundary", self.see_through),
            Key("m", "m", "hide or show the manifold", self.toggle_manifold),
            Key("z", "z", "close to the point that was clicked, cut open", self.close_up),
            Key("Escape", "Esc", "forget the point", self.forget),
            Key("r", "r", "look at everything again", self.from_afar),
            Key("s", "s", "save a picture beside the run", self.save),
            Key("f", "f", "film the run as it is shown, or stop", self.film),
            Key("h", "h", "show or hide this list", self._list_keys),
            Key("q", "q", "close the window", self._quit),
        ]

    def _list_keys(self) -> None:
        self._controls.list_keys()
        self.plotter.render()

    def _quit(self) -> None:
        self.plotter.iren.terminate_app()

    def _slide(self, place: int) -> None:
        if place != self.index:
            self.playing = False
            self.show(place)

    def _say(self, message: str) -> None:
        self._controls.say(message)
        self.plotter.render()

    def _wear(self, **changes: Any) -> None:
        self.exhibit.wear(dataclasses.replace(self.exhibit.looks, **changes))
        self.plotter.render()

    def _leave_close(self) -> bool:
        """Go back from a close look; False if there was none."""
        if self._afar is None:
            return False
        self.exhibit.look_through(self._afar)
        self.exhibit.wear(dataclasses.replace(self.exhibit.looks, cut=None))
        self._afar = None
        return True

    def _colouring(self, quantity: Quantity) -> Pieces:
        if quantity not in self._paints:
            paint = Paint(quantity, self.exhibit.reels)
            for done, count in paint.prepare():
                yield f"measuring the {quantity.name}: {done} of {count}"
            self._paints[quantity] = paint
        self._paints[quantity].apply()
        self._wear(paint=self._paints[quantity])
        yield ""

    def _filming(self) -> Pieces:
        path = free_path(self.exhibit, "film", ".mp4")
        for done, count in write_film(self.exhibit, path, self.steps, self.fps, self.size):
            yield f"film: {done} of {count}    f: stop"
        self.written.append(path)
        yield f"wrote {path}"


def _shared(menus: Sequence[list[Quantity]]) -> list[Quantity]:
    """The first run's relief, and the quantities that all runs have."""
    return [menus[0][0], *(quantity for quantity in menus[0][1:] if all(quantity in menu for menu in menus))]
