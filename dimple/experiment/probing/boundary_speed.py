"""How fast the boundary moved from one step of a series to the next: predicted at its start, and as it came."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.probes import Margin, Speed, difference, rank_correlation, speed_shares
from dimple.stats.null_bands import verdict

Row = dict[str, Any]
# The sharpness of the soft boundary.
BETA = 5.0
# Shares of the way to the next step over which the margin's change is taken: nearly the rate itself, and all of it.
SHORT, WHOLE = 0.01, 1.0
# Samples are told apart by the quarter of the margins that they are in.
QUARTERS = (0.25, 0.5, 0.75)
SPEED_UNITS = {
    "speed": "input units from the step before to this one",
    "speed_positive": "share",
    "speed_sign_short": "share",
    "speed_sign_whole": "share",
    "speed_rank_short": "Spearman's coefficient",
    "speed_rank_whole": "Spearman's coefficient",
}


def speeds_between(
    networks: Iterable[tuple[int, nn.Module]],
    boundary: Callable[[nn.Module], Boundary],
    x: Tensor,
    y: Tensor,
    search: Margin,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[int, Row], list[Row]]:
    """Figures by the step that the weights arrive at; and a row a pair of steps, boundary and quarter of the margins.

    The speed at the earlier of two steps, in the direction of the later one, stands beside how the margin changes over
    a hundredth of the way and over all of it: the share of samples where the signs agree (by chance a half) and the
    rank correlation, beside the same after shuffling. The figures are those of the exact boundary.

    Args:
        search: the margin whose speed is asked for.
        advance: called after each pair of steps.
    """
    figures, rows = {}, []
    for (before, first), (after, second) in itertools.pairwise(_kept(networks)):
        # A boundary puts its network on the device; the direction is taken there.
        here, _ = boundary(first), boundary(second)
        direction = difference(first, second)
        for name, beta in (("exact", None), ("soft", BETA)):
            speed = Speed(search=search, beta=beta, draws=0)
            columns = speed(here, x, y, direction, chunk=len(x)).columns
            rate, margin = columns["speed"], columns["margin"]
            agreed: Row = {}
            for kind, time in (("short", SHORT), ("whole", WHOLE)):
                change = speed.by_difference(here, x, y, direction, time, chunk=len(x))
                agreed |= _agreement(kind, rate, change)
            if beta is None:
                figures[after] = _figures(rate) | agreed
            shares = speed_shares(margin, rate, _edges(margin))
            rows += [{"step": after, "from_step": before, "boundary": name, **share, **agreed} for share in shares]
        advance()
    return figures, rows


def _kept(networks: Iterable[tuple[int, nn.Module]]) -> Iterable[tuple[int, nn.Module]]:
    """Each network as a copy, for a run's snapshots are loaded into one and the same."""
    return ((step, copy.deepcopy(network)) for step, network in networks)


def _figures(rate: Tensor) -> Row:
    """The median speed; the share of samples that the boundary moves away from, beside what chance would give."""
    known = rate[~rate.isnan()]
    speed = float(known.nanmedian()) if len(known) else math.nan
    return {"speed": speed, **_share("speed_positive", known > 0)}


def _agreement(kind: str, rate: Tensor, change: Tensor) -> Row:
    """How the predicted rates and the changes that came agree, over the samples that have both."""
    both = torch.isfinite(rate) & torch.isfinite(change)
    rate, change = (rate[both], change[both]) if both.any() else (rate.new_zeros(1), rate.new_zeros(1))
    signs = (rate.sign() == change.sign())[: int(both.sum())]
    return _share(f"speed_sign_{kind}", signs) | rank_correlation(rate, change).row(f"speed_rank_{kind}")


def _share(name: str, yes: Tensor) -> Row:
    """A share of samples beside a fair coin's."""
    (coin,) = speed_shares(torch.zeros(len(yes)), torch.where(yes.cpu(), 1.0, -1.0), [0.0, 1.0])
    null = {f"{name}_null": 0.5, f"{name}_null_low": coin["negative_low"], f"{name}_null_high": coin["negative_high"]}
    value, low, high = coin["positive"], coin["negative_low"], coin["negative_high"]
    return {name: value, **null, f"{name}_verdict": verdict(value, low, high)}


def _edges(margin: Tensor) -> list[float]:
    """Wrong samples by themselves; the quarters of the others' margins."""
    positive = margin[torch.isfinite(margin) & (margin > 0)].double()
    cuts = positive.quantile(positive.new_tensor(QUARTERS)).tolist() if len(positive) else []
    return [-math.inf, *dict.fromkeys((0.0, *cuts)), math.inf]
