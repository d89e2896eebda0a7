"""Films read back by a decoder."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from dimple.views.film.layout import SIZE


def decoded(path: Path, size: tuple[int, int] = SIZE) -> tuple[str, np.ndarray]:
    """What the decoder says of the film's stream, and its pictures `(T, height, width, 3)`."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    (stream,) = [line for line in done.stderr.decode().partition("Output")[0].splitlines() if "Video:" in line]
    return stream, np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, size[1], size[0], 3)
