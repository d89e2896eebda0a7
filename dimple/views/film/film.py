"""Films of a run, made without a display: mp4, gif, still pictures and a sheet of key frames."""

import collections
import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from dimple.errors import RunError
from dimple.runs.atomic_io import atomic_replace, make_folder, remove_file
from dimple.views.charts.matplotlib_svg import LINE_COLORS
from dimple.views.content.frame import Frame
from dimple.views.content.metadata import NO_METADATA, Metadata, gif_comment, png_metadata
from dimple.views.film.encoder import open_encoder
from dimple.views.film.layout import FRAME_SIZE, FrameRenderer
from dimple.views.film.pair import PairFrame, PairRenderer
from dimple.views.film.settings import Film
from dimple.views.style.colors import CLASS_COLORS, tint

# Largest number of key frames.
MAX_STILLS = 6


def ignore_progress() -> None:
    """Do nothing; the default callback for progress."""


def write_film(
    frames: Sequence[Frame],
    path: Path | str,
    film: Film = Film(),
    advance: Callable[[], None] = ignore_progress,
    metadata: Metadata = NO_METADATA,
) -> Path:
    """Draw the frames and write them as an H.264 film of 1280 x 720 pixels.

    In the same folder, also write the key frames as `stills/step_<step>.png`, a sheet of them with the name of the film
    and the suffix `.png`, and a gif if `film.gif` is set. Each file appears only when it is complete.

    Args:
        frames: the frames of a run.
        path: path of the mp4; the folder must exist.
        film: settings of the film.
        advance: called after each frame.
        metadata: metadata of all files, from `dimple.views.content.metadata`.

    Returns:
        `path`.

    Raises:
        DeviceError: if a system library for drawing or the encoder is missing.
        RunError: if the folder cannot be written, or there are no frames.
    """
    path = Path(path)
    gif = (path.with_suffix(".gif"),) if film.gif else ()
    stills = write_frames(frames, (path, path.with_suffix(".png"), *gif), film, FRAME_SIZE, advance, metadata)
    write_stills(stills, path.parent / "stills", metadata)
    return path


def write_frames(
    frames: Sequence[Frame] | Sequence[PairFrame],
    paths: Sequence[Path],
    film: Film = Film(),
    size: tuple[int, int] = FRAME_SIZE,
    advance: Callable[[], None] = ignore_progress,
    metadata: Metadata = NO_METADATA,
) -> dict[int, Image.Image]:
    """Draw the frames once and write them as a film (.mp4), a gif of half its size, or a sheet of key frames (.png).

    Args:
        frames: the frames of a run, or of two runs side by side.
        paths: the files to write, at most one with each suffix. If there is only a sheet, only key frames are drawn.
        film: settings of the film.
        size: width and height of the pictures in pixels; even numbers for an mp4.
        advance: called after each drawn frame.
        metadata: metadata of all files.

    Returns:
        The pictures of the key frames by step.

    Raises:
        DeviceError: if a system library for drawing or the encoder is missing.
        RunError: if a file cannot be written, or there are no frames.
    """
    if not frames:
        raise RunError(f"{paths[0]}: a film needs at least one snapshot, and the run has none")
    path_by_suffix = {path.suffix: path for path in paths}
    key_indices = key_frames(frames)
    indices = range(len(frames)) if path_by_suffix.keys() - {".png"} else key_indices
    stills: dict[int, Image.Image] = {}
    gif_images: list[Image.Image] = []

    def draw_frames() -> Iterator[tuple[Image.Image, int]]:
        with _open_renderer(frames, size) as draw:
            for index in indices:
                picture = draw(index, film.turn * _centered_progress(index, len(frames)))
                if index in key_indices:
                    stills[frames[index].step] = picture
                if ".gif" in path_by_suffix:
                    gif_images.append(picture.resize((size[0] // 2, size[1] // 2), Image.Resampling.LANCZOS))
                advance()
                yield picture, repeat_count(frames, index, film)

    if ".mp4" in path_by_suffix:
        encode(draw_frames(), path_by_suffix[".mp4"], film, size, metadata)
    else:
        collections.deque(draw_frames(), maxlen=0)
    if ".png" in path_by_suffix:
        write_sheet(list(stills.values()), path_by_suffix[".png"], metadata)
    if ".gif" in path_by_suffix:
        counts = [repeat_count(frames, index, film) for index in range(len(frames))]
        write_gif(gif_images, counts, film.fps, path_by_suffix[".gif"], metadata)
    return stills


@contextlib.contextmanager
def _open_renderer(
    frames: Sequence[Frame] | Sequence[PairFrame], size: tuple[int, int]
) -> Iterator[Callable[[int, float], Image.Image]]:
    """Yield a function that draws the frame of an index with a turn of the camera in degrees."""
    first = frames[0]
    renderer = PairRenderer(first, size) if isinstance(first, PairFrame) else FrameRenderer(first, size)
    with renderer:
        yield lambda index, azimuth: renderer.draw(frames[index], azimuth)  # type: ignore[arg-type]


def key_frames(frames: Sequence[Frame] | Sequence[PairFrame]) -> list[int]:
    """Return the indices of at most six key frames: the first, the last, each phase's completion, and some between.

    The frames between split the widest intervals of indices. The snapshots of a logarithmic schedule are therefore
    represented evenly.

    Example:
        >>> import numpy as np
        >>> from dimple.views.content.frame import Drawing, PointSet, Timeline
        >>> steps = np.array([0, 1, 2, 4, 8, 16, 32], dtype=np.int64)
        >>> blank = Drawing((), PointSet(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)), (0.0, 0.0), (1.0, 1.0))
        >>> line = Timeline(steps, (), (("clung", 4),))
        >>> key_frames([Frame("x", int(s), i, blank, (), line) for i, s in enumerate(steps)])
        [0, 1, 2, 3, 4, 6]
    """
    marked = {0, len(frames) - 1, *_phase_frame_indices(frames)}
    while len(marked) < min(MAX_STILLS, len(frames)):
        # The widest interval; of equal ones the first, which has the largest negative start.
        width, negative_start = max((end - start, -start) for start, end in itertools.pairwise(sorted(marked)))
        marked.add(-negative_start + width // 2)
    return sorted(marked)


def repeat_count(frames: Sequence[Frame] | Sequence[PairFrame], index: int, film: Film) -> int:
    """Return the number of pictures of the film for which a snapshot is shown."""
    is_held = index in (0, len(frames) - 1) or index in _phase_frame_indices(frames)
    return max(1, round(film.hold * film.fps)) if is_held else 1


def encode(
    images: Iterator[tuple[Image.Image, int]],
    path: Path,
    film: Film,
    size: tuple[int, int] = FRAME_SIZE,
    metadata: Metadata = NO_METADATA,
) -> None:
    """Encode pictures as an H.264 film.

    Args:
        images: at least one picture, each with the number of times it is shown.
        path: path of the film.
        film: settings of the film.
        size: width and height of the pictures in pixels.
        metadata: metadata of the file.

    Raises:
        DeviceError: if there is no encoder.
        RunError: if the file cannot be written.
    """
    # The first picture is drawn before the encoder starts: if drawing fails, its error is the only one.
    first = next(images)
    with open_encoder(path, film, size, metadata) as add:
        for picture, count in itertools.chain([first], images):
            add(picture, count)


def write_stills(stills: dict[int, Image.Image], folder: Path, metadata: Metadata = NO_METADATA) -> None:
    """Write one picture for each step into a folder, in place of the pictures of other steps.

    Raises:
        RunError: if the folder cannot be made.
    """
    make_folder(folder)
    files = {folder / f"step_{step:08d}.png": picture for step, picture in stills.items()}
    for file, picture in files.items():
        with atomic_replace(file) as temporary:
            picture.save(temporary, pnginfo=png_metadata(metadata))
    for file in {*folder.glob("step_*.png")} - files.keys():
        remove_file(file)


def write_sheet(images: Sequence[Image.Image], path: Path, metadata: Metadata = NO_METADATA) -> None:
    """Write all pictures on one sheet, two in a row, each at three quarters of its size."""
    columns = 2
    width = images[0].width * 3 // 4
    height = images[0].height * 3 // 4
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (min(columns, len(images)) * width, rows * height), "white")
    for index, picture in enumerate(images):
        position = (index % columns * width, index // columns * height)
        sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), position)
    with atomic_replace(path) as temporary:
        sheet.save(temporary, pnginfo=png_metadata(metadata))


def write_gif(
    images: Sequence[Image.Image], counts: Sequence[int], fps: int, path: Path, metadata: Metadata = NO_METADATA
) -> None:
    """Write a gif that repeats forever.

    Args:
        images: the pictures.
        counts: for each picture the number of ticks, of 1 / fps seconds, for which it is shown.
        fps: ticks per second.
        path: path of the gif.
        metadata: metadata of the file.
    """
    # One palette for all pictures, from the first and the last one: separate palettes flicker and triple the file size.
    both = Image.new("RGB", (images[0].width, 2 * images[0].height))
    both.paste(images[0], (0, 0))
    both.paste(images[-1], (0, images[0].height))
    # Thin curves and small markers have too few pixels for colors of their own, which are therefore added.
    colors = [tint(color, strength) for color in (*LINE_COLORS, *CLASS_COLORS) for strength in (1.0, 0.6, 0.3)]
    palette = Image.new("P", (1, 1))
    frequent = both.quantize(128).getpalette() or []
    palette.putpalette(frequent[: 3 * 128] + [part for color in colors for part in color])
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in images]
    with atomic_replace(path) as temporary:
        durations = [round(1000 * count / fps) for count in counts]
        indexed[0].save(
            temporary, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False,
            comment=gif_comment(metadata),
        )  # fmt: skip


def _phase_frame_indices(frames: Sequence[Frame] | Sequence[PairFrame]) -> set[int]:
    """Return the indices of the frames at which a phase is complete for the first time."""
    steps = [frame.step for frame in frames]
    phase_steps = [step for _, step in frames[0].timeline.phases]
    return {next(i for i, step in enumerate(steps) if step >= phase) for phase in phase_steps if phase <= steps[-1]}


def _centered_progress(index: int, count: int) -> float:
    """Return a number from -1/2 at the first frame to 1/2 at the last; 0 leaves the camera at its default position."""
    return index / (count - 1) - 0.5 if count > 1 else 0.0
