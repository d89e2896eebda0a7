"""On and off the data manifold: how far the boundary is each way, and which way the shortest perturbation goes."""

from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.probes.base import Measurement, Probe
from dimple.probes.margin import Margin
from dimple.probes.nulls import RandomSubspace, band, energy_share
from dimple.probes.restriction import Restriction
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, Seed, settings
from dimple.tensors import flatten, per_sample, project, share


@final
@settings
class OnOff(Probe):
    """The margin in every direction, only along the tangent space, and only off it; and the shortest step split.

    All searches are in l2 and free of the input box, so that they differ in nothing but the directions they may take;
    the tangent space is that at the sample, held fixed. They are DeepFool's, at most `steps` linearisations, or, at
    twice the cost, the closer ones that a `budget` of passes finds from one start (`method: closest`). Each figure has
    its null: the same search within `draws` random subspaces of the same dimension, as their median and band.

    Columns: `margin_any`, `margin_on`, `margin_off` (l2, signed as the margin), `on_share` (of the squared length of
    the shortest step) and `gradient_off_share` (of the squared length of the gap's gradient at the sample), each with
    `_null`; the two restricted margins also with `_null_low` and `_null_high`.
    Details: `on_draws`, `off_draws` `(B, draws)`, `on_part`, `off_part` `(B, *shape)` of the shortest step.

    Reference: Shamir, Melamed, BenShmuel 2021 for the split; the null follows from an isotropic gradient.
    """

    needs_tangents: ClassVar[bool] = True

    draws: Count = 20
    method: Literal["closest", "deepfool"] = "deepfool"
    steps: Count = 20
    budget: Positive = 15.0
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Three searches for the sample, and two for every random subspace."""
        assert tangents is not None
        search = Margin(method=self.method, budget=self.budget, starts=1, steps=self.steps)
        free = Boundary(boundary.classifier)
        predicted = free.predict(x)
        sign = torch.where(predicted == y, 1.0, -1.0).to(x)
        basis = tangents.tangent_basis(x)
        n, d = basis.shape[1:]

        points, distance, found = search.search(free, x, predicted)
        step = torch.where(per_sample(found, x), points - x, 0.0)
        on_part = project(basis, step)
        _, gradient = free.gap_and_gradient(x, predicted)
        columns = {"margin_any": sign * distance, "on_share": share(on_part, step)}
        columns["on_share_null"] = torch.full_like(distance, energy_share(n, d))
        columns["gradient_off_share"] = share(gradient - project(basis, gradient), gradient)
        columns["gradient_off_share_null"] = torch.full_like(distance, energy_share(n, n - d))
        details = {"on_part": on_part, "off_part": step - on_part}
        for name, off in (("on", False), ("off", True)):
            columns[f"margin_{name}"] = sign * search.search(free, x, predicted, Restriction(basis, off))[1]
            draws = self._draws(free, search, x, predicted, d, off)
            low, high = band(draws)
            columns[f"margin_{name}_null"] = sign * draws.median(dim=1).values
            columns[f"margin_{name}_null_low"] = sign * low
            columns[f"margin_{name}_null_high"] = sign * high
            details[f"{name}_draws"] = draws
        boundary.forwards += free.forwards
        boundary.backwards += free.backwards
        units = {name: "l2, input units" if name.startswith("margin") else "share" for name in columns}
        return Measurement(columns, units, details)

    def _draws(self, boundary: Boundary, search: Margin, x: Tensor, predicted: Tensor, d: int, off: bool) -> Tensor:
        """The margin within (or off) each random subspace, `(B, draws)`; small samples take all draws in one batch."""
        n = flatten(x).shape[1]
        subspaces = [RandomSubspace(d, self.seed, draw).columns(n).to(x) for draw in range(self.draws)]
        together = max(1, 2**16 // (len(x) * n * max(d, 1)))
        columns = []
        for start in range(0, self.draws, together):
            group = subspaces[start : start + together]
            if len(group) == 1:
                restriction = Restriction(group[0], off)
            else:
                restriction = Restriction(torch.stack(group).repeat_interleave(len(x), dim=0), off)
            many = x.repeat(len(group), *[1] * (x.dim() - 1))
            distance = search.search(boundary, many, predicted.repeat(len(group)), restriction)[1]
            columns.append(distance.reshape(len(group), len(x)).T)
        return torch.cat(columns, dim=1)
