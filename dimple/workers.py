"""Independent pieces of work in several processes, with the same results as in one."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from dimple.errors import DeviceError

T = TypeVar("T")


def in_processes(pieces: Iterable[Callable[[], T]], jobs: int = 1) -> Iterator[T]:
    """The result of each piece as soon as it is done, in whatever order.

    Each process takes as many torch threads as this one, since their number can change the last bits of a sum: no
    result depends on `jobs`.

    Args:
        pieces: functions of modules with their arguments bound (`functools.partial`); they and their results travel
            between processes.
        jobs: how many processes work; with 1 it is this one.

    Raises:
        DeviceError: if a process was ended from outside.
        Exception: what a piece raises; what is not begun then stays undone.

    Example:
        >>> from functools import partial
        >>> sorted(in_processes([partial(divmod, 7, 2), partial(divmod, 9, 5)]))
        [(1, 4), (3, 1)]
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    # Without a limit in bytes large arrays would come mapped from a file, read-only, of which torch warns.
    parallel = Parallel(jobs, return_as="generator_unordered", max_nbytes=None)
    threads = torch.get_num_threads()
    try:
        yield from parallel(delayed(_with_threads)(threads, piece) for piece in pieces)
    except BrokenProcessPool:
        raise DeviceError(
            f"one of {jobs} processes was ended from outside, most likely for want of memory; use fewer --jobs"
        ) from None


def _with_threads(threads: int, piece: Callable[[], T]) -> T:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return piece()
