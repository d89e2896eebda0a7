"""A walk over all faults of one job: each call that changes a file fails, or ends the process; then the job continues.

Run as a program, with faults.so loaded before the library of C: `walk.py JOB FOLDER calls FIRST STRIDE` for calls that
change files, `reads` instead of `calls` for those that read them, the files of the measured run too, and
`walk.py JOB FOLDER moments COUNT SEED` for kills at random moments. It forks a process for each fault, so
that nothing has to be imported again, and prints one line for each fault that fell, and a last line with their numbers.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from dimple.errors import DimpleError
from dimple.experiment import ProbeConfig, check, gather, pack, probe, probe_part, simulate
from dimple.progress import silent_progress
from dimple.runs.lock import LOCK
from dimple.scene import load_scene
from dimple.tensors import generator
from dimple.workers import Workers, is_running

KINDS = {"full": errno.ENOSPC, "error": errno.EIO, "kill": 0}
KINDS_OF_READS = {"unread": errno.EIO, "refused": errno.EACCES, "vanished": errno.ESTALE}
# Files whose bytes do not depend on wall time.
FIXED = ("metrics.parquet", "points.parquet", "measurements.parquet", "quantiles.parquet", "geometry.safetensors")
SCENE = ["training.steps=3", "snapshots.count=3", "data.test_points=4", "data.heldout_points=4", "probes=[]"]
# What a killed job may need to end its tracker of semaphores.
SECONDS_TO_END = 10.0
library = ctypes.CDLL(None)


def simulate_short(folder: Path) -> None:
    scene = load_scene("line_in_2d", [*SCENE, "levelset.resolution=8"])
    simulate(scene, folder / "run", device="cpu", film=False, progress=silent_progress)


def probe_short(folder: Path) -> None:
    config = ProbeConfig(run=str(folder.parent / "base"), probes=("margin",), samples=600, max_passes=3)
    probe(config, folder / "run", device="cpu", progress=silent_progress)


def probe_in_parts(folder: Path) -> None:
    config = ProbeConfig(run=str(folder.parent / "base"), probes=("margin",), samples=600, max_passes=3)
    for part in range(2):
        probe_part(config, folder / "run", part, 2, device="cpu", progress=silent_progress)
    gather(folder / "run", device="cpu", progress=silent_progress)


def probe_in_pool(folder: Path) -> None:
    config = ProbeConfig(run=str(folder.parent / "base"), probes=("margin",), samples=600, max_passes=3)
    with Workers(2, isolated=True) as engine:
        probe(config, folder / "run", device="cpu", progress=silent_progress, engine=engine)


def pack_short(folder: Path) -> None:
    pack(folder.parent / "base", folder / "run.dimple")


def simulate_in_pool(folder: Path) -> None:
    scene = load_scene("line_in_2d", [*SCENE, "levelset.resolution=8"])
    with Workers(2) as workers:
        simulate(scene, folder / "run", device="cpu", film=False, progress=silent_progress, workers=workers)


JOBS: dict[str, Callable[[Path], None]] = {
    "simulate": simulate_short,
    "simulate_pool": simulate_in_pool,
    "probe": probe_short,
    "probe_parts": probe_in_parts,
    "probe_pool": probe_in_pool,
    "pack": pack_short,
}


def run_apart(
    job: Callable[[Path], None], folder: Path, number: int = 0, error: int = 0, reads: bool = False
) -> tuple[str, int]:
    """Run a job in a process of its own with a fault; return how it ended, and the number of calls."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        library.fault_arm(str(folder.parent if reads else folder).encode(), ctypes.c_long(number), error, reads)
        try:
            job(folder)
            ended = "done"
        except DimpleError as problem:
            ended = f"sentence {problem}" if "\n" not in str(problem) else f"several lines {problem}"
        except BaseException as problem:
            ended = f"{type(problem).__name__} {problem}"
        calls = library.fault_calls()
        library.fault_arm(b"", ctypes.c_long(0), 0, False)
        os.write(writer, f"{calls} {ended}".encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        calls, _, ended = stream.read().partition(" ")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return (ended or ("killed" if status == -signal.SIGKILL else f"signal {-status}")), int(calls or 0)


def content(folder: Path) -> dict[str, bytes]:
    names = (*FIXED, "run.dimple")
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.name in names}


def find_problem(job: str, folder: Path, ended: str, kind: str, expected: dict[str, bytes]) -> str:
    """Return what is wrong after a fault, and after the job has continued; "" if nothing is."""
    if kind == "kill" and ended not in ("killed", "done"):
        return f"ended by {ended}"
    if kind != "kill" and ended != "done" and not ended.startswith("sentence "):
        return f"ended by {ended}"
    run = folder / "run"
    if (run / "manifest.jsonl").exists() and (problems := check(run).problems):
        return f"left {problems}"
    if ended == "done" and content(folder) != expected:
        return "ended with 0 and other bytes"
    again, _ = run_apart(JOBS[job], folder)
    if again != "done" and "already holds a finished run" not in again:
        return f"after {ended!r} does not continue: {again}"
    if content(folder) != expected:
        return "continues to other bytes"
    if run.is_dir() and (problems := check(run).problems):
        return f"continues to {problems}"
    # A process that was killed after its last file leaves its lock, which keeps no one out.
    left = [file.name for file in folder.rglob(".dimple-*") if again == "done" or file.name != LOCK]
    return f"leaves {left}" if left else ""


def kill_at(job: Callable[[Path], None], folder: Path, delay: float) -> bool:
    """Kill a job, with all its processes, after some seconds; return whether it still ran."""
    child = os.fork()
    if child == 0:
        os.setsid()
        job(folder)
        os._exit(0)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def walk_over_calls(
    job: str, root: Path, expected: dict[str, bytes], first: int, stride: int, reads: bool
) -> Iterator[str | None]:
    """Yield what is wrong after each fault, None if nothing is: of the calls from the first on, in steps."""
    (root / "count").mkdir()
    _, calls = run_apart(JOBS[job], root / "count", reads=reads)
    for offset, (kind, error) in enumerate((KINDS_OF_READS if reads else KINDS).items()):
        for number in range((first + offset - 1) % stride + 1, calls + 1, stride):
            folder = root / f"{kind}-{number}"
            folder.mkdir()
            ended, _ = run_apart(JOBS[job], folder, number, error, reads)
            problem = find_problem(job, folder, ended, kind, expected)
            yield f"{kind} at call {number}: {problem}" if problem else None
            shutil.rmtree(folder)


def walk_over_moments(
    job: str, root: Path, expected: dict[str, bytes], seconds: float, count: int, seed: int
) -> Iterator[str | None]:
    """Yield what is wrong after each kill at a random moment, None if nothing is."""
    moments = torch.rand(count, generator=generator(seed, "moments")).tolist()
    for number, moment in enumerate(moments):
        folder = root / f"moment-{number}"
        folder.mkdir()
        ended = "killed" if kill_at(JOBS[job], folder, moment * seconds) else "done"
        problem = find_problem(job, folder, ended, "kill", expected)
        # The tracker of a killed pool removes its semaphores within seconds.
        deadline = time.monotonic() + SECONDS_TO_END
        while (left := list_abandoned_semaphores()) and "pool" in job and time.monotonic() < deadline:
            time.sleep(0.1)
        problem = problem or (f"leaves {left}" if left and "pool" in job else "")
        yield f"kill after {moment * seconds:.3f} s: {problem}" if problem else None
        shutil.rmtree(folder)


def list_abandoned_semaphores() -> list[str]:
    """Return the semaphores of processes that have ended."""
    files = Path("/dev/shm").glob("sem.loky-*")
    return [file.name for file in files if not is_running(int(file.name.split("-")[1]))]


def main() -> None:
    job, place, way, *numbers = sys.argv[1:]
    warnings.simplefilter("ignore")
    root = Path(place)
    if job not in ("simulate", "simulate_pool"):
        simulate_short(root)
        (root / "run").rename(root / "base")
    whole, again = root / "whole", root / "again"
    whole.mkdir()
    again.mkdir()
    # What is imported and drawn once here costs no time in the processes of the faults. A pool has one process more.
    JOBS[job.removesuffix("_pool")](whole)
    expected = content(whole)
    started = time.monotonic()
    assert run_apart(JOBS[job], again)[0] == "done"
    seconds = time.monotonic() - started
    if way in ("calls", "reads"):
        problems = walk_over_calls(job, root, expected, *map(int, numbers), way == "reads")
    else:
        problems = walk_over_moments(job, root, expected, seconds, *map(int, numbers))
    tried = fell = 0
    for problem in problems:
        tried += 1
        fell += problem is not None
        if problem is not None:
            print(problem, flush=True)
    print(f"{job}: {tried} faults tried, {fell} fell", flush=True)


if __name__ == "__main__":
    from matplotlib.figure import Figure

    # Charts take most of the time of a report. Only this program leaves them out, not a test that imports the file.
    Figure.savefig = lambda self, target, **settings: target.write('<svg viewBox="0 0 1 1"></svg>')
    main()
