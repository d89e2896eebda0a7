"""How long the stages of a walk are, and how hard each of their steps pulls towards the sample."""

import math

# The share of the projection in a step falls from the first to the last, along a cosine, in each stage of a walk; the
# first stage has so many steps, each further one sets out from the best point and has twice as many.
PULL, PULL_LAST, STAGE = {"l1": 0.5, "l2": 0.5, "linf": 0.6}, 0.03, 36


def stages(steps: int) -> list[int]:
    """How many steps each stage of a walk has; what a longer walk adds comes after what a shorter one does.

    Example:
        >>> stages(20), stages(96)
        ([20], [36, 60])
    """
    lengths: list[int] = []
    while steps > 0:
        lengths.append(min(steps, STAGE * 2 ** len(lengths)))
        steps -= lengths[-1]
    return lengths


def pull_at(step: int, steps: int, norm: str) -> float:
    """The share of the projection in one of the steps of a stage, falling off to average the kinks.

    Args:
        norm: `l1`, `l2` or `linf`, in which the steps are short.
    """
    return PULL_LAST + (PULL[norm] - PULL_LAST) * (1 + math.cos(math.pi * step / steps)) / 2
