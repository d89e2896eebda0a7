"""Margins within a subspace, compared with those within random subspaces of the same dimension."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from dimple.attacks.deepfool import CANDIDATE_CLASSES, linearized_distances
from dimple.attacks.search import SearchProblem
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import Boundary
from dimple.probes.margin import Margin
from dimple.stats.null_bands import isotropic_margin_ratio, prediction_interval
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import broadcast_per_sample, chunks, flatten

# Numbers in one batch of random subspaces: for small samples all draws are one batch.
MAX_BATCH_VALUES = 2**16
# The number of highest-scoring other classes of which the gradients at the samples are known, and numbers in these, at
# most.
MAX_CLASSES = 9
MAX_GRADIENT_VALUES = 2**26


@final
class MarginNullComparison:
    """Searches for the boundary from the same samples, in all directions and within subspaces.

    The searches ignore the input bounds, so that they differ only in the allowed directions. Constructing the object
    makes the search in all directions; a search within a subspace that finds a nearer point improves its result. The
    gradients of the classes at the samples choose the classes from which a search within a subspace starts: in few
    dimensions the nearest boundary is often not that of a class with a high score.

    Args:
        boundary: the boundary; its model is used without bounds.
        x: `(B, *shape)`.
        y: `(B,)` labels; margins are negative where the predicted class differs.
        margin: the search, in l2.
        null_draws: the number of random subspaces.
        seed: seed of the random subspaces.

    Attributes:
        unbounded_boundary: the boundary without bounds, which counts the passes of all searches.
        predicted: `(B,)`, the predicted classes.
        sign: `(B,)`, 1 where the prediction is the label, else -1.
        distance: `(B,)`, the smallest distance found by any search; `inf` where no boundary point was found.
        step: `(B, *shape)`, the step to that boundary point; zero where none was found.
    """

    def __init__(self, boundary: Boundary, x: Tensor, y: Tensor, margin: Margin, null_draws: int, seed: int) -> None:
        self.margin = margin
        self.null_draws = null_draws
        self.seed = seed
        self.unbounded_boundary = Boundary(boundary.model)
        self.x = x
        self.predicted = self.unbounded_boundary.predict(x)
        self._linearization = self._linearize_classes()
        found = margin.search(self.unbounded_boundary, x, self.predicted)
        self.sign = torch.where(self.predicted == y, 1.0, -1.0).to(x).where(found.has_scores, torch.nan)
        self.distance = torch.full_like(self.sign, torch.inf)
        self.step = torch.zeros_like(x)
        self.use_points(found.points.reshape(x.shape), found.distance)
        self._null_distances: dict[tuple[int, bool], Tensor] = {}

    def use_points(self, points: Tensor, distance: Tensor) -> None:
        """Keep known boundary points `(B, *shape)` that are nearer than all before; `(B,)` distances are unsigned."""
        nearer = distance < self.distance
        self.distance = torch.where(nearer, distance, self.distance)
        self.step = torch.where(broadcast_per_sample(nearer, self.x), points - self.x, self.step)

    def constrained_margin(self, name: str, constraint: SubspaceConstraint) -> dict[str, Tensor]:
        """Return `margin_<name>`, the signed margin in the directions that the constraint allows, `(B,)`."""
        distances = self._constrained_distances([constraint.basis], constraint.orthogonal)
        return {f"margin_{name}": self.sign * distances[:, 0]}

    def compare_with_null(
        self, constraints: Mapping[str, SubspaceConstraint]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the margin of each constraint and its ratio to the unconstrained one, with nulls, and the draws.

        The columns `(B,)` are `margin_<name>` and `margin_<name>_ratio` (nan without an unconstrained margin), each
        with `_null` (the median over the draws), `_null_low` and `_null_high` (their prediction interval), and
        `margin_<name>_ratio_analytic`. The draws `(B, draws)` are `margin_<name>_draws`, signed like the margins, and
        `margin_<name>_ratio_draws`.
        """
        columns: dict[str, Tensor] = {}
        details: dict[str, Tensor] = {}
        n = flatten(self.x).shape[1]
        # All searches come first, because each of them may improve the unconstrained distance.
        distances = {name: self._distance_and_null(constraint) for name, constraint in constraints.items()}
        unconstrained = self.distance.where(torch.isfinite(self.distance), torch.nan)
        for name, constraint in constraints.items():
            distance, null = distances[name]
            columns[f"margin_{name}"] = self.sign * distance
            columns |= null_statistics(f"margin_{name}_null", self.sign[:, None] * null)
            columns[f"margin_{name}_ratio"] = distance / unconstrained
            columns |= null_statistics(f"margin_{name}_ratio_null", null / unconstrained[:, None])
            analytic = isotropic_margin_ratio(n, n - constraint.dim if constraint.orthogonal else constraint.dim)
            columns[f"margin_{name}_ratio_analytic"] = torch.full_like(self.distance, analytic)
            details[f"margin_{name}_draws"] = self.sign[:, None] * null
            details[f"margin_{name}_ratio_draws"] = null / unconstrained[:, None]
        return columns, details

    def _distance_and_null(self, constraint: SubspaceConstraint) -> tuple[Tensor, Tensor]:
        """Return the distances of a constraint `(B,)`, and those of random subspaces of its dimension `(B, draws)`.

        The distances of the random subspaces are computed once for each dimension.
        """
        kind = (constraint.dim, constraint.orthogonal)
        bases = [constraint.basis]
        if kind not in self._null_distances:
            n = flatten(self.x).shape[1]
            fields = [RandomSubspace(constraint.dim, self.seed, draw) for draw in range(self.null_draws)]
            bases += [field.basis(n).to(self.x) for field in fields]
        distances = self._constrained_distances(bases, constraint.orthogonal)
        null = self._null_distances.setdefault(kind, distances[:, 1:])
        return distances[:, 0], null

    def _linearize_classes(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return classes and margins `(B, C)` and gradients `(B, C, n)`; None where a search linearizes all classes."""
        classes = self.unbounded_boundary.class_count(self.x)
        count = min(MAX_CLASSES, MAX_GRADIENT_VALUES // max(self.x.numel(), 1))
        if not self.margin.needs_gradient or count <= CANDIDATE_CLASSES or classes <= CANDIDATE_CLASSES + 1:
            return None
        _, *linearization = self.unbounded_boundary.scores_and_class_gradients(self.x, self.predicted, count)
        return linearization[0], linearization[1], linearization[2].flatten(2)

    def _nearest_classes(self, x: Tensor, constraint: SubspaceConstraint) -> Tensor | None:
        """Return the classes with the nearest linearized boundaries, the nearest first, for repeated samples."""
        if self._linearization is None or constraint.orthogonal:
            return None
        count = len(x) // max(len(self.x), 1)
        classes, margins, gradients = (value.repeat(count, *[1] * (value.dim() - 1)) for value in self._linearization)
        problem = SearchProblem(self.unbounded_boundary, x, classes[:, 0], constraint=constraint)
        distance = linearized_distances(margins, problem.allow(problem.all_rows, gradients), "l2")
        return classes.gather(1, distance.argsort(1)[:, :CANDIDATE_CLASSES])

    def _constrained_distances(self, bases: list[Tensor], orthogonal: bool) -> Tensor:
        """Return the distances within (or orthogonal to) each of S subspaces, `(B, S)`.

        Args:
            bases: as in `SubspaceConstraint`.
            orthogonal: search orthogonally to the subspaces.
        """
        x = self.x
        batch_size = max(1, MAX_BATCH_VALUES // (x.numel() * max(bases[0].shape[-1], 1)))
        columns = []
        for part in chunks(len(bases), batch_size):
            batch = bases[part]
            count = len(batch)
            basis = batch[0] if count == 1 else torch.cat([basis.expand(len(x), -1, -1) for basis in batch])
            constraint = SubspaceConstraint(basis, orthogonal)
            repeated = x.repeat(count, *[1] * (x.dim() - 1))
            first_classes = self._nearest_classes(repeated, constraint)
            predicted = self.predicted.repeat(count)
            found = self.margin.search(self.unbounded_boundary, repeated, predicted, constraint, first_classes)
            points = found.points.reshape(count, *x.shape)
            for point, distance in zip(points, found.distance.reshape(count, len(x)), strict=True):
                self.use_points(point, distance)
                columns.append(distance[:, None])
        return torch.cat(columns, dim=1)


def null_statistics(name: str, draws: Tensor) -> dict[str, Tensor]:
    """Return the median of the draws `(B, draws)` of each sample as column `name`, and the ends of their interval."""
    low, high = prediction_interval(draws)
    return {name: draws.median(dim=1).values, f"{name}_low": low, f"{name}_high": high}
