"""Activations with their linear relaxations: two lines that enclose the activation on an interval."""

import dataclasses
import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

ScalarFunction = Callable[[Tensor], Tensor]
DerivativeFunction = Callable[[Tensor, Tensor], Tensor]
# Equal parts into which an interval with an inflection point is divided.
NUM_SUBINTERVALS = 8


@final
@dataclasses.dataclass(frozen=True)
class Activation:
    """Continuous function of one variable that is convex or concave between its inflection points.

    Attributes:
        name: its name.
        value: the function.
        derivative: its derivative, computed from `u` and the value there; at a kink any slope between those of the two
            sides.
        inflection_points: points between a convex and a concave part, in increasing order.
        starts_convex: whether the function is convex left of the first inflection point.
        kinks: points where the slope jumps.
        max_second_derivative: largest absolute second derivative outside the kinks.
        lipschitz: upper bound of the absolute derivative.
        in_place: the function, applied to a tensor in place; None if it has no such form.
    """

    name: str
    value: ScalarFunction
    derivative: DerivativeFunction
    inflection_points: tuple[float, ...] = ()
    starts_convex: bool = True
    kinks: tuple[float, ...] = ()
    max_second_derivative: float = 0.0
    lipschitz: float = 1.0
    in_place: ScalarFunction | None = None

    @property
    def is_piecewise_linear(self) -> bool:
        """True if the function is linear between its kinks."""
        return self.max_second_derivative == 0

    def apply_in_place(self, u: Tensor) -> Tensor:
        """Replace every entry of `u` by the value there, and return `u`."""
        return u.copy_(self.value(u)) if self.in_place is None else self.in_place(u)

    def is_concave_at(self, u: Tensor) -> Tensor:
        """Return whether the function is concave at `u`, entry by entry."""
        concave = torch.full_like(u, not self.starts_convex, dtype=torch.bool)
        for point in self.inflection_points:
            concave ^= u > point
        return concave


@final
@dataclasses.dataclass(frozen=True)
class LinearRelaxation:
    """Lines that enclose a function f on intervals, `(B, w)` each.

    On its interval, `lower_slope u + lower_intercept <= f(u) <= upper_slope u + upper_intercept`.
    """

    lower_slope: Tensor
    lower_intercept: Tensor
    upper_slope: Tensor
    upper_intercept: Tensor

    def output_bounds(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Return the minimum of the lower lines and the maximum of the upper lines on the intervals."""
        lower = torch.minimum(self.lower_slope * low, self.lower_slope * high) + self.lower_intercept
        upper = torch.maximum(self.upper_slope * low, self.upper_slope * high) + self.upper_intercept
        return lower, upper


def relax_activation(
    activation: Activation, low: Tensor, high: Tensor, tangent_point: Tensor | None = None
) -> LinearRelaxation:
    """Compute lines that enclose an activation on each interval `[low, high]`, `(B, w)`.

    Where the activation is convex on the interval, the lower line is the tangent at a point of the interval, by default
    its midpoint, and the upper line the chord; where it is concave, the reverse. On an interval that contains an
    inflection point both lines are parallel to the chord, at the extreme deviations of samples from it, widened by the
    largest deviation that the second derivative allows between samples.

    Reference: Zhang et al. 2018, Efficient neural network robustness certification, section 3.2, for the two lines.

    Example:
        >>> relu = rectifier(0.0)
        >>> lines = relax_activation(relu, torch.tensor([[-1.0]]), torch.tensor([[3.0]]))
        >>> lines.lower_slope, lines.upper_slope, lines.upper_intercept
        (tensor([[1.]]), tensor([[0.7500]]), tensor([[0.7500]]))
    """
    midpoint = (low + high) / 2
    width = high - low
    at_low = activation.value(low)
    at_high = activation.value(high)
    point = midpoint if tangent_point is None else torch.minimum(torch.maximum(tangent_point, low), high)
    at_point = activation.value(point)
    tangent = activation.derivative(point, at_point)
    chord = torch.where(width > 0, (at_high - at_low) / width, tangent)
    # The intercepts of the chord from both ends differ by rounding.
    chord_at_low = at_low - chord * low
    chord_at_high = at_high - chord * high
    tangent_intercept = at_point - tangent * point
    concave = activation.is_concave_at(midpoint)
    lines = LinearRelaxation(
        torch.where(concave, chord, tangent),
        torch.where(concave, torch.minimum(chord_at_low, chord_at_high), tangent_intercept),
        torch.where(concave, tangent, chord),
        torch.where(concave, tangent_intercept, torch.maximum(chord_at_low, chord_at_high)),
    )
    for inflection in activation.inflection_points:
        _relax_with_parallel_lines(activation, (low < inflection) & (high > inflection), low, high, chord, lines)
    return lines


def _relax_with_parallel_lines(
    activation: Activation,
    has_inflection: Tensor,
    low: Tensor,
    high: Tensor,
    chord: Tensor,
    relaxation: LinearRelaxation,
) -> None:
    """Overwrite the lines of the intervals with an inflection point by parallels to the chord."""
    start = low[has_inflection]
    slope = chord[has_inflection]
    width = (high - low)[has_inflection]
    if len(start) == 0:
        return
    fractions = torch.linspace(0, 1, NUM_SUBINTERVALS + 1, dtype=low.dtype, device=low.device)
    u = start[:, None] + width[:, None] * fractions
    if activation.kinks:
        kinks = torch.tensor(activation.kinks, dtype=low.dtype, device=low.device).expand(len(start), -1)
        u = torch.cat([u, kinks.clamp(start[:, None], (start + width)[:, None])], dim=1)
    deviation = activation.value(u) - slope[:, None] * u
    # Between two samples a function deviates from its chord by at most max_second_derivative * spacing^2 / 8.
    slack = activation.max_second_derivative * (width / NUM_SUBINTERVALS).square() / 8
    relaxation.lower_slope[has_inflection] = slope
    relaxation.upper_slope[has_inflection] = slope
    relaxation.lower_intercept[has_inflection] = deviation.amin(1) - slack
    relaxation.upper_intercept[has_inflection] = deviation.amax(1) + slack


def rectifier(negative_slope: float = 0.0) -> Activation:
    """Return `u` for positive and `negative_slope u` for negative u: 0 gives ReLU, -1 the absolute value."""
    return Activation(
        "rectifier",
        lambda u: functional.leaky_relu(u, negative_slope),
        lambda u, _: torch.where(u > 0, 1.0, u.new_tensor(negative_slope)),
        starts_convex=negative_slope <= 1,
        kinks=(0.0,),
        lipschitz=max(1.0, abs(negative_slope)),
        in_place=(lambda u: functional.leaky_relu_(u, negative_slope)) if negative_slope else torch.relu_,
    )


def clip(low: float | None = None, high: float | None = None) -> Activation:
    """Return the activation that clips `u` to bounds, None for no bound: hard tanh, ReLU6."""
    top = math.inf if high is None else high
    bottom = -math.inf if low is None else min(low, top)
    kinks = tuple(kink for kink in (bottom, top) if math.isfinite(kink))
    return Activation(
        "clip",
        lambda u: u.clamp(bottom, top),
        lambda u, _: ((u > bottom) & (u < top)).to(u),
        inflection_points=((bottom + top) / 2,) if len(kinks) == 2 else (),
        starts_convex=math.isfinite(bottom),
        kinks=kinks,
        in_place=lambda u: u.clamp_(bottom, top),
    )


def tanh() -> Activation:
    """Return the hyperbolic tangent, convex below zero and concave above."""
    return Activation(
        "tanh",
        torch.tanh,
        lambda _, value: 1 - value.square(),
        inflection_points=(0.0,),
        max_second_derivative=4 / math.sqrt(27),
        in_place=_tanh_in_place,
    )


def sigmoid() -> Activation:
    """Return the logistic function, convex below zero and concave above."""
    return Activation(
        "sigmoid",
        torch.sigmoid,
        lambda _, value: value * (1 - value),
        inflection_points=(0.0,),
        max_second_derivative=1 / math.sqrt(108),
        lipschitz=0.25,
        in_place=torch.sigmoid_,
    )


def softplus(beta: float = 1.0, threshold: float = 20.0) -> Activation | None:
    """Return `log(1 + exp(beta u)) / beta`, which is convex.

    torch replaces it by `u` where `beta u` is above the threshold, which changes it by 2e-9 or less for a threshold of
    20 or more; the result is None for other thresholds.
    """
    if threshold < 20 or beta <= 0:
        return None
    return Activation(
        "softplus",
        lambda u: torch.logaddexp(beta * u, torch.zeros_like(u)) / beta,
        lambda u, _: torch.sigmoid(beta * u),
        max_second_derivative=beta / 4,
        in_place=lambda u: u.copy_(functional.softplus(u, beta, threshold)),
    )


def gelu(approximate: str = "none") -> Activation | None:
    """Return `u Phi(u)` with the normal distribution function Phi; its second derivative is (2 - u^2) phi(u).

    The result is None for an approximation.
    """
    if approximate != "none":
        return None
    return Activation(
        "gelu",
        functional.gelu,
        _gelu_derivative,
        inflection_points=(-math.sqrt(2), math.sqrt(2)),
        starts_convex=False,
        max_second_derivative=math.sqrt(2 / math.pi),
        lipschitz=1.13,
    )


def silu() -> Activation:
    """Return `u sigmoid(u)`, which is convex within +-2.3994, where `u tanh(u / 2) = 2`."""
    inflection = 2.399357280520026
    return Activation(
        "silu",
        functional.silu,
        _silu_derivative,
        inflection_points=(-inflection, inflection),
        starts_convex=False,
        max_second_derivative=0.5,
        lipschitz=1.1,
    )


def _tanh_in_place(u: Tensor) -> Tensor:
    if u.dtype != torch.float32 or not u.is_contiguous():
        return u.tanh_()
    from dimple.tracing._fast_tanh import tanh_in_place

    tanh_in_place(u.view(-1).numpy())
    return u


def _gelu_derivative(u: Tensor, _: Tensor) -> Tensor:
    below: Tensor = torch.special.ndtr(u)
    return below + u * torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)


def _silu_derivative(u: Tensor, _: Tensor) -> Tensor:
    s = torch.sigmoid(u)
    return s * (1 + u * (1 - s))
