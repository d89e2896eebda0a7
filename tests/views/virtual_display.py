"""A virtual display: an X server in memory, for programs that open windows."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def virtual_display(size: str = "1280x960x24") -> Iterator[str]:
    """Yield the name of a display that exists until the block ends; skip the test if Xvfb is not installed."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no virtual display: Xvfb is not installed")
    reading, writing = os.pipe()
    # Without -noreset the server restarts when its last client disconnects, and refuses the next one for a moment.
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.DEVNULL) as server:
        try:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                yield f":{pipe.readline().strip()}"
        finally:
            server.terminate()
