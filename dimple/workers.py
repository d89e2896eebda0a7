"""Independent pieces of work in several processes, with the same results as in one."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TypeVar

import torch

from dimple.errors import DeviceError

T = TypeVar("T")
# Pieces that each other process has been given at a time; loky stumbles over more when it is interrupted.
AHEAD = 2
# What numerical libraries read when they are loaded; torch is told afterwards.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def in_processes(pieces: Iterable[Callable[[], T]], jobs: int = 1) -> Iterator[T]:
    """The result of each piece as soon as it is done, in whatever order.

    Each process takes as many torch threads as this one, since their number can change the last bits of a sum: no
    result depends on `jobs`. This process does the first piece, and works on beside the others, which take seconds to
    load what they need.

    Args:
        pieces: functions of modules with their arguments bound (`functools.partial`); they and their results travel
            between processes.
        jobs: how many processes work, with this one.

    Raises:
        DeviceError: if a process was ended from outside.
        Exception: what a piece raises; what is not begun then stays undone.

    Example:
        >>> from functools import partial
        >>> sorted(in_processes([partial(divmod, 7, 2), partial(divmod, 9, 5)]))
        [(1, 4), (3, 1)]
    """
    waiting = collections.deque(pieces)
    if jobs == 1 or len(waiting) < 2:
        yield from (piece() for piece in waiting)
        return
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    threads, helpers = torch.get_num_threads(), min(jobs, len(waiting)) - 1
    pool = ProcessPoolExecutor(helpers, env=dict.fromkeys(THREADS, str(threads)))
    own: Callable[[], T] | None = waiting.popleft()
    begun: set[Future[T]] = set()
    try:
        while own is not None or begun:
            while waiting and len(begun) < AHEAD * helpers:
                begun.add(pool.submit(_with_threads, threads, waiting.popleft()))
            if own is not None:
                yield own()
            # Without work of its own this process waits for the others.
            done, begun = wait(begun, 0 if waiting else None, FIRST_COMPLETED)
            yield from (future.result() for future in done)
            own = waiting.pop() if waiting else None
    except BrokenProcessPool:
        raise DeviceError(
            f"one of {jobs} processes was ended from outside, most likely for want of memory; use fewer --jobs"
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


def _with_threads(threads: int, piece: Callable[[], T]) -> T:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return piece()
