"""Slopes of a surface that its neighborhoods are too wide to resolve, told from noise by a variogram.

The heights of neighbors are their components normal to an estimated plane. Where they are noise, those of two close
neighbors differ as much as those of any two. Where they are waves of the surface, those of close neighbors differ less;
the spectrum of a neighborhood does not show this, so that the waves pass for noise that averages out.

Reference: Cressie 1993, Statistics for spatial data, section 2.4 (variogram and nugget effect).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

# The pairs of the variogram: each neighbor with the nearest to it in the plane, and with the fourth nearest.
LAGS = (1, 4)
# The fraction of squared slopes at points that gentle curvature reaches where the neighbors are not even on all sides.
CURVATURE_TILT = 0.05


class Roughness(NamedTuple):
    """The heights of a cloud above its planes: noise, waves or gentle curvature.

    Attributes:
        noise: the mean squared difference of two heights by noise alone, in squared input units.
        signal_fraction: the fraction of the variance of the heights that is not noise, from 0 to 1.
        tilt_fraction: the squared slopes at the points over those around them, from 0 to 1: small for gentle curvature,
            which lifts the neighbors on opposite sides alike, and near 1 for waves.
    """

    noise: float
    signal_fraction: float
    tilt_fraction: float


def measure_roughness(neighborhoods: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Roughness:
    """Return the roughness of some neighborhoods; the noise is their variogram, continued to the length 0.

    Args:
        neighborhoods: differences from a point `(B, k, n)`, weights `(B, k)` and bases of the planes `(B, n, d)`.
    """
    sums = torch.zeros(5, dtype=torch.float64)
    tilts = []
    slopes = []
    dim = 0
    for differences, weight, basis in neighborhoods:
        dim = basis.shape[2]
        inside, heights = _split(differences, basis)
        center = (heights * weight[:, :, None]).sum(1, keepdim=True) / weight.sum(1)[:, None, None].clamp(min=1e-30)
        pairs = [_near_pairs(inside, heights, weight, lag) for lag in LAGS]
        means = [_mean((heights - center).square().sum(2), weight > 0), *pairs[0], *pairs[1]]
        sums += torch.stack([mean.double().sum().cpu() for mean in means])
        tilts.append(_tilt(inside, heights, weight))
        slopes.append(torch.stack(pairs[0], 1))
    count = sum(map(len, slopes))
    variance, near, near_length, far, far_length = (sums / max(count, 1)).tolist()
    # Also without any neighborhood.
    if variance == 0:
        return Roughness(0.0, 0.0, 0.0)
    slope = max((far - near) / (far_length - near_length), 0.0) if far_length > near_length else 0.0
    noise = max(near - slope * near_length, 0.0)
    rise, spread = torch.cat(tilts).double().mean(0).tolist()
    difference, length = torch.cat(slopes).unbind(1)
    around = float(_slope(difference, length, noise).mean())
    # Noise raises each of the d columns of the plane by half of the difference of two heights.
    tilt = (rise - dim * noise / 2) / spread if spread > 0 else 0.0
    tilt_fraction = tilt / around if around > 0 else 0.0
    tilt_fraction = (tilt_fraction - CURVATURE_TILT) / (1 - CURVATURE_TILT)
    return Roughness(noise, max(1 - noise / (2 * variance), 0.0), min(max(tilt_fraction, 0.0), 1.0))


def unresolved_angle(differences: Tensor, weight: Tensor, basis: Tensor, cloud: Roughness) -> Tensor:
    """Return the root mean square angle by which a surface is steeper than its plane, in radians, `(B,)`.

    Args:
        differences: `(B, k, n)` neighbors minus the sample.
        weight: `(B, k)`, zero for neighbors that are left out.
        basis: `(B, n, d)` orthonormal columns of the plane.
        cloud: the roughness of the cloud.
    """
    fraction = cloud.signal_fraction * cloud.tilt_fraction * basis.shape[2]
    if fraction == 0:
        return differences.new_zeros(len(differences))
    around = _slope(*_near_pairs(*_split(differences, basis), weight, LAGS[0]), cloud.noise)
    return (fraction * around).sqrt().atan()


def _slope(difference: Tensor, length: Tensor, noise: float) -> Tensor:
    """Return the mean squared slope in one direction between near neighbors, without that of noise, `(B,)`."""
    rise = (difference - noise).clamp(min=0)
    return torch.where(rise > 0, rise / length, 0)


def _tilt(inside: Tensor, heights: Tensor, weight: Tensor) -> Tensor:
    """Return the squared rise that a plane through the nearest neighbors explains, and their squared spread in it.

    Their sums over many samples give the mean squared slope; a mean of slopes would be that of points which lie almost
    on top of each other.

    Returns:
        `(B, 2)`.
    """
    d = inside.shape[2]
    # By their distance in the plane: the nearest in space are those whose noise is alike.
    distance = inside.square().sum(2).masked_fill(weight <= 0, torch.inf)
    index = distance.topk(min(2 * d + 2, distance.shape[1]), dim=1, largest=False).indices[:, :, None]
    columns = inside.gather(1, index.expand(-1, -1, d))
    rises = heights.gather(1, index.expand(-1, -1, heights.shape[2]))
    columns = columns - columns.mean(1, keepdim=True)
    rises = rises - rises.mean(1, keepdim=True)
    frame = torch.linalg.svd(columns, full_matrices=False).U
    return torch.stack([(frame.mT @ rises).square().sum((1, 2)), columns.square().sum((1, 2))], 1)


def _split(differences: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates within the plane `(B, k, d)` and the heights above it `(B, k, n)`."""
    inside = differences @ basis
    return inside, differences - inside @ basis.mT


def _near_pairs(inside: Tensor, heights: Tensor, weight: Tensor, lag: int) -> tuple[Tensor, Tensor]:
    """Return the mean squared difference of heights and the mean squared length over near pairs of each sample."""
    left_out = weight <= 0
    distance = torch.cdist(inside, inside)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    distance.masked_fill_(left_out[:, None], torch.inf)
    lag = min(lag, distance.shape[1] - 1)
    near = distance.topk(lag, dim=2, largest=False)
    other = near.indices[:, :, -1:].expand_as(heights)
    difference = (heights - heights.gather(1, other)).square().sum(2)
    length = near.values[:, :, -1].square()
    # Too few neighbors have a weight for such a pair.
    valid = ~left_out & length.isfinite()
    return _mean(difference, valid), _mean(length, valid)


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return values.where(valid, 0).sum(1) / valid.sum(1).clamp(min=1)
