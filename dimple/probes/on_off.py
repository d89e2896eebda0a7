"""On- and off-manifold margins, and the decomposition of the shortest perturbation by the tangent space."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import Boundary
from dimple.probes.base import Probe, ProbeResult
from dimple.probes.margin import Margin
from dimple.probes.null_comparison import MarginNullComparison
from dimple.protocols import TangentField
from dimple.settings import Passes, Repeats, Seed, settings
from dimple.stats.null_bands import DEFAULT_NULL_DRAWS
from dimple.tangents.base import tangent_basis_and_estimate, tangent_reliability
from dimple.tangents.decomposition import decompose_by_basis
from dimple.tangents.random_subspace import random_tangent_fractions
from dimple.tensors import broadcast_per_sample

# The passes of a refined search, in those of the search itself.
SEARCH_FACTOR = 4


@final
@settings
class OnOff(Probe):
    """The margin in all directions, along the tangent space and off it, and the decomposition of the shortest step.

    All searches are in l2 and without the input bounds, so that they differ only in the allowed directions. The tangent
    space is that at the sample. Each quantity has a null: the same search within random subspaces of the same
    dimension, as the median of the draws and their 95 % prediction interval (39 is the smallest number of draws with
    such an interval).

    Columns: `margin_unbounded`, `margin_on`, `margin_off` (l2, signed as the margin), `margin_on_ratio` and
    `margin_off_ratio` (over the unbounded margin), `perturbation_on_manifold_fraction` (of the squared length of the
    shortest step) and `gradient_off_manifold_fraction` (of the squared length of the logit margin's gradient at the
    sample). All except the first have a column with `_null`; the margins on and off and their ratios also with
    `_null_low` and `_null_high`, and the ratios with `_analytic`, the value for an isotropic gradient and a flat
    boundary. If the tangents are an estimate, also `tangent_plane_distance_ratio`, the distance of the data from the
    estimated plane over `margin_unbounded`, and `tangent_reliable`, true where the estimate is reliable and this ratio
    is at most 1: above 1 the step is too short for the plane to decompose it.
    Details: `margin_on_draws` and so on, `(B, draws)`; `on_part`, `off_part` `(B, *shape)` of the shortest step.

    Args:
        null_draws: the number of random subspaces.
        method: the search method, as in `Margin`.
        max_passes: the largest number of passes of one search for one sample; there are 3 + 2 x `null_draws` searches.
        restarts: as in `Margin`.
        seed: seed of the random subspaces.

    Reference: Shamir, Melamed, BenShmuel 2021 for the decomposition; the null follows from an isotropic gradient.
    """

    needs_tangents: ClassVar[bool] = True

    null_draws: Repeats = DEFAULT_NULL_DRAWS
    method: Literal["closest", "deepfool"] = "closest"
    max_passes: Passes = 15.0
    restarts: Repeats | None = None
    seed: Seed = 0

    @property
    def passes_per_sample(self) -> float:
        return self.max_passes * (3 + 2 * self.null_draws)

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        assert tangents is not None
        return self.run_with_controls(boundary, x, y, tangents, {})

    def run_with_controls(
        self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField, controls: Mapping[str, TangentField]
    ) -> ProbeResult:
        """Return the result of `run` with the margin along each control subspace as `margin_<name>`."""
        comparison = self.make_null_comparison(boundary, x, y)
        basis, estimate = tangent_basis_and_estimate(tangents, x)
        constraints = {"on": SubspaceConstraint(basis), "off": SubspaceConstraint(basis, orthogonal=True)}
        constraints |= {name: SubspaceConstraint(field.tangent_basis(x)) for name, field in controls.items()}
        constrained, details = comparison.compare_with_null(constraints)
        distance = comparison.distance
        step = decompose_by_basis(basis, comparison.step)
        logit_margin, vectors = comparison.unbounded_boundary.logit_margin_and_gradient(x, comparison.predicted)
        # The gradient of scores of nan may be finite.
        gradient = decompose_by_basis(
            basis, torch.where(broadcast_per_sample(logit_margin.isnan(), x), torch.nan, vectors)
        )
        columns = {
            "margin_unbounded": comparison.sign * distance,
            "perturbation_on_manifold_fraction": step.tangent_fraction,
            "perturbation_on_manifold_fraction_null": torch.full_like(distance, step.isotropic_fraction),
            "gradient_off_manifold_fraction": gradient.normal_fraction,
            "gradient_off_manifold_fraction_null": torch.full_like(distance, 1 - gradient.isotropic_fraction),
        }
        columns |= constrained
        if estimate is not None:
            columns |= tangent_reliability(estimate, distance)
        boundary.forwards += comparison.unbounded_boundary.forwards
        boundary.backwards += comparison.unbounded_boundary.backwards
        on_fraction = random_tangent_fractions(basis, self.seed)
        details |= {
            "perturbation_on_manifold_fraction_draws": on_fraction,
            "gradient_off_manifold_fraction_draws": 1 - on_fraction,
            "on_part": step.tangent,
            "off_part": step.normal,
        }
        return ProbeResult(columns, {name: column_unit(name) for name in columns}, details)

    def refined(self) -> "OnOff":
        """Return the probe with four times the passes and one draw of the null, which shows the error of the search."""
        return dataclasses.replace(self, max_passes=SEARCH_FACTOR * self.max_passes, null_draws=1)

    def make_null_comparison(self, boundary: Boundary, x: Tensor, y: Tensor) -> MarginNullComparison:
        """Search in all directions, and return the comparison that makes the constrained searches."""
        margin = Margin(method=self.method, max_passes=self.max_passes, restarts=self.restarts)
        return MarginNullComparison(boundary, x, y, margin, self.null_draws, self.seed)


def column_unit(column: str) -> str:
    """Return the unit of a column of `OnOff`.

    Example:
        >>> column_unit("margin_on_ratio"), column_unit("margin_on")
        ('x free margin', 'l2, input units')
    """
    if column == "tangent_reliable":
        return "yes or no"
    if "_fraction" in column:
        return "fraction"
    if "_ratio" in column:
        return "x free margin"
    return "l2, input units"
