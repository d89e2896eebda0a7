"""The verb `view`: a run in an interactive window."""

from pathlib import Path

from dimple.errors import RunError
from dimple.runs import Run
from dimple.views.frames_of_run import frames_of_run
from dimple.views.window import open_window


def view(path: Path | str) -> None:
    """Open the run and return when its window is closed.

    Raises:
        RunError: if the folder holds no run with a boundary to draw.
        DeviceError: without a display, naming the film and the report instead.
    """
    run = Run.open(path)
    if not (run.path / "geometry.safetensors").is_file():
        raise RunError(f"{run.path}: holds no boundary to look at; open {run.path / 'report.html'} in a browser")
    open_window(frames_of_run(run), run.path)
