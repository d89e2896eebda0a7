"""The exact margin of small networks of ReLU type, with a proof that nothing lies nearer."""

import math
from typing import Literal, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ModelError
from dimple.probes.base import Measurement, Probe
from dimple.probes.certified import certified_radius
from dimple.probes.margin import Margin
from dimple.protocols import TangentField
from dimple.settings import Count, settings
from dimple.tensors import flatten
from dimple.tracing.affine_graph import circuit
from dimple.verification.branch_and_bound import Branching


@final
@settings
class ExactMargin(Probe):
    """How far each sample is from the nearest input of another class, proven by branch and bound.

    The search starts from the point that `margin` finds and splits the ball that reaches to it, by units or, in few
    dimensions, by boxes, until bounds exclude everything nearer. Where `nodes` parts do not suffice, the bound says how
    much is proven. Signs are those of `margin`: negative where the sample is misclassified.

    Columns: `margin_exact`, of the nearest point known (`inf` where none is), and `margin_exact_bound`, below which no
    point of another class exists: within a millionth of the former where the search ended.

    Args:
        nodes: the most parts that are bounded for one sample.

    Reference: Jordan, Lewis, Dimakis 2019, Provable certificates for adversarial examples, for the distance through
    the linear regions; the bounds are those of `dimple.verification.linear_bounds`.

    Example:
        >>> corner = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2)).double()
        >>> x = torch.ones(1, 2).double()
        >>> found = ExactMargin()(Boundary(corner), x, corner(x).argmax(1))
        >>> bool((found.columns["margin_exact_bound"] <= found.columns["margin_exact"]).all())
        True
    """

    norm: Literal["l2", "linf"] = "l2"
    nodes: Count = 2000

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """One search a sample: what one finds does not depend on the others."""
        read = circuit(boundary.classifier, x[0])
        if any(curve.bend > 0 for curve in read.curves):
            raise ModelError("an exact margin needs a network of ReLU type; probe certified bounds every other")
        predicted = boundary.predict(x)
        _, start, _ = Margin(norm=self.norm).search(boundary, x, predicted)
        slack = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        exact, bound = start.double().clone(), start.double().clone()
        for row in range(len(x)):
            if math.isfinite(float(start[row])):
                search = Branching(
                    read, flatten(x)[row], int(predicted[row]), float(start[row]), self.norm, boundary.box
                )
                exact[row], bound[row] = search.search(self.nodes)
            else:
                one = slice(row, row + 1)
                bound[one] = certified_radius(read, x[one], predicted[one], self.norm, boundary.box, 1e-3, slack[one])
        sign = torch.where(predicted == y, 1.0, -1.0).to(x)
        columns = {"margin_exact": sign * exact.to(x), "margin_exact_bound": sign * bound.to(x)}
        return Measurement(columns, dict.fromkeys(columns, f"{self.norm}, input units"))
