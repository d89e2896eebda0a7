"""Engines, which run the shards of a measurement: the processes of this machine, or a Ray cluster."""

import importlib.util

from dimple.errors import DeviceError, UsageError
from dimple.workers import Engine, Workers

ENGINES = ("local", "ray")
# A default number of processes beyond this one would need much memory for little time.
MAX_DEFAULT_JOBS = 8
# Where no number of processes was given, this process does work of fewer seconds itself.
WORTH_SECONDS = 10.0


def check_engine(name: str, jobs: int | None, address: str | None) -> None:
    """Refuse an engine that does not exist, or that lacks its package; nothing is loaded.

    Raises:
        UsageError, DeviceError: with one sentence.
    """
    if name not in ENGINES:
        raise UsageError(f"--engine is {name}; choose from {', '.join(ENGINES)}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs is {jobs}; give at least 1")
    if address is not None and name != "ray":
        raise UsageError("--address names a Ray cluster; add --engine ray, or leave it out")
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise DeviceError("--engine ray needs Ray; pip install 'dimple-lab[ray]'")


def make_engine(name: str, jobs: int | None, address: str | None, device: str) -> Engine:
    """Return an engine, a context manager.

    Args:
        name: `local` or `ray`.
        jobs: the number of processes; None for one for each core, at most 8, but one process on a GPU, and for all
            places of a Ray cluster.
        address: of a running Ray cluster; None to start one on this machine.
        device: the type of the device that a process measures on, such as `cpu` or `cuda`.
    """
    check_engine(name, jobs, address)
    if name == "ray":
        from dimple.engines.ray import RayEngine

        return RayEngine(jobs, address, uses_gpus=device == "cuda")
    import loky

    if jobs is not None:
        return Workers(jobs, isolated=True)
    workers = Workers(min(MAX_DEFAULT_JOBS, loky.cpu_count()) if device == "cpu" else 1, isolated=True)
    workers.worth_seconds = WORTH_SECONDS
    return workers
