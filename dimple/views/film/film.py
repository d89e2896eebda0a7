"""Films of a run, made without a display: an mp4, a gif if wanted, still pictures and a sheet of them."""

import collections
import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dimple.errors import DeviceError, RunError
from dimple.runs.atomic_io import replacing
from dimple.views.content.frame import Frame
from dimple.views.content.metadata import NO_IMPRINT, Imprint, in_gif, in_mp4, in_png
from dimple.views.film.layout import SIZE, Stage
from dimple.views.film.settings import Film

STILLS = 6


def nothing() -> None:
    """Progress that nobody watches."""


def write_film(
    frames: Sequence[Frame],
    path: Path | str,
    film: Film = Film(),
    advance: Callable[[], None] = nothing,
    imprint: Imprint = NO_IMPRINT,
) -> Path:
    """Draw the frames and write them as H.264 at `path`, 1280 x 720 pixels.

    Beside it come `stills/step_<step>.png` with the first, the last, the phases' and some snapshots between, a sheet
    of them under the film's name with the suffix `.png`, and the gif if `film.gif`. Each file appears when it is whole.

    Args:
        path: of the mp4, in a folder that exists.
        advance: called after each frame.
        imprint: what the files say of the run, from `dimple.views.content.metadata`.

    Returns:
        `path`.

    Raises:
        DeviceError: if a system library for drawing or the encoder is missing.
        RunError: if the folder cannot be written, or there are no frames.
    """
    path = Path(path)
    gif = (path.with_suffix(".gif"),) if film.gif else ()
    stills = write_pictures(frames, (path, path.with_suffix(".png"), *gif), film, SIZE, advance, imprint)
    write_stills(stills, path.parent / "stills", imprint)
    return path


def write_pictures(
    frames: Sequence[Frame],
    paths: Sequence[Path],
    film: Film = Film(),
    size: tuple[int, int] = SIZE,
    advance: Callable[[], None] = nothing,
    imprint: Imprint = NO_IMPRINT,
) -> dict[int, Image.Image]:
    """Draw the frames once and write them as a film (.mp4), a gif of half its size, or a sheet of key frames (.png).

    Args:
        paths: at most one of each suffix.
        size: of the pictures in pixels, even for an mp4.
        advance: called after each drawn frame; for a sheet alone only the key frames are drawn.
        imprint: what the files say of the run.

    Returns:
        The key frames by step.

    Raises:
        DeviceError: if a system library for drawing or the encoder is missing.
        RunError: if a file cannot be written, or there are no frames.
    """
    if not frames:
        raise RunError(f"{paths[0]}: a film needs at least one snapshot, and the run has none")
    targets = {path.suffix: path for path in paths}
    chosen = key_frames(frames)
    drawn = range(len(frames)) if targets.keys() - {".png"} else chosen
    stills: dict[int, Image.Image] = {}
    reel: list[Image.Image] = []

    def pictures() -> Iterator[tuple[Image.Image, int]]:
        with Stage(frames[0], size) as stage:
            for number in drawn:
                picture = stage.draw(frames[number], film.turn * _progress(number, len(frames)))
                if number in chosen:
                    stills[frames[number].step] = picture
                if ".gif" in targets:
                    reel.append(picture.resize((size[0] // 2, size[1] // 2), Image.Resampling.LANCZOS))
                advance()
                yield picture, repeats(frames, number, film)

    if ".mp4" in targets:
        encode(pictures(), targets[".mp4"], film, size, imprint)
    else:
        collections.deque(pictures(), maxlen=0)
    if ".png" in targets:
        write_sheet(list(stills.values()), targets[".png"], imprint)
    if ".gif" in targets:
        counts = [repeats(frames, number, film) for number in range(len(frames))]
        write_gif(reel, counts, film.fps, targets[".gif"], imprint)
    return stills


def key_frames(frames: Sequence[Frame]) -> list[int]:
    """The places of at most six telling frames: the first and last, each phase's completion, and some between.

    The gaps are filled where they are widest, so that steps of a logarithmic schedule come out evenly.

    Example:
        >>> from dimple.views.content.frame import Drawing, PointSet, Timeline
        >>> steps = np.array([0, 1, 2, 4, 8, 16, 32], dtype=np.int64)
        >>> blank = Drawing((), PointSet(np.zeros((0, 2)), np.zeros(0, dtype=np.int64)), (0.0, 0.0), (1.0, 1.0))
        >>> line = Timeline(steps, (), (("clung", 4),))
        >>> key_frames([Frame("x", int(s), i, blank, (), line) for i, s in enumerate(steps)])
        [0, 1, 2, 3, 4, 6]
    """
    marked = {0, len(frames) - 1, *_phase_places(frames)}
    while len(marked) < min(STILLS, len(frames)):
        places = sorted(marked)
        gap, start = max((after - before, -before) for before, after in itertools.pairwise(places))
        marked.add(-start + gap // 2)
    return sorted(marked)


def repeats(frames: Sequence[Frame], number: int, film: Film) -> int:
    """For how many pictures of the film one snapshot stays."""
    held = number in (0, len(frames) - 1) or number in _phase_places(frames)
    return max(1, round(film.hold * film.fps)) if held else 1


@contextlib.contextmanager
def encoder(
    path: Path, film: Film, size: tuple[int, int] = SIZE, imprint: Imprint = NO_IMPRINT
) -> Iterator[Callable[[Image.Image, int], None]]:
    """Gives a function that adds a picture, shown so many times, to an H.264 film; whole at `path` when the block ends.

    Raises:
        DeviceError: if there is no encoder.
        RunError: if the file cannot be written.
    """
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise DeviceError(
            "no ffmpeg for the film was found; pip install imageio-ffmpeg, or simulate --no-film"
        ) from None
    with replacing(path) as temporary:
        options = ["-crf", str(film.quality), "-preset", "veryfast", "-movflags", "+faststart", "-threads", "1"]
        options += in_mp4(imprint)
        writer = imageio_ffmpeg.write_frames(
            str(temporary), size, fps=film.fps, codec="libx264", pix_fmt_in="rgb24", pix_fmt_out="yuv420p",
            quality=None, output_params=options, macro_block_size=2, ffmpeg_log_level="error",
        )  # fmt: skip
        writer.send(None)

        def add(picture: Image.Image, times: int) -> None:
            content = np.ascontiguousarray(picture)
            for _ in range(times):
                writer.send(content)

        try:
            yield add
        finally:
            writer.close()


def encode(
    pictures: Iterator[tuple[Image.Image, int]],
    path: Path,
    film: Film,
    size: tuple[int, int] = SIZE,
    imprint: Imprint = NO_IMPRINT,
) -> None:
    """Feed pictures, at least one, each with the number of times it is shown, to the encoder."""
    # Where nothing can be drawn the encoder is not begun, which would complain of having no picture.
    first = next(pictures)
    with encoder(path, film, size, imprint) as add:
        for picture, times in itertools.chain([first], pictures):
            add(picture, times)


def write_stills(stills: dict[int, Image.Image], folder: Path, imprint: Imprint = NO_IMPRINT) -> None:
    """One picture a step, replacing those of an earlier film."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another place") from None
    for step, picture in stills.items():
        with replacing(folder / f"step_{step:08d}.png") as temporary:
            picture.save(temporary, pnginfo=in_png(imprint))


def write_sheet(pictures: Sequence[Image.Image], path: Path, imprint: Imprint = NO_IMPRINT) -> None:
    """All pictures on one, two in a row, each three quarters of its size."""
    columns = 2
    width, height = pictures[0].width * 3 // 4, pictures[0].height * 3 // 4
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (min(columns, len(pictures)) * width, rows * height), "white")
    for number, picture in enumerate(pictures):
        place = (number % columns * width, number // columns * height)
        sheet.paste(picture.resize((width, height), Image.Resampling.LANCZOS), place)
    with replacing(path) as temporary:
        sheet.save(temporary, pnginfo=in_png(imprint))


def write_gif(
    pictures: Sequence[Image.Image], counts: Sequence[int], fps: int, path: Path, imprint: Imprint = NO_IMPRINT
) -> None:
    """An endless gif in which each picture stays for its count of ticks."""
    # Colours are chosen once, from the first and last picture: a palette a frame flickers and triples the size.
    both = Image.new("RGB", (pictures[0].width, 2 * pictures[0].height))
    both.paste(pictures[0], (0, 0))
    both.paste(pictures[-1], (0, pictures[0].height))
    palette = both.quantize(128)
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    with replacing(path) as temporary:
        durations = [round(1000 * count / fps) for count in counts]
        indexed[0].save(
            temporary, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False,
            comment=in_gif(imprint),
        )  # fmt: skip


def _phase_places(frames: Sequence[Frame]) -> set[int]:
    """Where in the film each phase is first complete."""
    steps = [frame.step for frame in frames]
    marks = [step for _, step in frames[0].timeline.phases]
    return {next(i for i, step in enumerate(steps) if step >= mark) for mark in marks if mark <= steps[-1]}


def _progress(number: int, count: int) -> float:
    """From -1/2 at the first frame to 1/2 at the last, so that the middle of a turn is the camera's own place."""
    return number / (count - 1) - 0.5 if count > 1 else 0.0
