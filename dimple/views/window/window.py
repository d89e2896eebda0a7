"""The interactive window for a run, or for two runs side by side."""

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from dimple.errors import DeviceError, DimpleError, RunError
from dimple.views.content.camera import Camera
from dimple.views.vtk.opengl import fit_to_screen, has_display, require_rendering
from dimple.views.window.animation import RunView, make_animations
from dimple.views.window.background_task import BackgroundTask, TaskSteps
from dimple.views.window.colorings import Coloring, Quantity, available_quantities
from dimple.views.window.controls import Controls, KeyBinding
from dimple.views.window.multi_view import CONTROLS_FRACTION, MultiView, ViewOptions
from dimple.views.window.picking import point_at_pixel
from dimple.views.window.recording import record_film, unused_path, write_screenshot

# Width and height in pixels.
WINDOW_SIZE = (1100, 800)
TWO_RUN_WINDOW_SIZE = (1560, 800)
# Snapshots per second.
DEFAULT_FPS = 8


def open_window(runs: Sequence[RunView], fps: int = DEFAULT_FPS) -> list[Path]:
    """Show a run, or two runs side by side, in a window until it is closed.

    Args:
        runs: one or two, of scenes in R^2 or R^3.
        fps: snapshots per second during playback.

    Returns:
        The screenshots and films that were written from the window.

    Raises:
        DeviceError: without a display, or without a system library for drawing.
        RunError: if a run has no frames.
    """
    for run in runs:
        if not run.frames:
            raise RunError(f"{run.path}: has no snapshots to show; simulate the scene again")
    if not has_display():
        display = os.environ.get("DISPLAY")
        reason = f"DISPLAY {display} does not answer" if display else "DISPLAY is not set"
        alternative = f"look at {runs[0].path / 'film.mp4'} or {runs[0].path / 'report.html'} instead"
        raise DeviceError(f"no display for a window ({reason}); {alternative}")
    require_rendering()
    viewer = Viewer(runs, fps=fps)
    viewer.start()
    return viewer.written_files


@final
class Viewer:
    """A `MultiView` with a slider over the snapshots, playback, keys, and points that can be picked with the mouse.

    It is separate from `open_window`, so that a program can use it without a user. The constructor converts all
    snapshots to VTK data; to show another snapshot then only replaces the input of a mapper.

    Args:
        runs: one or two.
        off_screen: render into memory instead of a window.
        size: width and height in pixels; None for a default size that fits the screen.
        fps: snapshots per second during playback; fewer if drawing takes longer.

    Attributes:
        steps: the training steps of all runs, increasing; the positions of the slider.
        index: of the step that is shown.
        playing: whether playback is on.
        fps: as given.
        written_files: the screenshots and films that were written.
        multi_view: the view.
        plotter: its plotter.
        background_task: measurements of quantities and recordings of films.
    """

    def __init__(
        self,
        runs: Sequence[RunView],
        off_screen: bool = False,
        size: tuple[int, int] | None = None,
        fps: int = DEFAULT_FPS,
    ) -> None:
        animations = make_animations(runs)
        self.steps = sorted({int(step) for animation in animations for step in animation.steps})
        self.index = 0
        self.playing = False
        self.fps = fps
        self.written_files: list[Path] = []
        self._next_frame_time = 0.0
        self._camera_before_close_up: Camera | None = None
        self._quantities = _common_quantities([available_quantities(animation) for animation in animations])
        first_coloring = Coloring(self._quantities[0], animations)
        self._colorings = {self._quantities[0]: first_coloring}
        self.multi_view = MultiView(
            animations,
            size or fit_to_screen(WINDOW_SIZE if len(animations) == 1 else TWO_RUN_WINDOW_SIZE),
            ViewOptions(first_coloring),
            off_screen=off_screen,
            with_controls=True,
            key_hint="c: next",
        )
        self.plotter: Any = self.multi_view.plotter
        self.background_task = BackgroundTask(self._show_message)
        self._controls = Controls(self.plotter, len(self.steps), self._key_bindings(), self._on_slide, self.click)
        # As the page does, the window opens at the end of the training.
        self.show_index(len(self.steps) - 1)

    @property
    def quantity(self) -> Quantity:
        """The quantity by which the boundary is colored."""
        return self.multi_view.options.coloring.quantity

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the scenes without the controls, rounded to even numbers for films."""
        width, height = self.plotter.render_window.GetSize()
        return width // 2 * 2, round(height * (1 - CONTROLS_FRACTION)) // 2 * 2

    def show_index(self, index: int) -> None:
        """Show the step with an index, which is limited to the valid range."""
        self.index = min(max(index, 0), len(self.steps) - 1)
        self.multi_view.show_step(self.steps[self.index])
        self._controls.set_slider(self.index)
        self.plotter.render()

    def step(self, offset: int) -> None:
        """Move by a number of snapshots, forwards or backwards, and stop playback."""
        self.playing = False
        self.show_index(self.index + offset)

    def toggle_playing(self) -> None:
        """Start playback, from the first snapshot if the last one is shown; or pause."""
        self.playing = not self.playing
        self._next_frame_time = time.monotonic() + 1 / self.fps
        if self.playing and self.index == len(self.steps) - 1:
            self.show_index(0)

    def toggle_translucent(self) -> None:
        """Make the boundary translucent, so that the points behind it are visible, or opaque again."""
        self._update_options(translucent=not self.multi_view.options.translucent)

    def toggle_manifold(self) -> None:
        """Hide the manifold, or show it again."""
        self._update_options(show_manifold=not self.multi_view.options.show_manifold)

    def next_quantity(self) -> None:
        """Color the boundary by the next quantity, which is measured first if this was not done before."""
        index = self._quantities.index(self.quantity) + 1
        self.background_task.start(self._coloring_steps(self._quantities[index % len(self._quantities)]))

    def click(self, x: int, y: int) -> None:
        """Pick the training point that is visible at a pixel of the window, counted from the lower left corner."""
        for panel in self.multi_view.panels:
            if panel.renderer.IsInViewport(x, y):
                positions = panel.frame.drawing.points.positions
                point = point_at_pixel(self.plotter.render_window, panel.renderer, positions, (x, y))
                if point is not None:
                    self._update_options(picked_points=self.multi_view.matching_points(panel, point))

    def deselect_point(self) -> None:
        """Deselect the picked point."""
        self._leave_close_up()
        self._update_options(picked_points=())

    def toggle_close_up(self) -> None:
        """Zoom to the picked point and cut the scene open there, or go back."""
        if self._leave_close_up():
            self.plotter.render()
            return
        camera = self.multi_view.close_up_camera()
        if camera is None:
            self._show_message("click a training point first; it needs a step to the boundary")
            return
        self._camera_before_close_up = self.multi_view.camera
        self.multi_view.set_camera(camera)
        self._update_options(cut_direction=-camera.forward)

    def reset_camera(self) -> None:
        """Move the camera back to its first position."""
        self._leave_close_up()
        self.multi_view.reset_camera()
        self.plotter.render()

    def toggle_linked_cameras(self) -> None:
        """Give each run a camera of its own, or all of them that of the first one."""
        linked = not self.multi_view.cameras_linked
        self._leave_close_up()
        self.multi_view.link_cameras(linked)
        self._show_message("one camera for all runs" if linked else "each run has its own camera; l: one for all")

    def save_screenshot(self) -> None:
        """Write a screenshot next to the run folder."""
        try:
            self.written_files.append(write_screenshot(self.multi_view, self.size))
        except DimpleError as error:
            self._show_message(str(error))
        else:
            self._show_message(f"wrote {self.written_files[-1]}")

    def toggle_recording(self) -> None:
        """Record a film of the present view next to the run folder; or stop the background task."""
        if self.background_task.is_busy:
            self.background_task.stop()
            self._show_message("stopped")
        else:
            self.background_task.start(self._recording_steps())

    def play_next(self) -> None:
        """Show the next snapshot during playback, which ends at the last one."""
        if self.playing:
            self.show_index(self.index + 1)
            self.playing = self.index < len(self.steps) - 1

    def on_timer(self) -> None:
        """Run the next steps of the background task, and show the next snapshot when its time has come."""
        self.background_task.run_steps()
        now = time.monotonic()
        if self.playing and now >= self._next_frame_time:
            # If drawing takes longer than the frame time, the next snapshot follows at once.
            self._next_frame_time = max(self._next_frame_time + 1 / self.fps, now)
            self.play_next()

    def start(self) -> None:
        """Show the window until it is closed."""
        names = " and ".join(animation.frames[0].title for animation in self.multi_view.animations)
        try:
            self._controls.run(self.on_timer, f"dimple: {names}")
        finally:
            self.background_task.stop()

    def close(self) -> None:
        """Free the window and what it holds."""
        self.background_task.stop()
        self.multi_view.close()

    def _key_bindings(self) -> list[KeyBinding]:
        return [
            KeyBinding("space", "space", "play or pause", self.toggle_playing),
            KeyBinding("Right", "→", "next snapshot", lambda: self.step(1)),
            KeyBinding("Left", "←", "previous snapshot", lambda: self.step(-1)),
            KeyBinding("Home", "Home", "first snapshot", lambda: self.step(-len(self.steps))),
            KeyBinding("End", "End", "last snapshot", lambda: self.step(len(self.steps))),
            KeyBinding("c", "c", "color the boundary by the next quantity", self.next_quantity),
            KeyBinding("o", "o", "make the boundary translucent or opaque", self.toggle_translucent),
            KeyBinding("m", "m", "hide or show the manifold", self.toggle_manifold),
            KeyBinding("z", "z", "zoom to the picked point and cut the scene open, or go back", self.toggle_close_up),
            KeyBinding("Escape", "Esc", "deselect the point", self.deselect_point),
            KeyBinding("r", "r", "reset the camera", self.reset_camera),
            *(
                [KeyBinding("l", "l", "give each run its own camera, or all the same", self.toggle_linked_cameras)]
                if len(self.multi_view.panels) > 1
                else []
            ),
            KeyBinding("s", "s", "save a screenshot next to the run folder", self.save_screenshot),
            KeyBinding("f", "f", "record a film next to the run folder, or stop", self.toggle_recording),
            KeyBinding("h", "h", "show or hide this list", self._toggle_key_list),
            KeyBinding("q", "q", "close the window", self._quit),
        ]

    def _toggle_key_list(self) -> None:
        self._controls.toggle_key_list()
        self.plotter.render()

    def _quit(self) -> None:
        self.plotter.iren.terminate_app()

    def _on_slide(self, index: int) -> None:
        if index != self.index:
            self.playing = False
            self.show_index(index)

    def _show_message(self, message: str) -> None:
        self._controls.show_message(message)
        self.plotter.render()

    def _update_options(self, **changes: Any) -> None:
        self.multi_view.apply_options(dataclasses.replace(self.multi_view.options, **changes))
        self.plotter.render()

    def _leave_close_up(self) -> bool:
        """Go back from a close-up, and return whether there was one."""
        if self._camera_before_close_up is None:
            return False
        self.multi_view.set_camera(self._camera_before_close_up)
        self.multi_view.apply_options(dataclasses.replace(self.multi_view.options, cut_direction=None))
        self._camera_before_close_up = None
        return True

    def _coloring_steps(self, quantity: Quantity) -> TaskSteps:
        if quantity not in self._colorings:
            coloring = Coloring(quantity, self.multi_view.animations)
            for done, count in coloring.measure_snapshots():
                yield f"measuring the {quantity.name}: {done} of {count}"
            self._colorings[quantity] = coloring
        self._colorings[quantity].apply()
        self._update_options(coloring=self._colorings[quantity])
        yield ""

    def _recording_steps(self) -> TaskSteps:
        path = unused_path(self.multi_view, "film", ".mp4")
        for done, count in record_film(self.multi_view, path, self.steps, self.fps, self.size):
            yield f"film: {done} of {count}    f: stop"
        self.written_files.append(path)
        yield f"wrote {path}"


def _common_quantities(quantity_lists: Sequence[list[Quantity]]) -> list[Quantity]:
    """Return the first quantity of the first run, and those that all runs have."""
    first, *others = quantity_lists[0]
    return [first, *(quantity for quantity in others if all(quantity in available for available in quantity_lists))]
