"""Exact margin of small networks of ReLU type, with a proof that no boundary point is closer."""

import math
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ModelError
from dimple.probes.base import Probe, ProbeResult
from dimple.probes.certified import certified_radius
from dimple.probes.margin import Margin
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, settings
from dimple.tensors import flatten
from dimple.tracing.affine_graph import trace_affine_graph
from dimple.verification.branch_and_bound import CONVERGENCE_TOLERANCE, BranchAndBound

# The passes of the search for the point at which the proof starts: a nearer one saves many nodes.
SEARCH_PASSES = 200.0


@final
@settings
class ExactMargin(Probe):
    """The distance of each sample from the closest input of another class, proven by branch and bound.

    The search starts with the ball around the sample that reaches to the point found by `Margin`, and splits it by
    units or, in few dimensions, by boxes, until bounds exclude every closer point of another class. If the limits do
    not suffice, the lower bound is what is proven by then. The signs are those of `margin`: negative where the sample
    is misclassified. The lower bound is proven in real arithmetic for the given weights, whatever the precision of the
    network.

    Columns: `margin_exact_upper`, the distance of the closest known point of another class (`inf` without one);
    `margin_exact_lower`, the proven lower bound; `margin_exact`, the former where the two are within a millionth of
    each other, nan elsewhere; and `margin_exact_found`, true there.

    Args:
        norm: the norm of the distance.
        nodes: the largest number of nodes of the search tree that are bounded for one sample.
        seconds: the longest time of one sample, after which no further nodes are bounded; None for no such limit. With
            it the bounds depend on the speed of the computer.

    Reference: Jordan, Lewis, Dimakis 2019, Provable certificates for adversarial examples, for the distance through
    the linear regions; the bounds are those of `dimple.verification.linear_bounds`.

    Example:
        >>> corner = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2)).double()
        >>> x = torch.ones(1, 2).double()
        >>> found = ExactMargin()(Boundary(corner), x, corner(x).argmax(1))
        >>> bool((found.columns["margin_exact_lower"] <= found.columns["margin_exact_upper"]).all())
        True
    """

    # The search of one sample takes long, so an interrupted measurement keeps each sample that is finished.
    max_batch: ClassVar[int | None] = 1

    norm: Literal["l2", "linf"] = "l2"
    nodes: Count = 2000
    seconds: Positive | None = None

    @property
    def passes_per_sample(self) -> float:
        # A node of the search tree takes longer than a pass, by how much depends on the widths.
        return SEARCH_PASSES + self.nodes

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        graph = trace_affine_graph(boundary.model, x[0])
        if not all(activation.is_piecewise_linear for activation in graph.activations):
            raise ModelError("an exact margin needs a network of ReLU type; use the probe certified for other networks")
        predicted = boundary.predict(x)
        found = Margin(norm=self.norm, max_passes=SEARCH_PASSES).search(boundary, x, predicted)
        start = found.distance
        slack = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        upper = start.double().clone()
        lower = start.double().clone()
        for row in range(len(x)):
            if math.isfinite(float(start[row])):
                search = BranchAndBound(
                    graph, flatten(x)[row], int(predicted[row]), float(start[row]), self.norm, boundary.row_bounds(x)
                )
                upper[row], lower[row] = search.search(self.nodes, math.inf if self.seconds is None else self.seconds)
            else:
                one = slice(row, row + 1)
                lower[one] = certified_radius(
                    graph, x[one], predicted[one], self.norm, boundary.row_bounds(x), 1e-3, slack[one]
                )
        sign = torch.where(predicted == y, 1.0, -1.0).to(x).where(found.has_scores, torch.nan)
        # Two infinite bounds meet too: no input within the bounds is of another class.
        is_proven = (lower >= upper * (1 - CONVERGENCE_TOLERANCE)).to(x.device) & found.has_scores
        distances = {"": upper.where(is_proven, torch.nan), "_upper": upper, "_lower": lower}
        columns = {f"margin_exact{end}": sign * values.to(x) for end, values in distances.items()}
        units = dict.fromkeys(columns, f"{self.norm}, input units")
        return ProbeResult(columns | {"margin_exact_found": is_proven}, units | {"margin_exact_found": "yes or no"})
