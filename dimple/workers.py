"""Independent pieces of work in several processes, with the same results as in one."""

import collections
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, final

from dimple.errors import DeviceError, UsageError
from dimple.memory import settle_memory

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

    from joblib.externals.loky import ProcessPoolExecutor

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Advance: TypeAlias = Callable[[], None]
# Pieces that each other process has been given at a time; loky passes on hardly more before they are done.
AHEAD = 2
# Seconds between two looks at how far the others have come.
PAUSE = 0.1
# What numerical libraries read when they are loaded; torch is told afterwards.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Piece(Protocol[T_co]):
    """A function of a module with its arguments bound (`functools.partial`), but for the one that tells of progress."""

    def __call__(self, advance: Advance, /) -> T_co:
        """The result; `advance` is called after each part of the work."""
        ...


def nothing() -> None:
    """Progress that nobody watches; what a process does first that has nothing to prepare."""


@final
class Workers:
    """This process and others that work beside it while the block is open.

    The others are started with the block and take seconds to load what they need, best while this one does the same or
    has something to do alone.

    Args:
        jobs: how many processes work, with this one.
        threads: of torch in every other process, by default as many as in this one: their number can change the last
            bits of a sum, and no result should depend on `jobs`.
        prepare: a function of a module, with which every other process begins; it may not fail.

    Raises:
        UsageError: for less than one process.

    Example:
        >>> with Workers() as workers:
        ...     sorted(workers.each([lambda advance: 3, lambda advance: 1]))
        [1, 3]
    """

    def __init__(self, jobs: int = 1, threads: int | None = None, prepare: Advance = nothing) -> None:
        if jobs < 1:
            raise UsageError(f"--jobs is {jobs}; at least one process has to work")
        self.jobs, self._threads, self._prepare = jobs, threads, prepare
        self._pool: ProcessPoolExecutor | None = None
        self._told: SimpleQueue[None] | None = None
        self._given: set[Future[Any]] = set()

    def __enter__(self) -> "Workers":
        if self.jobs > 1:
            from multiprocessing import resource_tracker

            from joblib.externals.loky import ProcessPoolExecutor
            from joblib.externals.loky.backend import get_context

            threads = _torch_threads() if self._threads is None else self._threads
            self._told = get_context("loky").SimpleQueue()
            self._pool = ProcessPoolExecutor(
                self.jobs - 1,
                env=dict.fromkeys(THREADS, str(threads)),
                initializer=_begin,
                initargs=(threads, self._told, self._prepare),
            )
            # Processes are started by what they are given first; so is a tracker, whose start would lift the block.
            resource_tracker.ensure_running()
            with interrupts_deferred():
                self._given.add(self._pool.submit(nothing))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            # Killed before it has passed on what it was given, which takes it milliseconds, loky ends in a traceback.
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline and not all(f.running() or f.done() for f in self._given):
                time.sleep(0.001)
            self._pool.shutdown(kill_workers=True)

    def each(self, pieces: Iterable[Piece[T]], advance: Advance = nothing) -> Iterator[T]:
        """The result of each piece as soon as it is done, in whatever order; the first is done by this process.

        Args:
            pieces: they and their results travel between processes.
            advance: called as often as pieces call what they are given, soon after.

        Raises:
            DeviceError: if a process was ended from outside.
            Exception: what a piece raises; what is not begun then stays undone.
        """
        waiting = collections.deque(pieces)
        own: Piece[T] | None = waiting.popleft() if waiting else None
        begun: set[Future[T]] = set()
        try:
            while own is not None or begun:
                while self._pool is not None and waiting and len(begun) < AHEAD * (self.jobs - 1):
                    future = self._pool.submit(_done, waiting.popleft())
                    begun.add(future)
                    self._given.add(future)
                if own is not None:
                    yield own(advance)
                # Without work of its own this process waits for the others.
                done, begun = wait(begun, 0 if waiting else PAUSE, FIRST_COMPLETED)
                self._given -= done
                self._pass_on(advance)
                yield from (future.result() for future in done)
                own = waiting.pop() if waiting else None
        except BrokenExecutor:
            raise DeviceError(
                f"one of {self.jobs} processes was ended from outside, most likely for want of memory; use fewer --jobs"
            ) from None

    def _pass_on(self, advance: Advance) -> None:
        """Tell what the others have told since this was asked last."""
        while self._told is not None and not self._told.empty():
            self._told.get()
            advance()


# What a process that works beside another tells of its progress by.
_told: "SimpleQueue[None] | None" = None


def _begin(threads: int, told: "SimpleQueue[None]", prepare: Advance) -> None:
    """What every other process does first."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    settle_memory()
    import torch

    global _told  # noqa: PLW0603
    _told = told
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    prepare()


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """An interrupt waits for the end of the block, and processes started in it never hear of one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: int) -> None:
    """End this process soon after the one that has started it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def _tell() -> None:
    assert _told is not None
    _told.put(None)


def _done(piece: Piece[T]) -> T:
    return piece(_tell)
