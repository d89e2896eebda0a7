"""Certified radius: the distance from a sample within which bounds of the network prove that no other class exists."""

import math
from typing import Literal, final

import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm
from dimple.boundary.boundary import Boundary, is_correct
from dimple.boundary.root_finding import find_roots
from dimple.probes.base import Probe, ProbeResult
from dimple.protocols import TangentField
from dimple.settings import Positive, settings
from dimple.tensors import Box, chunks, flatten
from dimple.tensors import norm as norm_of
from dimple.tracing.affine_graph import MAX_CHUNK_ENTRIES, AffineGraph, trace_affine_graph
from dimple.verification.linear_bounds import InputRegion, compute_linear_bounds
from dimple.verification.optimized_bounds import compute_optimized_bounds, optimized_lower_bound

# The bounds of the inputs of hidden units.
Certificate = Literal["crown", "ibp", "optimized"]
# Largest number of times that a radius is doubled or halved, until one is certified and another is not.
MAX_DOUBLINGS = 60
# Largest number of radii that are tried between the two.
MAX_STEPS = 40
# First factor by which a radius is enlarged with optimized bounds, and the smallest one: a trial takes seconds.
FIRST_ENLARGEMENT = 1.5
SMALLEST_ENLARGEMENT = 0.03
# Stands for a bound of 0 that is on the side of the radii that are not certified.
TINY = 1e-300
# Allowance for rounding of the scores, in units of the sample's precision times the largest score.
ROUNDING_ULPS = 100


@final
@settings
class CertifiedRadius(Probe):
    """The largest radius around each sample at which bounds of the network prove that no other class exists.

    The radius is a lower bound of the margin within the boundary's box, and 0 where the sample is misclassified. It is
    proven for any network of the operations in `dimple.tracing.operations`; another network is refused. Its distance
    from the margin depends on the looseness of the bounds.

    The proof is one in real arithmetic, for the given weights, which are converted exactly, with a small allowance for
    rounding of the scores in the precision of the samples. A network that computes in half precision rounds its scores
    by more, so its computed class may change within the radius.

    Columns: `certified_radius`.

    Args:
        norm: the norm of the radius.
        method: the bounds of the inputs of hidden units: `crown` propagates linear bounds back to the sample, which is
            tighter and takes seconds for an image; `ibp` uses interval bounds of the previous layer, which are looser
            and a hundred times cheaper; `optimized` goes on from the radius of `crown` with relaxations that are
            optimized by gradient ascent, and that couple the units of a layer in `l2`. It takes several times as long
            as `crown`, and its radius is never smaller.
        tolerance: the relative distance to a larger radius that was tried and not certified; with `optimized` at least
            .03, because a trial takes seconds.

    Reference: Zhang et al. 2018, Efficient neural network robustness certification with general activation functions;
    for `optimized`, see `dimple.verification.optimized_bounds`.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> found = CertifiedRadius()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> found.columns["certified_radius"].round(decimals=2)
        tensor([2.])
    """

    @property
    def needs_gradient(self) -> bool:
        return False

    norm: Literal["l1", "l2", "linf"] = "l2"
    method: Certificate = "crown"
    tolerance: Positive = 1e-3

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        radius = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        scores = boundary.scores(x)
        rows = torch.nonzero(is_correct(scores, y)).squeeze(1)
        if len(rows):
            slack = ROUNDING_ULPS * torch.finfo(x.dtype).eps * scores[rows].abs().amax(1).double()
            graph = trace_affine_graph(boundary.model, x[0])
            bounds = boundary.row_bounds(x)
            radius[rows] = certified_radius(
                graph, x[rows], y[rows], self.norm, bounds, self.tolerance, slack, self.method
            )
        return ProbeResult({"certified_radius": radius.to(x.dtype)}, {"certified_radius": f"{self.norm}, input units"})


def certified_radius(
    graph: AffineGraph,
    x: Tensor,
    y: Tensor,
    norm: str,
    bounds: Box | None,
    tolerance: float,
    slack: Tensor,
    method: str = "crown",
) -> Tensor:
    """Return the largest certified radius found for each sample, `(B,)` in double precision.

    Args:
        graph: the affine graph of the network.
        x: samples `(B, *shape)` of the predicted classes `y`.
        y: `(B,)` classes.
        norm: the norm of the radius.
        bounds: the box of valid inputs, or None.
        tolerance: the relative width of the final bracket.
        slack: `(B,)`, the value that the logit margin has to exceed.
        method: as in `CertifiedRadius`.
    """
    use_crown = method != "ibp"
    width = max(flatten(x).shape[1], *(len(affine.bias) for affine in graph.affine_maps))
    chunk_size = MAX_CHUNK_ENTRIES // (width * (width if use_crown else graph.num_classes))
    radii = []
    for part in chunks(len(x), max(1, min(256, chunk_size))):
        balls = _Balls(graph, flatten(x[part]).double(), y[part], norm, bounds, slack[part], use_crown)
        radius = balls.certified_radius(tolerance)
        radii.append(balls.enlarged_radius(radius, tolerance) if method == "optimized" else radius)
    return torch.cat(radii)


@final
class _Balls:
    """The balls around samples, and bounds of the logit margin in them."""

    def __init__(
        self, graph: AffineGraph, x: Tensor, y: Tensor, norm: str, bounds: Box | None, slack: Tensor, use_crown: bool
    ) -> None:
        self.graph = graph
        self.x = x
        self.norm = norm
        self.slack = slack
        self.use_crown = use_crown
        self.bounds = bounds
        eye = torch.eye(graph.num_classes, dtype=torch.float64, device=x.device)
        others = torch.arange(graph.num_classes, device=x.device).expand(len(x), -1)
        others = others[others != y[:, None]].reshape(len(x), -1)
        self.specification = eye[y][:, None] - eye[others]

    def lower_bound(self, samples: Tensor, radius: Tensor) -> Tensor:
        """Return a lower bound of the logit margin of some samples within the radii, minus the slack, `(B,)`."""
        region = InputRegion.from_ball(self.x[samples], radius, self.norm, self.bounds)
        bounds = compute_linear_bounds(self.graph, region, use_crown=self.use_crown)
        return bounds.lower_bound(self.specification[samples]).amin(1) - self.slack[samples]

    def optimized_lower_bound(self, samples: Tensor, radius: Tensor) -> Tensor:
        """Return the same as `lower_bound`, tighter and at a higher cost."""
        region = InputRegion.from_ball(self.x[samples], radius, self.norm, self.bounds)
        bounds = compute_optimized_bounds(self.graph, region)
        slack = self.slack[samples]
        return optimized_lower_bound(bounds, self.specification[samples], slack).amin(1) - slack

    def enlarged_radius(self, certified: Tensor, tolerance: float) -> Tensor:
        """Return radii that optimized bounds certify, not below the given ones.

        A radius is enlarged by a factor as long as this succeeds; then the factor is reduced.
        """
        certified = certified.clone()
        factor = torch.full_like(certified, FIRST_ENLARGEMENT)
        has_failed = torch.zeros_like(certified, dtype=torch.bool)
        smallest = 1 + max(tolerance, SMALLEST_ENLARGEMENT)
        active = torch.nonzero((certified > 0) & torch.isfinite(certified)).squeeze(1)
        for _ in range(MAX_STEPS):
            if len(active) == 0:
                break
            radius = certified[active] * factor[active]
            holds = self.optimized_lower_bound(active, radius) > 0
            is_everywhere = radius >= self.max_radius()[active]
            certified[active[holds]] = torch.where(is_everywhere, math.inf, radius)[holds]
            # Once a radius has failed, it stays the end of the bracket, and the next one is the geometric mean.
            has_failed[active] |= ~holds
            factor[active] = torch.where(has_failed[active], factor[active].sqrt(), factor[active])
            active = active[(factor[active] >= smallest) & torch.isfinite(certified[active])]
        return certified

    def initial_radius(self) -> Tensor:
        """Return the margins of the linearization of the network at the samples, as first trial radii."""
        region = InputRegion.from_ball(self.x, torch.zeros_like(self.slack), self.norm)
        bounds = compute_linear_bounds(self.graph, region, use_crown=self.use_crown)
        slopes, constants = bounds.linear_lower_bound(self.specification)
        logit_margins = (slopes * self.x[:, None]).sum(2) + constants
        radii = (logit_margins / dual_norm(slopes, self.norm)).amin(1)
        return torch.where(torch.isfinite(radii) & (radii > 0), radii, 1.0)

    def max_radius(self) -> Tensor:
        """Return the radii of the balls that contain the box: larger ones contain no further inputs."""
        if self.bounds is None:
            return torch.full_like(self.slack, math.inf)
        return norm_of(torch.maximum(self.x - self.bounds.low, self.bounds.high - self.x), self.norm)

    def certified_radius(self, tolerance: float) -> Tensor:
        """Return the certified radii: brackets by doubling or halving the radius, and then the roots of the bounds."""
        rows = torch.arange(len(self.x), device=self.x.device)
        certified = torch.zeros_like(self.slack)
        certified_value = self.lower_bound(rows, certified)
        failed = torch.full_like(self.slack, math.inf)
        failed_value = torch.zeros_like(self.slack)
        max_radius = self.max_radius()
        trial = self.initial_radius()
        active = rows[certified_value > 0]
        for _ in range(MAX_DOUBLINGS):
            if len(active) == 0:
                break
            radius = trial[active]
            value = self.lower_bound(active, radius)
            holds = value > 0
            certified[active[holds]] = radius[holds]
            certified_value[active[holds]] = value[holds]
            failed[active[~holds]] = radius[~holds]
            failed_value[active[~holds]] = value[~holds]
            trial[active] = torch.where(holds, 2 * radius, radius / 2)
            everywhere = holds & (radius >= max_radius[active])
            certified[active[everywhere]] = math.inf
            active = active[~everywhere & ((certified[active] == 0) | torch.isinf(failed[active]))]
        rows = torch.nonzero((certified > 0) & torch.isfinite(certified) & torch.isfinite(failed)).squeeze(1)
        low = certified[rows]
        high = failed[rows]

        def lack(among: Tensor, position: Tensor) -> Tensor:
            """Return the negative bounds, of which those of 0 prove nothing."""
            value = self.lower_bound(rows[among], high[among] - position * (high - low)[among])
            return torch.where(value == 0, TINY, -value)

        near = torch.where(failed_value[rows] == 0, TINY, -failed_value[rows])
        # The bracket is half as wide as its higher radius, or as wide as its lower one.
        roots = find_roots(lack, near, -certified_value[rows], MAX_STEPS, tolerance / 10)
        certified[rows] = high - roots.far * (high - low)
        return certified
