"""How long the whole of `simulate` takes, and how long the script `plain_film.py`, each as a program of its own."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def lasted(count: int, steps: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Seconds by the clock and of processors, of dimple asked for `count` snapshots and of the script with `steps`."""
    script = str(Path(__file__).resolve().parent / "plain_film.py")
    with tempfile.TemporaryDirectory() as folder:
        ours = ["-m", "dimple", "simulate", "sphere_in_3d", "--set", f"snapshots.count={count}"]
        ours += ["--out", f"{folder}/run"]
        return _lasted(ours), _lasted([script, f"{folder}/plain.mp4", "--snapshots", str(steps)])


def _lasted(arguments: list[str]) -> tuple[float, float]:
    """Of one program of Python, with all that it starts."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, used
