"""Compilation of Python functions to machine code by numba.

numba takes a second to load, so this module is imported only inside functions that need compiled code.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit_compile(function: F, reorder_sums: bool = False) -> F:
    """Compile a function to machine code, cached on disk if possible.

    Args:
        function: the function to compile; it releases the GIL while it runs.
        reorder_sums: allow the compiler to add floats in another order than written, several terms at a time.
    """
    fastmath = {"reassoc", "contract"} if reorder_sums else False
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:
        # Neither the folder of the package nor the user's cache folder is writable.
        return cast(F, numba.njit(**options)(function))
