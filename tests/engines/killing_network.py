"""A linear network that kills the process that evaluates it at bright images, as a lack of memory would."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from tests.experiment import linear_network

NAME = "tests.engines.killing_network"
# The process that is never killed, and the files that say how often to kill others.
HOME = "DIMPLE_TEST_HOME"
KILLS = "DIMPLE_TEST_KILLS"
# Seconds that others take for a batch, and the error with which they fail.
SLEEP = "DIMPLE_TEST_SLEEP"
FAIL = "DIMPLE_TEST_FAIL"
# One in five pixels of an ordinary image may be as bright.
BRIGHT = 0.999
SAMPLES = 200


class Killing(nn.Module):
    """The linear network, behind a look at the images."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = linear_network.linear()

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of four classes, or kill this process."""
        if os.getpid() != int(os.environ.get(HOME, os.getpid())):
            if (x > BRIGHT).flatten(1).all(1).any():
                kill_sometimes(Path(os.environ[KILLS]))
            if FAIL in os.environ and len(x) > 8:
                raise ValueError(os.environ[FAIL])
            time.sleep(float(os.environ.get(SLEEP, "0")))
        scores: Tensor = self.linear(x)
        return scores


def kill_sometimes(folder: Path) -> None:
    """Kill this process, once for each file in the folder."""
    for file in folder.iterdir():
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def write_images(folder: Path, bright: int | None = None) -> str:
    """Write `SAMPLES` images of each split, one of them bright; return the specification of the data."""
    stream = np.random.Generator(np.random.PCG64(0))
    pixels = (0.9 * stream.random((SAMPLES, 3, 2, 2))).astype(np.float32)
    labels = (pixels.reshape(SAMPLES, 12) @ linear_network.weights().T.numpy()).argmax(1)
    # The data set has as many classes as its labels.
    labels[:4] = range(4)
    if bright is not None:
        pixels[bright] = 1.0
    arrays = {f"{kind}_{split}": v for split in ("train", "test") for kind, v in (("x", pixels), ("y", labels))}
    np.savez(folder / "images.npz", **arrays)
    return f"npz:{folder / 'images.npz'}"
