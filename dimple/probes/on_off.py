"""On and off the data manifold: how far the boundary is each way, and which way the shortest perturbation goes."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from dimple.attacks.closest import default_starts
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import Boundary
from dimple.probes.base import Measurement, Probe
from dimple.probes.margin import Margin
from dimple.probes.with_null import Compared
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, Seed, settings
from dimple.stats.null_bands import DRAWS
from dimple.tangents.base import tangents_at, trust
from dimple.tangents.decomposition import split_by
from dimple.tensors import flatten


@final
@settings
class OnOff(Probe):
    """The margin in every direction, only along the tangent space, and only off it; and the shortest step split.

    All searches are in l2 and free of the input box, so that they differ in nothing but the directions they may take;
    the tangent space is that at the sample, held fixed. Each takes at most `budget` passes from each of `starts`. Each
    figure has its null: the same search within `draws` random subspaces of the same dimension, as their median and the
    band that holds 95 % of further draws (39 is the fewest draws with such a band).

    Columns: `margin_any`, `margin_on`, `margin_off` (l2, signed as the margin), `on_ratio` and `off_ratio` (to the
    first of these), `on_share` (of the squared length of the shortest step) and `gradient_off_share` (of the squared
    length of the gap's gradient at the sample), each but the first with `_null`; the restricted ones also with
    `_null_low` and `_null_high`, the ratios with `_closed`, what an isotropic gradient and a flat boundary give.
    Where the tangents are an estimate also `tangent_validity`, how far the data lie off the estimated plane over
    `margin_any`, and `tangent_reliable`, whether the estimate is reliable and that ratio at most 1: beyond it the plane
    is that of another place, and the split of so short a step says nothing.
    Details: `margin_on_draws` and so on, `(B, draws)`; `on_part`, `off_part` `(B, *shape)` of the shortest step.

    Reference: Shamir, Melamed, BenShmuel 2021 for the split; the null follows from an isotropic gradient.
    """

    needs_tangents: ClassVar[bool] = True

    draws: Count = DRAWS
    method: Literal["closest", "deepfool"] = "closest"
    budget: Positive = 15.0
    starts: Count = 1
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Three searches for the sample, and two for every random subspace."""
        assert tangents is not None
        return self.beside(boundary, x, y, tangents, {})

    def beside(
        self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField, controls: Mapping[str, TangentField]
    ) -> Measurement:
        """The answer of `run`, and the margin along each of the control's subspaces as `margin_<name>`."""
        compared = self.compared(boundary, x, y)
        basis, estimate = tangents_at(tangents, x)
        ways = {"on": Restriction(basis), "off": Restriction(basis, off=True)}
        ways |= {name: Restriction(field.tangent_basis(x)) for name, field in controls.items()}
        step = split_by(basis, compared.step)
        gradient = split_by(basis, compared.free.gap_and_gradient(x, compared.predicted)[1])
        columns = {
            "margin_any": compared.sign * compared.distance,
            "on_share": step.on_share,
            "on_share_null": torch.full_like(compared.distance, step.null),
            "gradient_off_share": gradient.off_share,
            "gradient_off_share_null": torch.full_like(compared.distance, 1 - gradient.null),
        }
        restricted, details = compared.beside_chance(ways)
        columns |= restricted
        if estimate is not None:
            columns |= trust(estimate, compared.distance)
        boundary.forwards += compared.free.forwards
        boundary.backwards += compared.free.backwards
        details |= {"on_part": step.on, "off_part": step.off}
        return Measurement(columns, {name: unit_of(name) for name in columns}, details)

    def finer(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField) -> dict[str, Tensor]:
        """`margin_any`, `margin_on` and `margin_off` at four times the budget, and in few dimensions from more starts.

        What moves by more than a few percent tells of the search, and not of the boundary.
        """
        starts = max(self.starts, default_starts(flatten(x).shape[1]))
        search = dataclasses.replace(self, budget=4 * self.budget, starts=starts)
        compared = search.compared(boundary, x, y)
        basis = tangents.tangent_basis(x)
        ways = compared.within("on", Restriction(basis)) | compared.within("off", Restriction(basis, off=True))
        return {"margin_any": compared.sign * compared.distance} | ways

    def compared(self, boundary: Boundary, x: Tensor, y: Tensor) -> Compared:
        """The search without any restriction, ready for others."""
        search = Margin(method=self.method, budget=self.budget, starts=self.starts)
        return Compared(boundary, x, y, search, self.draws, self.seed)


def unit_of(column: str) -> str:
    """The unit of one of the columns above."""
    if column == "tangent_reliable":
        return "yes or no"
    if column.startswith("margin_"):
        return "l2, input units"
    return "share" if "_share" in column else "ratio to the free margin"
