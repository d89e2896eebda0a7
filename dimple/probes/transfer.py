"""Transfer of adversarial perturbations between models, compared with noise of the same size."""

import dataclasses
import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary, is_correct
from dimple.errors import ShapeError
from dimple.probes.margin import Margin
from dimple.stats.intervals import proportion_interval
from dimple.stats.null_bands import judge, prediction_interval
from dimple.tensors import Box, broadcast_per_sample, chunks, flatten, generator, norm, require_samples


@final
@dataclasses.dataclass(frozen=True)
class Transfer:
    """The error rates of target models (columns) on the perturbations of source models (rows).

    A perturbation leads to a boundary point of its source model. Each pair is evaluated on the samples that both models
    classify correctly and for which the source model has a boundary point.

    Attributes:
        models: the names of the M models, in the order of rows and columns.
        samples: `(M, M)`, the number of evaluated samples.
        error: `(M, M)`, the fraction of them that the target model misclassifies; nan without samples. The diagonal is
            1 at native size, except for rounding, because boundary points lie just beyond the boundary of their model.
        noise_error: `(M, M)`, the same for Gaussian noise of the same size at the same samples: the median over draws.
        noise_error_low: `(M, M)`, the lower end of the prediction interval of the draws.
        noise_error_high: `(M, M)`, its upper end.
        rms: `(M,)`, the median size of the perturbations within the bounds, as root mean square of a coordinate.
        noise_rms: `(M,)`, that of the noise.
        requested_rms: the requested size; None for the native size.
    """

    models: tuple[str, ...]
    samples: Tensor
    error: Tensor
    noise_error: Tensor
    noise_error_low: Tensor
    noise_error_high: Tensor
    rms: Tensor
    noise_rms: Tensor
    requested_rms: float | None

    def rows(self) -> list[dict[str, str | float | int]]:
        """Return the rows of a table, one for each pair of models."""
        return [
            {
                "source_model": source,
                "target_model": target,
                "samples": int(self.samples[i, j]),
                "rms": float(self.rms[i]),
                **self._error_entries(i, j),
                "noise_rms": float(self.noise_rms[i]),
            }
            for i, source in enumerate(self.models)
            for j, target in enumerate(self.models)
        ]

    def _error_entries(self, i: int, j: int) -> dict[str, str | float]:
        """Return the error of a pair with its exact 95 % interval, that of noise with its band, and the verdict."""
        error, samples = float(self.error[i, j]), int(self.samples[i, j])
        interval = proportion_interval(round(error * samples), samples) if samples else (0.0, 1.0)
        band = (float(self.noise_error_low[i, j]), float(self.noise_error_high[i, j]))
        return {
            "error": error,
            "error_low": interval[0],
            "error_high": interval[1],
            "noise_error": float(self.noise_error[i, j]),
            "noise_error_low": band[0],
            "noise_error_high": band[1],
            "error_verdict": judge(error, interval, band, samples),
        }


def find_boundary_points(
    boundaries: Mapping[str, Boundary], x: Tensor, margin: Margin | None = None, chunk_size: int = 256
) -> dict[str, Tensor]:
    """Return the boundary point of each model for each sample, `(B, *shape)`; nan where none was found."""
    probe = Margin() if margin is None else margin
    points = {}
    for name, boundary in boundaries.items():
        predicted = _predict(boundary, x, chunk_size)
        result = probe(boundary, x, predicted, chunk_size=chunk_size)
        missing = broadcast_per_sample(~result.columns["margin_found"], x)
        points[name] = result.details["boundary_point"].masked_fill(missing, torch.nan)
    return points


def transfer(
    boundaries: Mapping[str, Boundary],
    x: Tensor,
    y: Tensor,
    points: Mapping[str, Tensor],
    *,
    rms: float | None = None,
    noise_draws: int = 39,
    seed: int = 0,
    chunk_size: int = 256,
) -> Transfer:
    """Measure the error rate of every model at the boundary points of every model.

    Args:
        boundaries: the models by name.
        x: samples `(B, *shape)` within the bounds of every model.
        y: labels `(B,)`.
        points: the result of `find_boundary_points`.
        rms: the root mean square of a coordinate to which each perturbation is scaled, after it is clamped to the
            bounds of its model, as far as the bounds permit; None for the native size.
        noise_draws: the number of draws of noise with the size of each perturbation.
        seed: seed of the noise.
        chunk_size: the number of samples that are classified together.

    Raises:
        ShapeError: if the points belong to other models or samples.

    Reference: Szegedy et al. 2014, section 4.2.

    Example:
        >>> models = {name: Boundary(lambda x, c=c: torch.stack([x[:, 0], c - x[:, 0]], 1)) for name, c in
        ...           (("near", 0.2), ("far", 0.4))}
        >>> x, y = torch.tensor([[0.5, 0.0]]), torch.tensor([0])
        >>> transfer(models, x, y, find_boundary_points(models, x)).error
        tensor([[1., 1.],
                [0., 1.]])
    """
    require_samples(x)
    if list(points) != list(boundaries) or any(point.shape != x.shape for point in points.values()):
        raise ShapeError(
            f"points are of {', '.join(points)} and must be those of {', '.join(boundaries)} at the same samples: "
            "take them from find_boundary_points"
        )
    correct = torch.stack([_is_correct(boundary, x, y, chunk_size) for boundary in boundaries.values()])
    pairs = []
    for number, (name, boundary) in enumerate(boundaries.items()):
        found = torch.isfinite(flatten(points[name])).all(1)
        step = torch.where(broadcast_per_sample(found, x), points[name] - x, 0.0)
        evaluated = correct & correct[number] & found
        perturbed = x + (step if rms is None else scale_to_rms(x, step, rms, boundary.row_bounds(x)))
        error = _error_rates(boundaries, perturbed, y, evaluated, chunk_size)
        size = _rms(perturbed - x)
        noise_errors: list[Tensor] = []
        noise_sizes: list[Tensor] = []
        for draw in range(noise_draws):
            noise = torch.randn(x.shape, generator=generator(seed, "transfer noise", number, draw), dtype=torch.float64)
            noisy = x + scale_to_rms(x, noise.to(x), size, boundary.row_bounds(x))
            noise_errors.append(_error_rates(boundaries, noisy, y, evaluated, chunk_size))
            noise_sizes.append(_rms(noisy - x))
        noise_error = torch.stack(noise_errors, dim=-1)
        sizes = _medians(torch.stack([size, torch.stack(noise_sizes).median(0).values]), evaluated[number])
        interval = prediction_interval(noise_error)
        pairs.append((evaluated.sum(1), error, noise_error.median(-1).values, *interval, *sizes))
    samples, error, noise_error, low, high, size, noise_size = (torch.stack(c) for c in zip(*pairs, strict=True))
    return Transfer(tuple(boundaries), samples, error, noise_error, low, high, size, noise_size, rms)


def _error_rates(
    boundaries: Mapping[str, Boundary], inputs: Tensor, y: Tensor, evaluated: Tensor, chunk_size: int
) -> Tensor:
    """Return the fraction `(M,)` of the evaluated samples `(M, B)` that each model misclassifies."""
    wrong = torch.stack([~_is_correct(boundary, inputs, y, chunk_size) for boundary in boundaries.values()])
    fraction: Tensor = (wrong & evaluated).sum(1) / evaluated.sum(1)
    return fraction


def _is_correct(boundary: Boundary, x: Tensor, y: Tensor, chunk_size: int) -> Tensor:
    return torch.cat([is_correct(boundary.scores(x[part]), y[part]) for part in chunks(len(x), chunk_size)])


def _predict(boundary: Boundary, x: Tensor, chunk_size: int) -> Tensor:
    return torch.cat([boundary.predict(part) for part in x.split(chunk_size)])


def _rms(step: Tensor) -> Tensor:
    return norm(step) / math.sqrt(flatten(step).shape[1])


def _medians(values: Tensor, chosen: Tensor) -> tuple[Tensor, ...]:
    """Return the median of each row over the chosen samples; nan if there are none."""
    selected = values[:, chosen]
    return tuple(selected.median(1).values if selected.shape[1] else selected.new_full((len(selected),), torch.nan))


# A multiplier that leads beyond any bounds, and whose square times a number does not overflow.
MAX_MULTIPLIER = 1e30


def scale_to_rms(x: Tensor, step: Tensor, rms: float | Tensor, bounds: Box | None) -> Tensor:
    """Scale each step so that, clamped to the bounds, it has the root mean square `rms` over its coordinates.

    Where the bounds do not permit this size, the result is the longest clamped step. A step of zero stays zero.

    Args:
        x: `(B, *shape)` within the bounds.
        step: `(B, *shape)`.
        rms: one number for all steps, or `(B,)`.
        bounds: the box of valid inputs, or None.

    Example:
        >>> step = torch.tensor([[0.0, 1.0, -1.0, 0.0]])
        >>> scale_to_rms(torch.tensor([[0.5, 0.5, 0.1, 0.5]]), step, 0.15, Box())
        tensor([[ 0.0000,  0.2828, -0.1000,  0.0000]])
    """
    rows = flatten(x)
    unit = flatten(step) / norm(step)[:, None].clamp(min=torch.finfo(x.dtype).tiny)
    length = torch.as_tensor(rms, dtype=x.dtype, device=x.device).reshape(-1, 1) * math.sqrt(unit.shape[1])
    if bounds is None:
        return (length * unit).reshape(x.shape)
    # A coordinate grows with the multiplier up to its bound: the squared length is piecewise quadratic in it.
    # Coordinates that do not move are at their bounds from the first on.
    limit = torch.where(unit > 0, bounds.high - rows, rows - bounds.low).clamp(min=0).where(unit != 0, 0)
    breaks, order = (limit / unit.abs().clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=MAX_MULTIPLIER).sort(dim=1)
    # For each break in order: squared lengths of the coordinates at their bounds before it, and of the unit step in all
    # others; and the total squared length at the break.
    squared_limit = limit.square().gather(1, order)
    at_bounds = squared_limit.double().cumsum(1) - squared_limit
    free = unit.square().gather(1, order).double().flip(1).cumsum(1).flip(1)
    at_break = at_bounds + breaks.double().square() * free
    last = (at_break < length.double().square()).sum(1, keepdim=True).clamp(max=unit.shape[1] - 1)
    remaining = (length.double().square() - at_bounds.gather(1, last)).clamp(min=0)
    multiplier = (remaining / free.gather(1, last).clamp(min=torch.finfo(torch.float64).tiny)).sqrt().to(x.dtype)
    return (unit.sign() * torch.minimum(multiplier * unit.abs(), limit)).reshape(x.shape)
