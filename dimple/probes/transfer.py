"""Do the boundary points of one model fool another, and more often than noise of the same size?"""

import dataclasses
import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.probes.margin import Margin
from dimple.stats.null_bands import band, verdict
from dimple.tensors import Box, flatten, generator, norm, per_sample, require_samples


@final
@dataclasses.dataclass(frozen=True)
class Transfer:
    """The share of samples whose perturbation, made for one model (row), changes the class that another (column) gives.

    Each pair is judged at the samples that both classify correctly and for which the first has a boundary point.

    Attributes:
        models: the names of the M models, in the order of rows and columns.
        samples: `(M, M)`, how many samples a share is of.
        error: `(M, M)` shares; nan where there is no sample. The diagonal is 1 at native size, but for rounding:
            boundary points are misclassified, by a hair, by the model that they were made for.
        null: `(M, M)`, the same for Gaussian noise of the same size at the same samples: the median of the draws.
        null_low, null_high: `(M, M)`, the band of the draws.
        rms: `(M,)`, the median size of a row's perturbations after the box has cut them, root mean square a coordinate.
        null_rms: `(M,)`, that of the noise.
        asked: the size that was asked for; None for the native size.
    """

    models: tuple[str, ...]
    samples: Tensor
    error: Tensor
    null: Tensor
    null_low: Tensor
    null_high: Tensor
    rms: Tensor
    null_rms: Tensor
    asked: float | None

    def rows(self) -> list[dict[str, str | float | int]]:
        """One entry a pair of models, as a table prints it."""
        return [
            {
                "made_for": source,
                "fed_to": target,
                "samples": int(self.samples[i, j]),
                "rms": float(self.rms[i]),
                "error": float(self.error[i, j]),
                "error_null": float(self.null[i, j]),
                "error_null_low": float(self.null_low[i, j]),
                "error_null_high": float(self.null_high[i, j]),
                "error_verdict": verdict(
                    float(self.error[i, j]), float(self.null_low[i, j]), float(self.null_high[i, j])
                ),
                "null_rms": float(self.null_rms[i]),
            }
            for i, source in enumerate(self.models)
            for j, target in enumerate(self.models)
        ]


def boundary_points(
    boundaries: Mapping[str, Boundary], x: Tensor, margin: Margin | None = None, chunk: int = 256
) -> dict[str, Tensor]:
    """Each model's landed boundary point of each sample `(B, *shape)`, nan where none was found."""
    search = Margin() if margin is None else margin
    found = {}
    for name, boundary in boundaries.items():
        predicted = torch.cat([boundary.predict(part) for part in x.split(chunk)])
        result = search(boundary, x, predicted, chunk=chunk)
        missing = per_sample(~result.columns["margin_found"], x)
        found[name] = result.details["boundary_point"].masked_fill(missing, torch.nan)
    return found


def transfer(
    boundaries: Mapping[str, Boundary],
    x: Tensor,
    y: Tensor,
    points: Mapping[str, Tensor],
    *,
    rms: float | None = None,
    draws: int = 39,
    seed: int = 0,
    chunk: int = 256,
) -> Transfer:
    """Feed every model's boundary points to every model.

    Args:
        x, y: samples `(B, *shape)` inside every model's box, with labels `(B,)`.
        points: as `boundary_points` gives them.
        rms: the root mean square a coordinate to which each perturbation is stretched (or shrunk), counted after the
            box of its model has cut it, as far as the box has room for it; None leaves them as they are.
        draws: how many times noise of each perturbation's size is drawn.

    Raises:
        ShapeError: if the points belong to other models or samples.

    Reference: Szegedy et al. 2014, section 4.2.

    Example:
        >>> models = {name: Boundary(lambda x, c=c: torch.stack([x[:, 0], c - x[:, 0]], 1)) for name, c in
        ...           (("near", 0.2), ("far", 0.4))}
        >>> x, y = torch.tensor([[0.5, 0.0]]), torch.tensor([0])
        >>> transfer(models, x, y, boundary_points(models, x)).error
        tensor([[1., 1.],
                [0., 1.]])
    """
    require_samples(x)
    if list(points) != list(boundaries) or any(place.shape != x.shape for place in points.values()):
        raise ShapeError(
            f"points are of {', '.join(points)} and must be those of {', '.join(boundaries)} at the same samples: "
            "take them from boundary_points"
        )
    correct = torch.stack([_predict(boundary, x, chunk) == y for boundary in boundaries.values()])
    pairs = []
    for number, (name, boundary) in enumerate(boundaries.items()):
        reached = torch.isfinite(flatten(points[name])).all(1)
        step = torch.where(per_sample(reached, x), points[name] - x, 0.0)
        judged = correct & correct[number] & reached
        fed = x + (step if rms is None else stretched(x, step, rms, boundary.box))
        error, size = _error(boundaries, fed, y, judged, chunk), _rms(fed - x)
        nulls, sizes = [], []
        for draw in range(draws):
            noise = torch.randn(x.shape, generator=generator(seed, "transfer noise", number, draw), dtype=torch.float64)
            noisy = x + stretched(x, noise.to(x), size, boundary.box)
            nulls.append(_error(boundaries, noisy, y, judged, chunk))
            sizes.append(_rms(noisy - x))
        null = torch.stack(nulls, dim=-1)
        both = torch.stack([size, torch.stack(sizes).median(0).values])
        pairs.append((judged.sum(1), error, null.median(-1).values, *band(null), *_medians(both, judged[number])))
    samples, error, null, low, high, size, null_size = (torch.stack(column) for column in zip(*pairs, strict=True))
    return Transfer(tuple(boundaries), samples, error, null, low, high, size, null_size, rms)


def _error(boundaries: Mapping[str, Boundary], fed: Tensor, y: Tensor, judged: Tensor, chunk: int) -> Tensor:
    """The share of the judged samples `(M, B)` that each model no longer gives to their class, `(M,)`."""
    wrong = torch.stack([_predict(boundary, fed, chunk) != y for boundary in boundaries.values()])
    share: Tensor = (wrong & judged).sum(1) / judged.sum(1)
    return share


def _predict(boundary: Boundary, x: Tensor, chunk: int) -> Tensor:
    return torch.cat([boundary.predict(part) for part in x.split(chunk)])


def _rms(step: Tensor) -> Tensor:
    return norm(step) / math.sqrt(flatten(step).shape[1])


def _medians(values: Tensor, chosen: Tensor) -> tuple[Tensor, ...]:
    """The median of each row over the chosen samples; nan where there are none."""
    kept = values[:, chosen]
    return tuple(kept.median(1).values if kept.shape[1] else kept.new_full((len(kept),), torch.nan))


# A multiplier that no box is wide enough for, and whose square still multiplies without overflow.
FAR = 1e30


def stretched(x: Tensor, step: Tensor, rms: float | Tensor, box: Box | None) -> Tensor:
    """Each step lengthened or shortened until, cut by the box around its sample, it has the root mean square `rms`.

    Where the box has not so much room in the step's direction, the step to its walls. A step of zero stays zero.

    Args:
        x: `(B, *shape)` inside the box.
        step: `(B, *shape)`.
        rms: for all, or `(B,)`.

    Example:
        >>> step = torch.tensor([[0.0, 1.0, -1.0, 0.0]])
        >>> stretched(torch.tensor([[0.5, 0.5, 0.1, 0.5]]), step, 0.15, Box())
        tensor([[ 0.0000,  0.2828, -0.1000,  0.0000]])
    """
    rows, moves = flatten(x), flatten(step)
    moves = moves / norm(step)[:, None].clamp(min=torch.finfo(x.dtype).tiny)
    wanted = torch.as_tensor(rms, dtype=x.dtype, device=x.device).reshape(-1, 1) * math.sqrt(moves.shape[1])
    if box is None:
        return (wanted * moves).reshape(x.shape)
    # A coordinate moves with the multiplier up to its wall: the squared length is piecewise quadratic between breaks.
    room = torch.where(moves > 0, box.high - rows, rows - box.low).clamp(min=0)
    breaks, order = (room / moves.abs().clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=FAR).sort(dim=1)
    at_wall = room.square().gather(1, order).double().cumsum(1)
    moving = moves.square().gather(1, order).double()
    still = moving.flip(1).cumsum(1).flip(1)
    before = at_wall - room.square().gather(1, order)
    reached = before + breaks.double().square() * still
    last = (reached < wanted.double().square()).sum(1, keepdim=True).clamp(max=moves.shape[1] - 1)
    free = still.gather(1, last)
    left = (wanted.double().square() - before.gather(1, last)).clamp(min=0)
    multiplier = (left / free.clamp(min=torch.finfo(torch.float64).tiny)).sqrt().to(x.dtype)
    return (moves.sign() * torch.minimum(multiplier * moves.abs(), room)).reshape(x.shape)
