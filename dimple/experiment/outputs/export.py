"""The verb `export`: a run as a film, as images, as a web page, or as files for ParaView."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from dimple.errors import RunError, UsageError, convert_file_errors
from dimple.experiment.outputs.paraview import build_paraview_snapshots
from dimple.experiment.outputs.view import require_drawable
from dimple.experiment.run import Run
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.settings import expand_home
from dimple.views.content.frame import Frame
from dimple.views.content.from_run import frames_from_run
from dimple.views.content.metadata import run_metadata
from dimple.views.film.film import write_frames
from dimple.views.film.layout import FRAME_SIZE
from dimple.views.film.pair import pair_frames
from dimple.views.film.settings import Film
from dimple.views.paraview.export import write_pvd, write_vtkhdf
from dimple.views.web.page import write_web_page

RENDERED_SUFFIXES = (".mp4", ".gif", ".png")
PARAVIEW_WRITERS = {".pvd": write_pvd, ".vtkhdf": write_vtkhdf}
PAGE_SUFFIX = ".html"
SUFFIX_DESCRIPTIONS = (
    ".mp4 (film), .gif, .png (sheet of key frames), .html (interactive page), .pvd or .vtkhdf (ParaView)"
)


@convert_file_errors
def export_run(
    path: Path | str,
    outputs: Sequence[Path | str] = (),
    fps: int = 8,
    size: tuple[int, int] = FRAME_SIZE,
    progress: Progress = show_progress,
    other: Path | str | None = None,
) -> list[Path]:
    """Write a run as films, images, a web page or files for ParaView, by the suffix of each file.

    Films and images share their pictures, which are drawn once.

    Args:
        path: the run folder.
        outputs: the files; if empty, film.mp4 in the run folder, or next to a packed run.
        fps: snapshots per second of films and gifs.
        size: width and height of the pictures in pixels.
        other: a second simulation, which is drawn beside the first one in films and images, with one camera and one
            time axis.

    Returns:
        The files, in the order of `outputs`.

    Raises:
        UsageError: for an unknown suffix, the same suffix twice, or a size that cannot be drawn.
        RunError: if the folder holds no run, the run has nothing to draw, or a file cannot be written.
        DeviceError: if the drawing library is missing.
    """
    run = Run.open(path)
    targets = [expand_home(out) for out in outputs] or [run.default_output_path("film.mp4")]
    _check_arguments(targets, size, fps)
    if other is not None:
        return _export_pair(run, Run.open(other), targets, fps, size, progress)
    return _export_run(run, targets, fps, size, progress)


def _export_pair(
    left: Run, right: Run, targets: Sequence[Path], fps: int, size: tuple[int, int], progress: Progress
) -> list[Path]:
    if wrong := [target for target in targets if target.suffix not in RENDERED_SUFFIXES]:
        raise UsageError(f"{wrong[0]}: two runs side by side are drawn as {', '.join(RENDERED_SUFFIXES)}")
    for run in (left, right):
        if run.views_path != run.path and not (run.path / "geometry.safetensors").is_file():
            raise RunError(f"{run.path}: is drawn in a slice, and only alone; dimple report compares any runs")
    titled = [
        [dataclasses.replace(frame, title=title) for frame in _require_frames(run)]
        for run, title in zip((left, right), _distinct_titles(left, right), strict=True)
    ]
    frames = pair_frames(*titled)
    with progress("film", len(frames)) as advance:
        write_frames(frames, targets, Film(fps=fps), size, advance, run_metadata(left))
    return list(targets)


def _require_frames(run: Run) -> list[Frame]:
    require_drawable(run)
    return frames_from_run(run)


def _distinct_titles(left: Run, right: Run) -> tuple[str, str]:
    """Return a title for each of two runs: the name, with the seed or the folder where the names are equal."""
    names = [str(run.info.get("name", run.path.name)) for run in (left, right)]
    if names[0] != names[1]:
        return names[0], names[1]
    seeds = [run.info.get("seed") for run in (left, right)]
    if seeds[0] != seeds[1]:
        return f"{names[0]}, seed {seeds[0]}", f"{names[1]}, seed {seeds[1]}"
    return f"{names[0]}, {left.path.name}", f"{names[1]}, {right.path.name}"


def _export_run(run: Run, targets: Sequence[Path], fps: int, size: tuple[int, int], progress: Progress) -> list[Path]:
    # A page shows the curves of a run whose boundary cannot be drawn.
    is_page = all(target.suffix == PAGE_SUFFIX for target in targets)
    has_geometry = (run.path / "geometry.safetensors").is_file()
    frames = [] if is_page and has_geometry and not is_drawable(run) else _require_frames(run)
    rendered = [target for target in targets if target.suffix in RENDERED_SUFFIXES]
    if rendered:
        with progress("film", len(frames)) as advance:
            write_frames(frames, rendered, Film(fps=fps), size, advance, run_metadata(run))
    others = [target for target in targets if target not in rendered]
    for target in others:
        with progress(target.suffix.removeprefix("."), 1 if target.suffix == PAGE_SUFFIX else len(frames)) as advance:
            _write_file(run, frames, target, advance)
    return list(targets)


def is_drawable(run: Run) -> bool:
    """Return whether a run holds a boundary in two or three dimensions."""
    return run.kind == "slice" or (len(run.display_bounds[0]) in (2, 3) and bool(run.meshes()))


def _write_file(run: Run, frames: Sequence[Frame], path: Path, advance: Callable[[], None]) -> None:
    if path.suffix == PAGE_SUFFIX:
        write_web_page(run, frames, path)
        advance()
    else:
        PARAVIEW_WRITERS[path.suffix](build_paraview_snapshots(run, frames, advance), path, run_metadata(run))


def _check_arguments(paths: Sequence[Path], size: tuple[int, int], fps: int) -> None:
    known = (*RENDERED_SUFFIXES, PAGE_SUFFIX, *PARAVIEW_WRITERS)
    for target in paths:
        if target.suffix not in known:
            raise UsageError(f"{target}: the suffix is {target.suffix or 'missing'}; choose from {SUFFIX_DESCRIPTIONS}")
    suffixes = [target.suffix for target in paths]
    if duplicates := [suffix for suffix in dict.fromkeys(suffixes) if suffixes.count(suffix) > 1]:
        raise UsageError(f"out= names two files with the suffix {duplicates[0]}; name one of each kind")
    if fps < 1:
        raise UsageError(f"fps is {fps}; give 1 or more")
    if not all(160 <= side <= 7680 and side % 2 == 0 for side in size):
        raise UsageError(
            f"size is {size[0]}x{size[1]}; the encoder takes even numbers from 160 to 7680, such as 1280x720"
        )
