"""Whom training defends and whom it endangers: the signs of the boundary's speed against the margin."""

import itertools
from collections.abc import Sequence

from torch import Tensor

from dimple.errors import ShapeError


def speed_shares(margin: Tensor, speed: Tensor, edges: Sequence[float]) -> list[dict[str, float]]:
    """The shares of samples whose boundary moves away and towards them, for each interval of the margin.

    For random directions of the weights either share is a half.

    Args:
        margin, speed: columns `(B,)` of one step of a trajectory, or of several.
        edges: rising ends of the intervals; margins below the first or from the last on are left out.

    Returns:
        For each interval `margin_from`, `margin_to`, `samples`, `positive`, `negative` (shares; nan without samples),
        and `negative_low`, `negative_high`, between which the share of negative speeds would lie, at 95 %, if either
        sign were equally likely.

    Reference: Xu et al. 2023, figure 5.

    Example:
        >>> import torch
        >>> speed_shares(torch.tensor([0.1, 0.2, 0.7]), torch.tensor([1.0, -1.0, 1.0]), [0, 0.5, 1])[1]["positive"]
        1.0
    """
    from scipy.stats import binom

    if margin.shape != speed.shape or len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ShapeError(
            f"margin {tuple(margin.shape)}, speed {tuple(speed.shape)} and {len(edges)} edges give no intervals; pass "
            "two columns of the same samples and two or more rising edges"
        )
    rows = []
    for low, high in itertools.pairwise(edges):
        signs = speed[(margin >= low) & (margin < high) & ~speed.isnan()].sign()
        count = len(signs)
        low_end, high_end = (float(binom.ppf(tail, count, 0.5)) / max(count, 1) for tail in (0.025, 0.975))
        rows.append({
            "margin_from": float(low), "margin_to": float(high), "samples": float(count),
            "positive": float((signs > 0).double().mean()), "negative": float((signs < 0).double().mean()),
            "negative_low": low_end, "negative_high": high_end,
        })  # fmt: skip
    return rows
