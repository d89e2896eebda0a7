"""The encoder of films: ffmpeg in a process of its own, which says whether it could write the whole film."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from dimple.errors import DeviceError, RunError
from dimple.runs.atomic_io import atomic_replace
from dimple.views.content.metadata import NO_METADATA, Metadata, ffmpeg_metadata_arguments
from dimple.views.film.layout import FRAME_SIZE
from dimple.views.film.settings import Film
from dimple.workers import defer_interrupts


@contextlib.contextmanager
def open_encoder(
    path: Path, film: Film, size: tuple[int, int] = FRAME_SIZE, metadata: Metadata = NO_METADATA
) -> Iterator[Callable[[Image.Image, int], None]]:
    """Open an H.264 film for writing; the file appears at `path` when the block ends.

    Yields:
        A function that appends a picture and the number of times it is shown.

    Raises:
        DeviceError: if there is no encoder.
        RunError: if the file cannot be written.
    """
    command = [_find_ffmpeg(), *_arguments(film, size, metadata)]
    with atomic_replace(path) as temporary, tempfile.TemporaryFile() as messages:
        # An interrupt of the terminal reaches this process only.
        with defer_interrupts():
            encoder = subprocess.Popen(
                [*command, str(temporary)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
            )
        assert encoder.stdin is not None
        pixels_in = encoder.stdin
        try:
            # An encoder that has ended is judged by its exit code.
            with contextlib.suppress(BrokenPipeError):

                def add(picture: Image.Image, count: int) -> None:
                    pixels = np.ascontiguousarray(picture).tobytes()
                    for _ in range(count):
                        pixels_in.write(pixels)

                yield add
                pixels_in.close()
            exit_code = encoder.wait()
        finally:
            encoder.kill()
            encoder.wait()
            with contextlib.suppress(OSError):
                pixels_in.close()
        if exit_code != 0:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines()
            reason = lines[0].rpartition(": ")[2] if lines else f"exit code {exit_code}"
            raise RunError(f"{path}: ffmpeg could not write the film ({reason}); free space or choose another path")


def _find_ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise DeviceError(
            "no ffmpeg for the film was found; pip install imageio-ffmpeg, or simulate --no-film"
        ) from None


def _arguments(film: Film, size: tuple[int, int], metadata: Metadata) -> list[str]:
    """Return the arguments of ffmpeg but for the file; it reads pictures from its standard input."""
    width, height = size
    # H.264 takes even sizes only.
    scale = ["-vf", f"scale={width + width % 2}:{height + height % 2}"] if width % 2 or height % 2 else []
    return [
        "-y", "-v", "error", "-xerror", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(film.fps), "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p", *scale,
        "-crf", str(film.quality), "-preset", "veryfast", "-movflags", "+faststart", "-threads", "1",
        *ffmpeg_metadata_arguments(metadata),
    ]  # fmt: skip
