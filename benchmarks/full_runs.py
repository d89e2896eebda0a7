"""Times of `dimple simulate` and of the script `plain_film.py`, each run as a separate process."""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure_full_runs(count: int, steps: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return wall and processor seconds of dimple with `count` snapshots and of the script with `steps`."""
    script = str(Path(__file__).resolve().parent / "plain_film.py")
    with tempfile.TemporaryDirectory() as folder:
        dimple = ["-m", "dimple", "simulate", "sphere_in_3d", "--set", f"snapshots.count={count}"]
        dimple += ["--out", f"{folder}/run"]
        peer = [script, f"{folder}/plain.mp4", "--snapshots", str(steps)]
        return _measure_process(dimple), _measure_process(peer)


def _measure_process(arguments: list[str]) -> tuple[float, float]:
    """Return the wall and processor seconds of a Python program with its child processes."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor_seconds
