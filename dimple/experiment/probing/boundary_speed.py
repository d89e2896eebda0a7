"""Speed of the boundary between consecutive steps of a series: predicted from the earlier step, and measured."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.experiment.probing.config import ALONG
from dimple.probes import Margin, Speed, rank_correlation, speed_sign_fractions, weight_difference
from dimple.stats.aggregate import band_verdicts, comparison_column, fraction_statistic, median_statistic

Row = dict[str, Any]
# The sharpness of the soft boundary.
SOFT_BOUNDARY_BETA = 5.0
# Fractions of the weight change over which the change of the margin is measured: nearly the rate itself, and all of it.
SHORT_FRACTION = 0.01
FULL_FRACTION = 1.0
# The quantiles of the margins at which the samples are divided into groups.
QUARTILE_LEVELS = (0.25, 0.5, 0.75)
SPEED_UNITS = {
    **{f"speed_negative_fraction_{kind}": "fraction" for kind in (*ALONG, "random")},
    "speed": "input units from the step before to this one",
    "speed_positive_fraction": "fraction",
    "speed_sign_agreement_initial": "fraction",
    "speed_sign_agreement_full": "fraction",
    "speed_rank_correlation_initial": "Spearman's coefficient",
    "speed_rank_correlation_full": "Spearman's coefficient",
}


def measure_speeds(
    networks: Iterable[tuple[int, nn.Module]],
    make_boundary: Callable[[nn.Module], Boundary],
    x: Tensor,
    y: Tensor,
    margin_probe: Margin,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[int, Row], list[Row]]:
    """Measure how fast the boundary moves between each two consecutive networks of a series.

    The speed at the earlier of the two steps, in the direction of the weights of the later one, is compared with the
    change of the margin over a hundredth of that direction (`initial`) and over all of it (`full`): by the fraction of
    samples where the signs agree (by chance a half), and by the rank correlation, whose null comes from shuffling.

    Args:
        x: samples `(B, *shape)`.
        y: labels `(B,)`.
        margin_probe: the margin whose speed is measured.
        advance: called after each pair of steps.

    Returns:
        The statistics of the exact boundary by the later step of each pair; and one row for each pair of steps, each
        boundary (`exact` or `soft`) and each quarter of the margins.
    """
    statistics: dict[int, Row] = {}
    rows: list[Row] = []
    for (before, first), (after, second) in itertools.pairwise(_copy_networks(networks)):
        boundary = make_boundary(first)
        # Puts the second network on the device too, where the difference of the weights is computed.
        make_boundary(second)
        direction = weight_difference(first, second)
        for name, beta in (("exact", None), ("soft", SOFT_BOUNDARY_BETA)):
            speed = Speed(search=margin_probe, beta=beta, null_draws=0)
            columns = speed(boundary, x, y, direction, chunk_size=len(x)).columns
            rate = columns["speed"]
            margin = columns["margin"]
            agreement: Row = {}
            for kind, time in (("initial", SHORT_FRACTION), ("full", FULL_FRACTION)):
                change = speed.finite_difference(boundary, x, y, direction, time, chunk_size=len(x))
                agreement |= _compare_rates(kind, rate, change)
            if beta is None:
                statistics[after] = _speed_statistics(rate) | agreement
            groups = speed_sign_fractions(margin, rate, quartile_edges(margin))
            rows += [{"step": after, "from_step": before, "boundary": name, **group, **agreement} for group in groups]
        advance()
    return statistics, rows


def _copy_networks(networks: Iterable[tuple[int, nn.Module]]) -> Iterable[tuple[int, nn.Module]]:
    """Return a generator of copies, because a run may load all its snapshots into the same module."""
    return ((step, copy.deepcopy(network)) for step, network in networks)


def _speed_statistics(rate: Tensor) -> Row:
    """Return the median speed, and the fraction of samples that the boundary moves away from, with its chance value."""
    known = rate[~rate.isnan()]
    speed = median_statistic("speed", known.cpu().double().numpy())
    return {**speed, **fraction_with_chance("speed_positive_fraction", known > 0)}


def _compare_rates(kind: str, rate: Tensor, change: Tensor) -> Row:
    """Return how well the predicted rates agree with the measured changes, over the samples that have both."""
    both = torch.isfinite(rate) & torch.isfinite(change)
    rate = rate[both] if both.any() else rate.new_zeros(1)
    change = change[both] if both.any() else rate.new_zeros(1)
    signs = (rate.sign() == change.sign())[: int(both.sum())]
    return fraction_with_chance(f"speed_sign_agreement_{kind}", signs) | rank_correlation(rate, change).row(
        f"speed_rank_correlation_{kind}"
    )


def fraction_with_chance(name: str, mask: Tensor) -> Row:
    """Return the fraction of samples in `mask` beside that of a fair coin, with its verdict."""
    row: Row = {**fraction_statistic(name, mask.cpu().numpy()), comparison_column(name): 0.5}
    return row | band_verdicts(row)


def quartile_edges(margin: Tensor) -> list[float]:
    """Return the edges that divide the samples into the misclassified ones and the quarters of the other margins."""
    positive = margin[torch.isfinite(margin) & (margin > 0)].double()
    cuts = positive.quantile(positive.new_tensor(QUARTILE_LEVELS)).tolist() if len(positive) else []
    return [-math.inf, *dict.fromkeys((0.0, *cuts)), math.inf]
