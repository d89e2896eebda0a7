"""Activations between two straight lines: what a linear relaxation knows of a unit whose input lies in an interval."""

import dataclasses
import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[[Tensor], Tensor]
Slope = Callable[[Tensor, Tensor], Tensor]
# Where an interval holds a turn of the curve, so many equal parts of it are looked at.
PARTS = 8


@final
@dataclasses.dataclass(frozen=True)
class Curve:
    """A continuous function of one variable, made of convex and concave pieces.

    Attributes:
        value: the function.
        slope: its derivative, from `u` and the value there; at a kink any slope between the two sides.
        turns: where convex pieces meet concave ones, rising.
        convex: whether the piece left of the first turn is convex.
        kinks: where the slope jumps.
        bend: the largest absolute second derivative away from the kinks.
    """

    value: Function
    slope: Slope
    turns: tuple[float, ...] = ()
    convex: bool = True
    kinks: tuple[float, ...] = ()
    bend: float = 0.0

    def bends_down(self, u: Tensor) -> Tensor:
        """Whether the piece that holds `u` is concave."""
        concave = torch.full_like(u, not self.convex, dtype=torch.bool)
        for turn in self.turns:
            concave ^= u > turn
        return concave


@final
@dataclasses.dataclass(frozen=True)
class Lines:
    """`low_slope u + low_offset <= f(u) <= high_slope u + high_offset` for every u of an interval; all `(B, w)`."""

    low_slope: Tensor
    low_offset: Tensor
    high_slope: Tensor
    high_offset: Tensor

    def ends(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The least value of the lower lines and the greatest of the upper ones on the intervals."""
        least = torch.minimum(self.low_slope * low, self.low_slope * high) + self.low_offset
        greatest = torch.maximum(self.high_slope * low, self.high_slope * high) + self.high_offset
        return least, greatest


def enclosing_lines(curve: Curve, low: Tensor, high: Tensor) -> Lines:
    """The two lines of a curve on each interval `[low, high]`, `(B, w)`.

    On a convex piece they are the tangent at the middle and the chord, on a concave piece the chord and the tangent.
    An interval that holds a turn gets two parallels to its chord, at the extreme deviations of samples from it,
    widened by what the curvature allows between samples.

    Reference: Zhang et al. 2018, Efficient neural network robustness certification, section 3.2, for the two lines.

    Example:
        >>> relu = rectifier(0.0)
        >>> lines = enclosing_lines(relu, torch.tensor([[-1.0]]), torch.tensor([[3.0]]))
        >>> lines.low_slope, lines.high_slope, lines.high_offset
        (tensor([[1.]]), tensor([[0.7500]]), tensor([[0.7500]]))
    """
    middle, width = (low + high) / 2, high - low
    at_low, at_high, at_middle = curve.value(low), curve.value(high), curve.value(middle)
    tangent = curve.slope(middle, at_middle)
    chord = torch.where(width > 0, (at_high - at_low) / width, tangent)
    below, above = at_low - chord * low, at_high - chord * high
    touching = at_middle - tangent * middle
    concave = curve.bends_down(middle)
    lines = Lines(
        torch.where(concave, chord, tangent),
        torch.where(concave, torch.minimum(below, above), touching),
        torch.where(concave, tangent, chord),
        torch.where(concave, touching, torch.maximum(below, above)),
    )
    for turn in curve.turns:
        _between_parallels(curve, (low < turn) & (high > turn), low, high, chord, lines)
    return lines


def _between_parallels(curve: Curve, mixed: Tensor, low: Tensor, high: Tensor, chord: Tensor, lines: Lines) -> None:
    """Overwrite the lines where `mixed` says that the interval holds a turn."""
    start, slope, width = low[mixed], chord[mixed], (high - low)[mixed]
    if len(start) == 0:
        return
    shares = torch.linspace(0, 1, PARTS + 1, dtype=low.dtype, device=low.device)
    u = start[:, None] + width[:, None] * shares
    if curve.kinks:
        kinks = torch.tensor(curve.kinks, dtype=low.dtype, device=low.device).expand(len(start), -1)
        u = torch.cat([u, kinks.clamp(start[:, None], (start + width)[:, None])], dim=1)
    deviation = curve.value(u) - slope[:, None] * u
    # Between two samples a curve leaves its chord by at most bend * spacing^2 / 8.
    slack = curve.bend * (width / PARTS).square() / 8
    lines.low_slope[mixed] = slope
    lines.high_slope[mixed] = slope
    lines.low_offset[mixed] = deviation.amin(1) - slack
    lines.high_offset[mixed] = deviation.amax(1) + slack


def rectifier(slope: float = 0.0) -> Curve:
    """`max(u, slope u)` for slope <= 1: ReLU at 0, leaky ReLU, the absolute value at -1."""
    assert slope <= 1
    return Curve(lambda u: torch.maximum(u, slope * u), lambda u, _: torch.where(u > 0, 1.0, slope).to(u), kinks=(0.0,))


def clip(low: float = -math.inf, high: float = math.inf) -> Curve:
    """`u` within the bounds, which may be infinite: hard tanh, ReLU6."""
    middle = (low + high) / 2 if math.isfinite(low) and math.isfinite(high) else high if low == -math.inf else low
    kinks = tuple(kink for kink in (low, high) if math.isfinite(kink))
    turns = (middle,) if len(kinks) == 2 else ()
    return Curve(
        lambda u: u.clamp(low, high),
        lambda u, _: ((u > low) & (u < high)).to(u),
        turns,
        convex=math.isfinite(low),
        kinks=kinks,
    )


def tanh() -> Curve:
    """The hyperbolic tangent: convex below zero, concave above."""
    return Curve(torch.tanh, lambda _, value: 1 - value.square(), turns=(0.0,), bend=4 / math.sqrt(27))


def sigmoid() -> Curve:
    """The logistic function: convex below zero, concave above."""
    return Curve(torch.sigmoid, lambda _, value: value * (1 - value), turns=(0.0,), bend=1 / math.sqrt(108))


def softplus(beta: float = 1.0) -> Curve:
    """`log(1 + exp(beta u)) / beta`, convex."""
    return Curve(
        lambda u: torch.logaddexp(beta * u, torch.zeros_like(u)) / beta,
        lambda u, _: torch.sigmoid(beta * u),
        bend=beta / 4,
    )


def gelu() -> Curve:
    """`u Phi(u)` with the normal distribution function: its second derivative is (2 - u^2) phi(u)."""
    return Curve(
        functional.gelu, _gelu_slope, turns=(-math.sqrt(2), math.sqrt(2)), convex=False, bend=math.sqrt(2 / math.pi)
    )


def silu() -> Curve:
    """`u sigmoid(u)`: convex within +-2.3994, where `u tanh(u / 2) = 2`."""
    turn = 2.399357280520026
    return Curve(functional.silu, _silu_slope, turns=(-turn, turn), convex=False, bend=0.5)


def _gelu_slope(u: Tensor, _: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr(u)
    return below + u * torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)


def _silu_slope(u: Tensor, _: Tensor) -> Tensor:
    s = torch.sigmoid(u)
    return s * (1 + u * (1 - s))
