"""What chance gives: random subspaces of the same dimension, and the closed forms they approach.

A ratio of on- to off-manifold figures means nothing alone: in R^n a d-dimensional subspace chosen blindly already
holds the share d/n of an isotropic vector, and a search confined to it already goes sqrt(n/d) times as far.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

COVERAGE = 0.95
# The fewest draws whose band holds that share of further ones.
DRAWS = 39


def margin_ratio(n: int, d: int) -> float:
    """First-order margin within a random d-dimensional subspace over the margin in all of R^n: sqrt(n / d).

    Exact in the mean square for an isotropic gradient and a flat boundary.

    Example:
        >>> round(margin_ratio(784, 16), 2)
        7.0
    """
    return math.sqrt(n / d) if d else math.inf


def energy_share(n: int, d: int) -> float:
    """The share of an isotropic vector's squared length that a d-dimensional subspace of R^n holds: d / n."""
    return d / n


def band(draws: Tensor, coverage: float = COVERAGE) -> tuple[Tensor, Tensor]:
    """The central band of the draws along the last axis that holds at least `coverage` of further draws.

    Of k draws, the k + 1 gaps are equally likely to hold a further one. Where no band holds so much, that from the
    smallest to the largest draw is the widest there is; `held` says how much it holds.
    """
    ordered = draws.sort(dim=-1).values
    outside = _outside(ordered.shape[-1], coverage)
    return ordered[..., outside], ordered[..., -1 - outside]


def held(draws: int, coverage: float = COVERAGE) -> float:
    """The share of further draws that the band of so many draws holds.

    Example:
        >>> held(39), round(held(20), 3)
        (0.95, 0.905)
    """
    return (draws - 1 - 2 * _outside(draws, coverage)) / (draws + 1)


def _outside(draws: int, coverage: float) -> int:
    """How many draws lie beyond each end of the band."""
    # The guard keeps rounding from taking 39 draws for too few.
    return max(0, math.floor((draws + 1) * (1 - coverage) / 2 + 1e-9) - 1)


def verdict(value: float, low: float, high: float) -> str:
    """Where a figure lies against the band of its null: `above`, `inside` or `below`."""
    if math.isnan(value) or math.isnan(low) or math.isnan(high):
        return "undefined"
    return "above" if value > high else "below" if value < low else "inside"


def lengths(figures: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A signed distance and its null without their signs: where they are negative the ends of the band change places.

    Args:
        figures: numbers or arrays by name; those that start with `name` are `name`, its null, and the null's band.

    Example:
        >>> row = {"margin": -2.0, "margin_null": -4.0, "margin_null_low": -5.0, "margin_null_high": -3.0}
        >>> [float(value) for value in lengths(row, "margin").values()]
        [2.0, 4.0, 3.0, 5.0]
    """
    found = {key: abs(figures[key]) for key in (name, f"{name}_null") if key in figures}
    ends = [abs(figures[f"{name}_null_{end}"]) for end in ("low", "high") if f"{name}_null_{end}" in figures]
    if ends:
        found |= {f"{name}_null_low": np.minimum(*ends), f"{name}_null_high": np.maximum(*ends)}
    return found
