"""Decoder for films that tests have written."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from dimple.views.film.layout import FRAME_SIZE


def decoded(path: Path, size: tuple[int, int] = FRAME_SIZE) -> tuple[str, np.ndarray]:
    """Return the decoder's description of the video stream of a film, and its pictures `(T, height, width, 3)`."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(command, capture_output=True, check=True)
    (stream,) = [line for line in result.stderr.decode().partition("Output")[0].splitlines() if "Video:" in line]
    return stream, np.frombuffer(result.stdout, dtype=np.uint8).reshape(-1, size[1], size[0], 3)
