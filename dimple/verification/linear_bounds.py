"""Guaranteed bounds of a network's scores over boxes and balls, by linear relaxation carried back from the scores.

Our own code rather than a library's: boxes of level sets want thousands of small regions at once, and the published
library that installs beside a current torch is of 2022.
"""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.tracing.activations import Lines, enclosing_lines
from dimple.tracing.affine_graph import ROOM, Affine, Circuit, Matrix

# Bounds hold in real arithmetic; rounding in double precision stays far below this share of the terms summed up.
ROUNDING = 1e-9

Range = tuple[Tensor, Tensor]
Ranges = list[Range]


@final
@dataclasses.dataclass(frozen=True)
class Region:
    """Where the samples may be, one row each: a box, or what a ball has in common with it.

    Attributes:
        low, high: `(B, n)` corners.
        centre: `(B, n)` of the balls, with `radius` `(B,)` in the `norm`; None for boxes alone.
    """

    low: Tensor
    high: Tensor
    centre: Tensor | None = None
    radius: Tensor | None = None
    norm: str = "l2"

    @classmethod
    def ball(
        cls, centre: Tensor, radius: Tensor, norm: str, low: float = -torch.inf, high: float = torch.inf
    ) -> "Region":
        """Balls `(B, n)`, `(B,)` within the bounds of every coordinate."""
        corners = (centre - radius[:, None]).clamp(min=low), (centre + radius[:, None]).clamp(max=high)
        return cls(*corners) if norm == "linf" else cls(*corners, centre, radius, norm)

    def least(self, rows: Tensor) -> Tensor:
        """What `rows x` cannot fall below on each region, `(B | 1, R, n)` to `(B, R)`: exact for a box, or a ball."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        least = _along(rows, middle) - _along(rows.abs(), half)
        if self.centre is not None and self.radius is not None:
            dual = rows.abs().amax(2) if self.norm == "l1" else rows.norm(dim=2)
            least = torch.maximum(least, _along(rows, self.centre) - self.radius[:, None] * dual)
        reach = torch.maximum(self.low.abs(), self.high.abs())
        return least - ROUNDING * _along(rows.abs(), reach)


@final
@dataclasses.dataclass(frozen=True)
class Relaxed:
    """A circuit between straight lines, valid on a region.

    Attributes:
        intervals: of every activation's input, `(low, high)`, `(B, w)` each.
        lines: of every activation.
    """

    circuit: Circuit
    region: Region
    intervals: Ranges
    lines: tuple[Lines, ...]

    def below(self, rows: Tensor, met: dict[int, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Functions below `rows . scores` on the region, linear in the sample: `(B, R, n)` and constants `(B, R)`.

        Args:
            rows: `(B, R, K)`, or `(1, R, K)` for all regions.
            met: filled with the rows that arrive at each activation, by its number.
        """
        waiting: dict[int, Tensor] = {}
        _carry(self.circuit.affines[-1], rows, waiting)
        slopes, constants = _below(self.circuit, self.lines, waiting, rows @ self.circuit.affines[-1].offset, met)
        count = len(self.region.low)
        return slopes.expand(count, -1, -1), constants.expand(count, -1)

    def below_units(self, number: int, units: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
        """The same for single inputs of the activation `number`: units `(B, F)`, each times its sign `(B, F)`."""
        affine = self.circuit.affines[number]
        rows = affine.rows(units.reshape(-1))
        waiting = {
            source: one.reshape(*units.shape, -1) * signs[:, :, None]
            for source, one in zip(affine.sources, rows, strict=True)
        }
        return _below(self.circuit, self.lines, waiting, affine.offset[units] * signs)

    def least(self, rows: Tensor) -> Tensor:
        """What `rows . scores` cannot fall below on each region, `(B, R)`."""
        return _least(self.region, *self.below(rows))


def relaxed(circuit: Circuit, region: Region, sides: tuple[Tensor, ...] | None = None, carried: bool = True) -> Relaxed:
    """The lines of every activation on the region, the first to the last.

    Args:
        sides: for every activation `(B, w)`: 1 where the input is assumed positive, -1 negative, 0 free. Bounds then
            hold for the samples of the region that keep the assumptions.
        carried: whether the input of every activation is bounded by carrying it back to the sample, at a cost that
            grows with the square of the widths; else from the ranges of the layer before alone.

    Example:
        >>> from dimple.tracing.affine_graph import circuit
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> box = Region(-torch.ones(1, 3).double(), torch.ones(1, 3).double())
        >>> relaxed(circuit(network, torch.zeros(3)), box).least(torch.eye(2)[None].double()).shape
        torch.Size([1, 2])
    """
    lines: tuple[Lines, ...] = ()
    intervals: Ranges = []
    ranges: Ranges = []
    for number, curve in enumerate(circuit.curves):
        if carried:
            low, high = _interval(circuit, lines, ranges, region, number)
        else:
            low, high = _crude(circuit.affines[number], ranges, region)
        if sides is not None:
            low = torch.where(sides[number] > 0, low.clamp(min=0), low)
            high = torch.where(sides[number] < 0, high.clamp(max=0), high)
        intervals.append((low, high))
        high = torch.maximum(low, high)
        lines = (*lines, enclosing_lines(curve, low, high))
        ranges.append(lines[-1].ends(low, high))
    return Relaxed(circuit, region, intervals, lines)


def _interval(circuit: Circuit, lines: tuple[Lines, ...], ranges: Ranges, region: Region, number: int) -> Range:
    """Bounds of the inputs of an activation, `(B, w)` each."""
    affine = circuit.affines[number]
    width = len(affine.offset)
    low, high = torch.empty(0), torch.empty(0)
    if affine.sources == (0,) or circuit.curves[number].bend == 0:
        low, high = _crude(affine, ranges, region)
    if affine.sources == (0,):
        return low, high
    wanted = torch.arange(width, device=affine.offset.device)
    if circuit.curves[number].bend == 0:
        # Between kinks the lines of such a curve are the curve itself: sharper bounds could not make them better.
        open_units = torch.zeros_like(low, dtype=torch.bool)
        for kink in circuit.curves[number].kinks:
            open_units |= (low < kink) & (high > kink)
        wanted = torch.nonzero(open_units.any(0)).squeeze(1)
        if len(wanted) == 0:
            return low, high
    widest = max(len(other.offset) for other in circuit.affines[: number + 1])
    step = max(1, ROOM // (2 * len(region.low) * max(widest, region.low.shape[1])))
    sharper = [torch.stack(_carried(circuit, lines, region, affine, part)) for part in wanted.split(step)]
    found = torch.cat(sharper, dim=2)
    if len(wanted) == width:
        return found[0], found[1]
    low[:, wanted], high[:, wanted] = torch.maximum(low[:, wanted], found[0]), torch.minimum(high[:, wanted], found[1])
    return low, high


def _carried(circuit: Circuit, lines: tuple[Lines, ...], region: Region, affine: Affine, part: Tensor) -> Range:
    """Bounds of some outputs of a map, `(B, R)` each, by carrying them back to the sample."""
    rows, offset = affine.rows(part), affine.offset[part]
    before = circuit.affines[affine.sources[0] - 1]
    if len(rows) == 1 and _stands_on_sample(before):
        # The lower function of a row is its upper one mirrored: two products serve for both.
        low, high = _lines_of_sample(before, lines[affine.sources[0] - 1])
        shape = len(part), *low.shape[1:]
        middle = (rows[0] @ ((low + high) / 2).reshape(len(low), -1)).reshape(shape).transpose(0, 1)
        spread = (rows[0].abs() @ ((high - low) / 2).reshape(len(low), -1)).reshape(shape).transpose(0, 1)
        below, above = middle - spread, -middle - spread
        least = _least(region, below[:, :, :-1], below[:, :, -1] + offset)
        return least, -_least(region, above[:, :, :-1], above[:, :, -1] - offset)
    waiting = {source: torch.cat([one, -one])[None] for source, one in zip(affine.sources, rows, strict=True)}
    least = _least(region, *_below(circuit, lines, waiting, torch.cat([offset, -offset])[None]))
    return least[:, : len(part)], -least[:, len(part) :]


def _crude(affine: Affine, ranges: Ranges, region: Region) -> Range:
    """Bounds of the outputs of a map from the ranges of its sources alone; exact where the sample is the only one."""
    if affine.matrices is not None:
        return _spread(affine.sources, affine.matrices, affine.offset, ranges, region)
    size = max(1, ROOM // max(len(affine.offset), region.low.shape[1]))
    found = []
    for part in torch.arange(len(affine.offset), device=affine.offset.device).split(size):
        matrices = [Matrix.of(entries) for entries in affine.rows(part)]
        found.append(_spread(affine.sources, matrices, affine.offset[part], ranges, region))
    return torch.cat([low for low, _ in found], dim=1), torch.cat([high for _, high in found], dim=1)


def _spread(sources: tuple[int, ...], matrices: list[Matrix], offset: Tensor, ranges: Ranges, region: Region) -> Range:
    low = high = offset
    for source, matrix in zip(sources, matrices, strict=True):
        bottom, top = ranges[source - 1] if source else (region.low, region.high)
        middle, spread = (bottom + top) / 2 @ matrix.entries.T, (top - bottom) / 2 @ matrix.sizes.T
        least, greatest = middle - spread, middle + spread
        if source == 0 and region.centre is not None and region.radius is not None:
            middle = region.centre @ matrix.entries.T
            spread = region.radius[:, None] * (matrix.linf if region.norm == "l1" else matrix.l2)
            least, greatest = torch.maximum(least, middle - spread), torch.minimum(greatest, middle + spread)
        slack = ROUNDING * torch.maximum(bottom.abs(), top.abs()).amax(1, keepdim=True) * matrix.l1
        low, high = low + least - slack, high + greatest + slack
    return low, high


def _least(region: Region, rows: Tensor, constant: Tensor) -> Tensor:
    return region.least(rows) + constant - ROUNDING * constant.abs()


def _below(
    circuit: Circuit,
    lines: tuple[Lines, ...],
    waiting: dict[int, Tensor],
    constant: Tensor,
    met: dict[int, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Rows that wait at activations, `{source: (B | 1, R, w)}`, carried back to the sample: each line by its sign."""
    for source in range(max(waiting), 0, -1):
        if source not in waiting:
            continue
        rows = waiting.pop(source)
        if met is not None:
            met[source - 1] = rows
        up, down = rows.clamp(min=0), rows.clamp(max=0)
        found, affine = lines[source - 1], circuit.affines[source - 1]
        if _stands_on_sample(affine):
            last, more = _onto_sample(affine, found, up, down)
            waiting[0] = waiting[0] + last if 0 in waiting else last
            constant = constant + more
            continue
        constant = constant + _along(up, found.low_offset) + _along(down, found.high_offset)
        rows = up * found.low_slope[:, None] + down * found.high_slope[:, None]
        constant = constant + rows @ affine.offset
        _carry(affine, rows, waiting)
    return waiting[0], constant


def _carry(affine: Affine, rows: Tensor, waiting: dict[int, Tensor]) -> None:
    """Add `rows` of a map's output to what waits at its sources."""
    for source, pulled in zip(affine.sources, affine.pull(rows), strict=True):
        waiting[source] = waiting[source] + pulled if source in waiting else pulled


def _stands_on_sample(affine: Affine) -> bool:
    """Whether a map has the sample alone as its source, and as a small matrix."""
    return affine.sources == (0,) and affine.dense


def _lines_of_sample(affine: Affine, lines: Lines) -> Range:
    """The lines of units that stand on the sample, as functions of it: `(w, B, n + 1)`, the constant last."""
    assert affine.matrices is not None
    joined = torch.cat([affine.matrices[0].entries, affine.offset[:, None]], dim=1)

    def in_sample(slope: Tensor, offset: Tensor) -> Tensor:
        straight = slope.T[:, :, None] * joined[:, None]
        straight[:, :, -1] += offset.T
        return straight

    return in_sample(lines.low_slope, lines.low_offset), in_sample(lines.high_slope, lines.high_offset)


def _onto_sample(affine: Affine, lines: Lines, up: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
    """Rows at such units carried to the sample: with few inputs one matrix product serves all regions."""
    low, high = _lines_of_sample(affine, lines)
    if len(up) == 1:
        flat = up[0] @ low.reshape(len(low), -1) + down[0] @ high.reshape(len(high), -1)
        total = flat.reshape(up.shape[1], *low.shape[1:]).transpose(0, 1)
    else:
        total = up @ low.transpose(0, 1) + down @ high.transpose(0, 1)
    return total[:, :, :-1], total[:, :, -1]


def _along(rows: Tensor, x: Tensor) -> Tensor:
    """`rows . x`: `(B | 1, R, n)` and `(B, n)` to `(B, R)`."""
    return x @ rows[0].T if len(rows) == 1 else torch.einsum("brn,bn->br", rows, x)
