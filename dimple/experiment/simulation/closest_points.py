"""The nearest boundary point that any probe of a scene found at a sample, as the one point of all columns."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary import Boundary
from dimple.probes.null_comparison import null_statistics
from dimple.protocols import TangentField
from dimple.tangents.decomposition import decompose
from dimple.tensors import broadcast_per_sample, norm

Arrays = dict[str, NDArray[Any]]
# By this fraction a step that was found in single precision is longer, so that it ends beyond the boundary.
ROUNDING = 1e-6


def use_closest_points(
    boundary: Boundary, x: Tensor, tangents: TangentField, columns: Arrays, details: Arrays
) -> NDArray[np.float64]:
    """Give all columns about the shortest perturbation the nearest boundary point that any probe found.

    `Margin` and `OnOff` search in all directions with different effort. Without bounds they mean the same distance, and
    the parts of a perturbation are meaningful only with its length. The columns `margin`, `margin_unbounded`, the
    ratios to it and `perturbation_on_manifold_fraction` are changed in place, and so are the draws of the ratios.

    Args:
        boundary: the boundary, without bounds, in the precision of `x`.
        x: `(B, *shape)` samples.
        tangents: the tangent spaces at the samples.
        columns: those of `Margin` (in l2), of `OnOff`, or of both, with `label` and `prediction`.
        details: `boundary_point` of `Margin`, and `on_part`, `off_part` and the draws of `OnOff`.

    Returns:
        The boundary points, in the shape of `x`; nan where none was found.
    """
    prediction = torch.from_numpy(columns["prediction"]).to(x.device)
    distance = torch.full_like(x.flatten(1)[:, 0], torch.inf)
    step = torch.full_like(x, torch.nan)
    if "margin" in columns:
        distance = torch.from_numpy(np.abs(columns["margin"])).to(x)
        points = torch.from_numpy(details["boundary_point"]).to(x)
        step = torch.where(broadcast_per_sample(distance.isfinite(), x), points - x, torch.nan)
    if "margin_unbounded" in columns:
        parts = torch.from_numpy(details["on_part"] + details["off_part"]).to(x) * (1 + ROUNDING)
        length = norm(parts)
        nearer = (length > 0) & (length < distance) & (boundary.logit_margin(x + parts, prediction) <= 0)
        distance = torch.where(nearer, length, distance)
        step = torch.where(broadcast_per_sample(nearer, x), parts, step)
    size = distance.cpu().numpy()
    sign = np.where(columns["prediction"] == columns["label"], 1.0, -1.0)
    for name in ("margin", "margin_unbounded"):
        if name in columns:
            columns[name] = sign * size
    if "margin_unbounded" in columns:
        columns["perturbation_on_manifold_fraction"] = decompose(step, tangents, x).tangent_fraction.cpu().numpy()
        unbounded = np.where(np.isfinite(size), size, np.nan)
        for name in ("margin_on", "margin_off"):
            columns[f"{name}_ratio"] = np.abs(columns[name]) / unbounded
            draws = np.abs(details[f"{name}_draws"]) / unbounded[:, None]
            details[f"{name}_ratio_draws"] = draws
            null = null_statistics(f"{name}_ratio_null", torch.from_numpy(draws))
            columns.update({column: values.numpy() for column, values in null.items()})
    return np.asarray((x + step).cpu().numpy(), dtype=np.float64)
