"""A radius around each sample within which no other class exists, proven by bounds of the network."""

import math
from typing import Literal, final

import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm
from dimple.boundary.boundary import Boundary
from dimple.probes.base import Measurement, Probe
from dimple.protocols import TangentField
from dimple.settings import Positive, settings
from dimple.tensors import Box, chunks, flatten
from dimple.tracing.affine_graph import ROOM, Circuit, circuit
from dimple.verification.linear_bounds import Region, relaxed

# Radii tried for one sample; each halves the bracket at worst.
TRIALS = 60
# What rounding may do to scores, in units of the sample's precision and the largest score.
ULPS = 100


@final
@settings
class Certified(Probe):
    """The largest radius found around each sample at which bounds of the network prove that no other class exists.

    A lower bound of the margin within the boundary's box, 0 where the sample is misclassified. It holds in real
    arithmetic for the weights as they are, with a small part of the gap kept back for rounding, for any network of
    affine layers and the activations of `dimple.tracing.affine_graph.CURVES`. How far it lies below the margin is the
    looseness of the bounds, not a property of the sample.

    Columns: `margin_lower`.

    Args:
        hidden: how the inputs of hidden units are bounded: `carried` back to the sample, as tight as these bounds get,
            at seconds an image; or by the `interval` that the layer before allows, looser and a hundred times cheaper.
        tolerance: how near, relative to it, a radius that is not certified was tried.

    Reference: Zhang et al. 2018, Efficient neural network robustness certification with general activation functions.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> found = Certified()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> found.columns["margin_lower"].round(decimals=2)
        tensor([2.])
    """

    norm: Literal["l1", "l2", "linf"] = "l2"
    hidden: Literal["carried", "interval"] = "carried"
    tolerance: Positive = 1e-3

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Certify the samples that are classified as labelled."""
        radius = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        scores = boundary.scores(x)
        rows = torch.nonzero(scores.argmax(1) == y).squeeze(1)
        if len(rows):
            slack = ULPS * torch.finfo(x.dtype).eps * scores[rows].abs().amax(1).double()
            read = circuit(boundary.classifier, x[0])
            radius[rows] = certified_radius(
                read, x[rows], y[rows], self.norm, boundary.box, self.tolerance, slack, self.hidden == "carried"
            )
        return Measurement({"margin_lower": radius.to(x.dtype)}, {"margin_lower": f"{self.norm}, input units"})


def certified_radius(
    read: Circuit,
    x: Tensor,
    y: Tensor,
    norm: str,
    box: Box | None,
    tolerance: float,
    slack: Tensor,
    carried: bool = True,
) -> Tensor:
    """For each sample `(B, *shape)` of the class `y` the largest certified radius found, `(B,)` in double precision.

    Args:
        slack: what the gap has to exceed, `(B,)`.
        carried: as in `dimple.verification.linear_bounds.relaxed`.
    """
    widest = max(flatten(x).shape[1], *(len(affine.offset) for affine in read.affines))
    parts = chunks(len(x), max(1, min(256, ROOM // (widest * (widest if carried else read.classes)))))
    found = [
        _Bracket(read, flatten(x[part]).double(), y[part], norm, box, slack[part], carried).closed(tolerance)
        for part in parts
    ]
    return torch.cat(found)


@final
class _Bracket:
    """For each sample a certified radius, a larger one that is not, and the least gap at both."""

    def __init__(
        self, read: Circuit, x: Tensor, y: Tensor, norm: str, box: Box | None, slack: Tensor, carried: bool
    ) -> None:
        self.read, self.x, self.norm, self.slack, self.carried = read, x, norm, slack, carried
        self.walls = (-math.inf, math.inf) if box is None else (box.low, box.high)
        eye = torch.eye(read.classes, dtype=torch.float64, device=x.device)
        others = torch.arange(read.classes, device=x.device).expand(len(x), -1)
        others = others[others != y[:, None]].reshape(len(x), -1)
        self.rows = eye[y][:, None] - eye[others]
        every = torch.arange(len(x), device=x.device)
        self.low, self.low_gap = torch.zeros_like(slack), self.least(every, torch.zeros_like(slack))
        self.high, self.high_gap = torch.full_like(slack, math.inf), torch.zeros_like(slack)

    def least(self, samples: Tensor, radius: Tensor) -> Tensor:
        """What the gap of some samples cannot fall below within the radii, `(B,)`, less the slack."""
        region = Region.ball(self.x[samples], radius, self.norm, *self.walls)
        return relaxed(self.read, region, carried=self.carried).least(self.rows[samples]).amin(1) - self.slack[samples]

    def first(self) -> Tensor:
        """The radii at which the network's linear part at the samples has its boundary."""
        region = Region.ball(self.x, torch.zeros_like(self.slack), self.norm)
        slopes, constants = relaxed(self.read, region, carried=self.carried).below(self.rows)
        gaps = (slopes * self.x[:, None]).sum(2) + constants
        radii = (gaps / dual_norm(slopes, self.norm)).amin(1)
        return torch.where(torch.isfinite(radii) & (radii > 0), radii, 1.0)

    def closed(self, tolerance: float) -> Tensor:
        """The certified radii once every bracket is narrow."""
        trial = self.first()
        # Where the box ends, larger balls hold nothing more.
        reach = torch.maximum(self.x - self.walls[0], self.walls[1] - self.x)
        reach = torch.linalg.vector_norm(reach, ord={"l1": 1.0, "l2": 2.0, "linf": math.inf}[self.norm], dim=1)
        active = torch.nonzero(self.low_gap > 0).squeeze(1)
        for number in range(TRIALS):
            if len(active) == 0:
                break
            radius = trial[active]
            gap = self.least(active, radius)
            safe = gap > 0
            rise, fall = active[safe], active[~safe]
            self.low[rise], self.low_gap[rise] = radius[safe], gap[safe]
            self.high[fall], self.high_gap[fall] = radius[~safe], gap[~safe]
            everywhere = safe & (radius >= reach[active])
            self.low[active[everywhere]] = math.inf
            narrow = self.high[active] - self.low[active] <= tolerance * self.high[active]
            active = active[~(everywhere | narrow & torch.isfinite(self.high[active]))]
            trial[active] = self.next(active, bisect=number % 3 == 2)
        return self.low

    def next(self, active: Tensor, bisect: bool) -> Tensor:
        """The radius to try: in large steps until both ends of the bracket stand, then by secant, or by halves."""
        low, high = self.low[active], self.high[active]
        share = self.low_gap[active] / (self.low_gap[active] - self.high_gap[active])
        share = torch.full_like(share, 0.5) if bisect else share.clamp(0.05, 0.95)
        # Far out bounds fall faster than any line: a secant from the sample itself would creep.
        share = torch.where(low > 0, share, share.clamp(min=0.4))
        return torch.where(torch.isinf(high), 2 * low, low + share * (high - low))
