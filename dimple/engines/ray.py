"""A Ray cluster as an engine: one actor for each core or GPU runs one task after another."""

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, final

import torch

from dimple.errors import DeviceError, describe_cause
from dimple.runs.lock import owner_mark, remove_abandoned
from dimple.workers import Engine, Process, Task

T = TypeVar("T")
# Seconds within which a cluster answers, and a process of it starts; a process that waits for a place waits for ever.
ANSWER_SECONDS = 10.0
START_SECONDS = 120.0
ATTEMPTS = 3
FOLDER_PREFIX = "dimple-ray-"
# Ray makes sockets 64 characters below the folder, and the path of a socket has at most 107: TMPDIR may be too long.
PLACE = Path("/tmp") if os.name == "posix" else Path(tempfile.gettempdir())  # noqa: S108


@final
class RayEngine(Engine):
    """The processes of a Ray cluster, as a context manager.

    Ray places them: each has a core, or with `uses_gpus` a GPU, of its own. A cluster that is started here is that of
    this machine, and ends with the block.

    Args:
        jobs: the largest number of processes; None for all places of the cluster.
        address: `HOST:PORT` of a running cluster, or `auto`; None to start one.
        uses_gpus: whether each process needs a GPU.

    Raises:
        DeviceError: if no cluster answers, or it has no place.
    """

    def __init__(self, jobs: int | None, address: str | None, uses_gpus: bool) -> None:
        super().__init__(jobs or 1, jobs or 1)
        self._jobs = jobs
        self._address = address
        self._resource = "GPU" if uses_gpus else "CPU"
        self._folder: Path | None = None
        self._is_connected = False

    def __enter__(self) -> Self:
        if self._address is None:
            self._folder = _make_folder()
        if "ray" not in sys.modules:
            _set_environment(has_own_cluster=self._address is None)
        import ray

        errors = ray.exceptions
        self.killed = (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError)
        options: dict[str, Any] = {"address": self._address}
        if self._folder is not None:
            options = {"include_dashboard": False, "_temp_dir": str(self._folder), "_node_ip_address": "127.0.0.1"}
            options |= {} if self._jobs is None or self._resource == "GPU" else {"num_cpus": self._jobs}
        try:
            if ":" in (self._address or ""):
                # Ray tries for minutes.
                host, _, port = str(self._address).rpartition(":")
                socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
            # From here on there may be a connection to end; one that somebody else has stays.
            self._is_connected = True
            _connect(options)
            places = int(ray.cluster_resources().get(self._resource, 0))
        except (OSError, OverflowError, RuntimeError, ValueError, errors.RayError) as error:
            self._close()
            place = self._address or "this machine"
            raise DeviceError(f"no Ray cluster at {place} ({describe_cause(error)}); check --address") from None
        if places < 1:
            self._close()
            raise DeviceError(f"the Ray cluster has no {self._resource}; choose another --device")
        self.jobs = self._other_count = places if self._jobs is None else min(places, self._jobs)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._close()

    def _close(self) -> None:
        import ray

        if self._is_connected:
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start_process(self) -> Process:
        return _RayProcess(self._resource)


def _connect(options: dict[str, Any]) -> None:
    import ray

    for attempt in range(ATTEMPTS):
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **options)
            return
        except RuntimeError:
            # A busy machine may start its server too late.
            ray.shutdown()
            if attempt == ATTEMPTS - 1 or options.get("address") is not None:
                raise


def _set_environment(has_own_cluster: bool) -> None:
    """Set what Ray reads when it is loaded: nothing is sent to its makers, and who connects to it needs a random word.

    Its processes listen on all interfaces of the machine, which Ray cannot be told not to do.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if has_own_cluster and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _make_folder() -> Path:
    """Make the folder of a cluster on this machine."""
    remove_abandoned(PLACE.glob(f"{FOLDER_PREFIX}*"))
    return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX + owner_mark(), dir=PLACE))


class _Actor:
    """A process of the cluster."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def is_ready(self) -> bool:
        return True

    def run(self, task: Task[Any]) -> tuple[Any, BaseException | None, int]:
        """Return the result of a task, or its error, and how often it called `advance`."""
        calls: list[None] = []
        try:
            return task(lambda: calls.append(None)), None, len(calls)
        # Ray would give it another class.
        except Exception as error:
            return None, error, len(calls)


@final
class _RayProcess:
    def __init__(self, resource: str) -> None:
        import ray

        slots = {"num_cpus": 1} if resource == "CPU" else {"num_cpus": 0, "num_gpus": 1}
        actor = ray.remote(_Actor).options(**slots, max_restarts=0)
        self._ray = ray
        self._actor = actor.remote(torch.get_num_threads())
        self._progress = 0
        try:
            ray.get(self._actor.is_ready.remote(), timeout=START_SECONDS)
        except ray.exceptions.GetTimeoutError:
            raise DeviceError(
                f"no process of the Ray cluster started within {START_SECONDS:.0f} s; is every {resource} busy?"
            ) from None

    def submit(self, task: Task[T]) -> "Future[T]":
        answer: Future[T] = Future()

        def pass_on(done: "Future[tuple[T, BaseException | None, int]]") -> None:
            killed = done.exception()
            if killed is not None:
                answer.set_exception(killed)
                return
            result, error, calls = done.result()
            self._progress += calls
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        self._actor.run.remote(task).future().add_done_callback(pass_on)
        return answer

    def count_progress(self) -> int:
        count = self._progress
        self._progress = 0
        return count

    def end(self) -> None:
        with contextlib.suppress(Exception):
            # Without a connection Ray would start a cluster of its own.
            if self._ray.is_initialized():
                self._ray.kill(self._actor)
