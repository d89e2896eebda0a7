"""The verb `film`: a run as moving pictures, as a web page, or as files for ParaView."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dimple.errors import RunError, UsageError
from dimple.experiment.outputs.paraview import moments_of
from dimple.experiment.provenance import silent
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.views.content.frame import Frame
from dimple.views.content.from_run import frames_of_run
from dimple.views.content.from_slice import is_section
from dimple.views.content.metadata import imprint_of
from dimple.views.film.film import write_pictures
from dimple.views.film.layout import SIZE
from dimple.views.film.settings import Film
from dimple.views.paraview.export import write_pvd, write_vtkhdf
from dimple.views.web.page import write_web_page

PICTURES = (".mp4", ".gif", ".png")
SERIES = {".pvd": write_pvd, ".vtkhdf": write_vtkhdf}
PAGE = ".html"
MEANINGS = ".mp4 (film), .gif, .png (sheet of key frames), .html (page to turn and scrub), .pvd or .vtkhdf (ParaView)"


def film(
    path: Path | str,
    outs: Sequence[Path | str] = (),
    fps: int = 8,
    size: tuple[int, int] = SIZE,
    progress: Progress = silent,
) -> list[Path]:
    """Show a run in files whose suffixes say how: pictures are drawn once for all of them.

    Args:
        path: the run folder.
        outs: the files; without any, film.mp4 in the run folder, or beside a packed run.
        fps: snapshots a second of films and gifs.
        size: of the pictures in pixels.

    Returns:
        The files, in the order in which they were named.

    Raises:
        UsageError: for another suffix, the same one twice, or a size that cannot be drawn.
        RunError: if the folder holds no run, there is nothing to draw, or a file cannot be written.
        DeviceError: if the library that draws is missing.
    """
    run = Run.open(path)
    targets = [Path(out) for out in outs] or [run.beside("film.mp4")]
    _check(targets, size, fps)
    if not (run.path / "geometry.safetensors").is_file():
        raise RunError(f"{run.path}: holds no boundary to film; open {run.path / 'report.html'} in a browser")
    # A page can tell of runs without a picture by their curves.
    if all(target.suffix == PAGE for target in targets) and not has_picture(run):
        frames: list[Frame] = []
    else:
        frames = frames_of_run(run)
    pictures = [target for target in targets if target.suffix in PICTURES]
    if pictures:
        with progress("film", len(frames)) as advance:
            write_pictures(frames, pictures, Film(fps=fps), size, advance, imprint_of(run))
    others = [target for target in targets if target not in pictures]
    for target in others:
        with progress(target.suffix.removeprefix("."), 1 if target.suffix == PAGE else len(frames)) as advance:
            _write(run, frames, target, advance)
    return targets


def has_picture(run: Run) -> bool:
    """Whether a run in two or three dimensions kept its boundary."""
    return is_section(run) or (len(run.box[0]) in (2, 3) and bool(run.meshes()))


def _write(run: Run, frames: Sequence[Frame], target: Path, advance: Callable[[], None]) -> None:
    if target.suffix == PAGE:
        write_web_page(run, frames, target)
        advance()
    else:
        SERIES[target.suffix](moments_of(run, frames, advance), target, imprint_of(run))


def _check(targets: Sequence[Path], size: tuple[int, int], fps: int) -> None:
    known = (*PICTURES, PAGE, *SERIES)
    for target in targets:
        if target.suffix not in known:
            raise UsageError(f"--out {target}: the suffix is {target.suffix or 'missing'}; choose from {MEANINGS}")
    suffixes = [target.suffix for target in targets]
    if twice := [suffix for suffix in dict.fromkeys(suffixes) if suffixes.count(suffix) > 1]:
        raise UsageError(f"--out names two files with the suffix {twice[0]}; name one of each kind")
    if fps < 1:
        raise UsageError(f"--fps is {fps}; ask for one snapshot a second or more")
    if not all(160 <= side <= 7680 and side % 2 == 0 for side in size):
        raise UsageError(
            f"--size is {size[0]}x{size[1]}; the encoder takes even numbers from 160 to 7680, such as 1280x720"
        )
