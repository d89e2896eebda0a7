"""The nearest boundary point that any probe found at a sample, as the one point of all its columns."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.probes.base import Probe
from dimple.probes.margin import Margin
from dimple.probes.null_comparison import null_statistics
from dimple.protocols import TangentField
from dimple.tangents.decomposition import decompose
from dimple.tensors import broadcast_per_sample, norm

Tensors = dict[str, Tensor]
# A point on the boundary to rounding is verified in the precision of the boundary with a step longer by this fraction.
ROUNDING = 1e-6


def use_closest_points(
    boundary: Boundary,
    x: Tensor,
    probes: Sequence[Probe],
    tangents: TangentField | None,
    columns: Tensors,
    details: Tensors,
) -> None:
    """Give all columns about free margins the nearest point that any of the probes found.

    Each probe searches with its own effort, bounds and norm, and every point of another class is an upper bound of each
    free margin: of `margin_unbounded`, and within the bounds of `margin`, in its norm. A nearer point of another probe
    replaces that of the column, after a check of its class. What is measured with or at the point changes with it:
    ratios and their nulls, the parts of the step, class, normal and angle of the boundary.

    Args:
        boundary: the boundary.
        x: `(B, *shape)` samples.
        probes: the probes whose results are in the columns.
        tangents: the directions along the data; None where no probe needs them.
        columns: those of `run_probes`, with `prediction` and `correct`; changed in place.
        details: those of the probes; changed in place.
    """
    steps = []
    if "boundary_point" in details:
        steps.append(details["boundary_point"] - x)
    if "on_part" in details:
        steps.append(details["on_part"] + details["off_part"])
    if "subspace_step" in details:
        steps.append(details["subspace_step"])
    margin = next((probe for probe in probes if isinstance(probe, Margin) and probe.adversarial_class == "any"), None)
    if margin is not None:
        _update_margin(margin, boundary, x, steps, columns, details)
    if "margin_unbounded" in columns:
        is_same = margin is not None and margin.norm == "l2" and boundary.bounds is None
        _update_unbounded(boundary, x, steps, tangents, columns, details, is_same)


def _update_margin(
    margin: Margin, boundary: Boundary, x: Tensor, steps: list[Tensor], columns: Tensors, details: Tensors
) -> None:
    """Give the columns of `Margin` the nearest of the points that are within the bounds."""
    predicted = columns["prediction"]
    own = columns["margin"].abs()
    step, length = _nearest(boundary, x, predicted, own, steps, margin.norm)
    rows = torch.nonzero(length < own).squeeze(1)
    if len(rows) == 0:
        return
    points = (x + step)[rows]
    for name, values in margin.describe_points(boundary, x[rows], predicted[rows], points).items():
        (columns if name in columns else details)[name][rows] = values
    columns["margin"][rows] = (_sign(columns, x) * length)[rows]
    columns["margin_found"][rows] = True
    details["boundary_point"][rows] = points


def _update_unbounded(
    boundary: Boundary,
    x: Tensor,
    steps: list[Tensor],
    tangents: TangentField | None,
    columns: Tensors,
    details: Tensors,
    is_same: bool,
) -> None:
    """Give the columns of `OnOff` and `SubspaceMargin` the nearest of all points; `is_same`: so `margin`."""
    free = Boundary(boundary.model)
    own = columns["margin_unbounded"].abs()
    step, length = _nearest(free, x, columns["prediction"], own, steps, "l2")
    boundary.forwards += free.forwards
    rows = torch.nonzero(length < own).squeeze(1)
    if is_same:
        # The two may differ by rounding, and in a simulation `Margin` has the higher precision.
        length = columns["margin"].abs()
    if not is_same and len(rows) == 0:
        return
    length = torch.where(own.isnan(), own, length)
    columns["margin_unbounded"] = _sign(columns, x) * length
    if tangents is not None and "on_part" in details and len(rows) > 0:
        parts = decompose(step[rows], tangents, x[rows])
        columns["perturbation_on_manifold_fraction"][rows] = parts.tangent_fraction
        details["on_part"][rows] = parts.tangent
        details["off_part"][rows] = parts.normal
    if "tangent_reliable" in columns and len(rows) > 0:
        columns["tangent_plane_distance_ratio"][rows] *= (own / length)[rows]
        columns["tangent_reliable"] &= columns["tangent_plane_distance_ratio"] <= 1
    _compare_restricted(_sign(columns, x), length, columns, details)


def _sign(columns: Tensors, x: Tensor) -> Tensor:
    return torch.where(columns["correct"], 1.0, -1.0).to(x)


def closest_points(x: Tensor, columns: Tensors, details: Tensors) -> Tensor:
    """Return the nearest boundary point that the probes share, in the shape of `x`; nan where there is none."""
    if "boundary_point" in details:
        points = details["boundary_point"].to(x)
        distance = columns["margin"]
    elif "on_part" in details:
        points = x + details["on_part"].to(x) + details["off_part"].to(x)
        distance = columns["margin_unbounded"]
    else:
        return torch.full_like(x, torch.nan)
    return torch.where(broadcast_per_sample(distance.isfinite(), x), points, torch.nan)


def _compare_restricted(sign: Tensor, length: Tensor, columns: Tensors, details: Tensors) -> None:
    """Set the ratios of restricted margins and of their draws to free margins `length` `(B,)`.

    A restricted margin below the free one, which only rounding can cause, is raised to it.
    """
    unbounded = length.where(torch.isfinite(length), torch.nan)
    lower = length.where(torch.isfinite(length), 0.0)
    names = [name.removesuffix("_draws") for name in details if name.startswith("margin_") and name.endswith("_draws")]
    for name in names:
        if name not in columns or name.endswith("_ratio"):
            continue
        columns[name] = sign * torch.maximum(columns[name].abs(), lower)
        draws = torch.maximum(details[f"{name}_draws"].abs(), lower[:, None])
        details[f"{name}_draws"] = sign[:, None] * draws
        if f"{name}_ratio" in columns:
            columns[f"{name}_ratio"] = columns[name].abs() / unbounded
            details[f"{name}_ratio_draws"] = draws / unbounded[:, None]
            columns.update(null_statistics(f"{name}_ratio_null", details[f"{name}_ratio_draws"]))


def _nearest(
    boundary: Boundary, x: Tensor, predicted: Tensor, own: Tensor, steps: Sequence[Tensor], kind: str
) -> tuple[Tensor, Tensor]:
    """Return the shortest of steps `(B, *shape)` within the bounds that lead to another class, and its length.

    The length `(B,)` is `own` where none of the steps is shorter.
    """
    length = own.nan_to_num(nan=0.0, posinf=torch.inf)
    best = torch.zeros_like(x)
    for step in steps:
        for factor in (1.0, 1 + ROUNDING):
            points = x + factor * step
            clamped = points if boundary.bounds is None else boundary.bounds.clamp(points)
            # A point that the bounds move by more than rounding is another point.
            is_inside = norm(clamped - points, "linf") <= ROUNDING * norm(step, "linf")
            distance = norm(clamped - x, kind)
            rows = torch.nonzero(is_inside & (distance > 0) & (distance < length)).squeeze(1)
            if len(rows) > 0:
                rows = rows[boundary.logit_margin(clamped[rows], predicted[rows]) <= 0]
                length[rows] = distance[rows]
                best[rows] = (clamped - x)[rows]
    return best, length
