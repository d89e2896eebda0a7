"""Python functions as machine code, by numba, which takes a second to load: imported only where one of them runs."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, reorder: bool = False) -> F:
    """The function as machine code, kept on disk where that is possible.

    Args:
        reorder: whether sums of floats may be taken in another order than written, several terms at a time.
    """
    sums = {"reassoc", "contract"} if reorder else False
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": sums}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written.
        return cast(F, numba.njit(**options)(function))
