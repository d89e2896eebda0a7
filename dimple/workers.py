"""Independent pieces of work in several processes, with the same results as in one."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


def in_processes(pieces: Iterable[Callable[[], T]], jobs: int = 1, ordered: bool = True) -> Iterator[T]:
    """The result of each piece, as soon as it is there; the work begins at once.

    The processes stay for the next call; exhaust one before the next. Each takes as many torch threads as this one,
    since their number can change the last bits of a sum: no result depends on `jobs`.

    Args:
        pieces: functions of modules with their arguments bound (`functools.partial`); they and their results travel
            between processes.
        jobs: how many processes work; with 1 it is this one.
        ordered: whether results come in the order of the pieces, or in that in which they are done.

    Example:
        >>> from functools import partial
        >>> list(in_processes([partial(divmod, 7, 2), partial(divmod, 9, 5)]))
        [(3, 1), (1, 4)]
    """
    from joblib import Parallel, delayed

    # Without a limit in bytes large arrays would come mapped from a file, read-only, of which torch warns.
    parallel = Parallel(jobs, return_as="generator" if ordered else "generator_unordered", max_nbytes=None)
    threads = torch.get_num_threads()
    results: Iterator[T] = parallel(delayed(_with_threads)(threads, piece) for piece in pieces)
    return results


def _with_threads(threads: int, piece: Callable[[], T]) -> T:
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return piece()
