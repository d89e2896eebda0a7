"""Limits of memory and time, against which the needs of files and settings are estimated before work begins.

The variables `DIMPLE_MAX_MEMORY` and `DIMPLE_MAX_HOURS` of the environment raise them, or lower them.
"""

import math
import os

from dimple.errors import DimpleError, UsageError

# The variable of the environment and the default of each limit.
MEMORY_LIMIT = ("DIMPLE_MAX_MEMORY", 16.0)
TIME_LIMIT = ("DIMPLE_MAX_HOURS", 1000.0)
# A processor core does about this many multiplications with additions in an hour.
OPERATIONS_PER_HOUR = 1e10 * 3600


def require_memory(size: float, subject: str, error: type[DimpleError]) -> None:
    """Refuse what needs more memory than the limit.

    Args:
        size: the need in bytes.
        subject: what needs it, the start of the sentence: the place and the value.
        error: the class of the error.

    Raises:
        DimpleError: of that class, with the need, the limit and its name.

    Example:
        >>> require_memory(2e11, "--samples is 100000000", UsageError)
        Traceback (most recent call last):
        dimple.errors.UsageError: --samples is 100000000 and needs 200 GB of memory; the limit is 16 GB: make it ...
    """
    _require(size / 1e9, f"{subject} and needs", "GB of memory", "GB", *MEMORY_LIMIT, error)


def require_time(operations: float, subject: str, error: type[DimpleError]) -> None:
    """Refuse work that takes longer than the limit, by a rough estimate.

    Args:
        operations: the number of multiplications with additions.
        subject, error: as in `require_memory`.

    Raises:
        DimpleError: of the class `error`, with the time, the limit and its name.
    """
    _require(operations / OPERATIONS_PER_HOUR, f"{subject} and takes about", "hours", "hours", *TIME_LIMIT, error)


def _require(
    need: float, subject: str, quantity: str, unit: str, variable: str, default: float, error: type[DimpleError]
) -> None:
    text = os.environ.get(variable, "")
    try:
        limit = float(text or default)
    except ValueError:
        limit = math.nan
    if not limit > 0:
        raise UsageError(f"{variable} is {text[:40]!r}; it is a number of {unit}, such as {default:g}")
    if need > limit:
        raise error(
            f"{subject} {need:.3g} {quantity}; the limit is {limit:g} {unit}: make it smaller, or raise the limit, as "
            f"with {variable}={math.ceil(need)}"
            if math.isfinite(need) and need < 1e12
            else f"{subject} more {quantity} than there are; make it smaller"
        )
