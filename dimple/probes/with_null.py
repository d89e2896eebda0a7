"""The margin along some directions only, beside the same within random subspaces of the same dimension."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import Boundary
from dimple.probes.margin import Margin
from dimple.stats.null_bands import band, margin_ratio
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import chunks, flatten, per_sample

# How many numbers a batch of random subspaces may hold: small samples take all draws in one batch.
TOGETHER = 2**16


@final
class Compared:
    """One search put to the same samples again and again, each time with other directions to move in.

    All searches ignore the input box, so that they differ in nothing but these directions.

    Args:
        boundary: what is searched for; the passes are counted there.
        x: `(B, *shape)`.
        y: `(B,)` labels; the search starts from the predicted class, and distances are negative where that is wrong.
        search: in l2.
        draws, seed: of the random subspaces.

    Attributes:
        predicted, sign: `(B,)`, the class searched from, and 1 where it is the label, else -1.
        distance: `(B,)`, along any direction, unsigned, `inf` where no boundary was found.
        step: `(B, *shape)`, the step that goes so far; zero where none was found.
    """

    def __init__(self, boundary: Boundary, x: Tensor, y: Tensor, search: Margin, draws: int, seed: int) -> None:
        self.search, self.draws, self.seed = search, draws, seed
        self.free = Boundary(boundary.classifier)
        self.x, self.predicted = x, self.free.predict(x)
        self.sign = torch.where(self.predicted == y, 1.0, -1.0).to(x)
        points, self.distance, found = search.search(self.free, x, self.predicted)
        self.step = torch.where(per_sample(found, x), points - x, 0.0)
        self._nulls: dict[tuple[int, bool], Tensor] = {}

    def within(self, name: str, way: Restriction) -> dict[str, Tensor]:
        """`margin_<name>`, the signed margin in the directions that `way` allows, `(B,)`."""
        return {f"margin_{name}": self.sign * self._within_each([way.basis], way.off)[:, 0]}

    def beside_chance(self, ways: Mapping[str, Restriction]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each way's margin and its ratio to the free one, `(B,)`, with their nulls; and the draws, `(B, draws)`.

        The columns are `margin_<name>` and `<name>_ratio` (nan where there is no free margin), each with `_null` (the
        median over the draws), `_null_low` and `_null_high` (their band), and `<name>_ratio_closed`; the draws of the
        margins are signed as the margins are.
        """
        columns: dict[str, Tensor] = {}
        details: dict[str, Tensor] = {}
        n = flatten(self.x).shape[1]
        whole = self.distance.where(torch.isfinite(self.distance), torch.nan)
        for name, way in ways.items():
            distance, null = self._beside_null(way)
            columns |= {f"margin_{name}": self.sign * distance}
            columns |= spread(f"margin_{name}_null", self.sign[:, None] * null)
            columns[f"{name}_ratio"] = distance / whole
            columns |= spread(f"{name}_ratio_null", null / whole[:, None])
            closed = margin_ratio(n, n - way.dim if way.off else way.dim)
            columns[f"{name}_ratio_closed"] = torch.full_like(self.distance, closed)
            details[f"margin_{name}_draws"] = self.sign[:, None] * null
            details[f"{name}_ratio_draws"] = null / whole[:, None]
        return columns, details

    def _beside_null(self, way: Restriction) -> tuple[Tensor, Tensor]:
        """The margin in a way's directions `(B,)`, and within (or off) each random subspace of its dimension."""
        kind = way.dim, way.off
        if kind in self._nulls:
            return self._within_each([way.basis], way.off)[:, 0], self._nulls[kind]
        x, n = self.x, flatten(self.x).shape[1]
        subspaces = [RandomSubspace(way.dim, self.seed, draw).columns(n).to(x) for draw in range(self.draws)]
        found = self._within_each([way.basis, *subspaces], way.off)
        self._nulls[kind] = found[:, 1:]
        return found[:, 0], self._nulls[kind]

    def _within_each(self, bases: list[Tensor], off: bool) -> Tensor:
        """The margin within (or off) each of S subspaces, bases as of `Restriction`, `(B, S)`."""
        x = self.x
        together = max(1, TOGETHER // (x.numel() * max(bases[0].shape[-1], 1)))
        columns = []
        for part in chunks(len(bases), together):
            group = bases[part]
            if len(group) == 1:
                restriction = Restriction(group[0], off)
            else:
                restriction = Restriction(torch.cat([basis.expand(len(x), -1, -1) for basis in group]), off)
            many = x.repeat(len(group), *[1] * (x.dim() - 1))
            distance = self.search.search(self.free, many, self.predicted.repeat(len(group)), restriction)[1]
            columns.append(distance.reshape(len(group), len(x)).T)
        return torch.cat(columns, dim=1)


def spread(name: str, draws: Tensor) -> dict[str, Tensor]:
    """The median of the draws `(B, draws)` of each sample as column `name`, and their band as its two ends."""
    low, high = band(draws)
    return {name: draws.median(dim=1).values, f"{name}_low": low, f"{name}_high": high}
