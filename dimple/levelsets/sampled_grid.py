"""A costly classifier on a lattice: asked where its classes change, and interpolated everywhere else."""

import itertools
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.levelsets.dense import contour_curve, contour_surface
from dimple.levelsets.multiclass import Surface, by_rival
from dimple.tensors import in_chunks

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
Classes = NDArray[np.int16]
# Images travel in batches whose activations fit a core's cache; larger ones take twice as long an image.
BATCH = 128
# The first grid has so many cells a side in the plane and in space, or a little more.
FIRST = {2: 32, 3: 12}
UNKNOWN = -1


@final
class Sampled:
    """A classifier of points of a box, by its scores at the corners of a lattice; multilinear within each cell.

    Args:
        scores: `(cells + 1, ..., cells + 1, K)`, one axis a coordinate, then the classes.
        low, high: corners of the box.
        asked: at which corners the scores are the classifier's own; the others were interpolated between these.

    Example:
        >>> square = Sampled(np.array([[[0.0, 1], [0, 3]], [[0, 1], [0, 3]]]), (0, 0), (1, 1), np.ones((2, 2), bool))
        >>> square(torch.tensor([[0.5, 0.25]]))
        tensor([[0.0000, 1.5000]])
    """

    def __init__(self, scores: Floats, low: Sequence[float], high: Sequence[float], asked: Marks) -> None:
        self.scores = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float32))
        self.low, self.high, self.asked = tuple(low), tuple(high), asked
        self.cells = scores.shape[0] - 1

    def __call__(self, u: Tensor) -> Tensor:
        """The scores `(B, K)` at points `(B, k)`; those of the nearest place of the box outside it."""
        low, high = (torch.tensor(corner, dtype=torch.float64) for corner in (self.low, self.high))
        place = ((u.cpu().double() - low) / (high - low) * self.cells).clamp(0, self.cells)
        start = place.floor().long().clamp(max=self.cells - 1)
        along = (place - start).float()
        total: Tensor = self.scores.new_zeros(len(u), self.scores.shape[-1])
        for corner in itertools.product((0, 1), repeat=u.shape[1]):
            step = torch.tensor(corner)
            weight = torch.where(step == 1, along, 1 - along).prod(dim=1)
            total += weight[:, None] * self.scores[tuple((start + step).unbind(1))]
        return total.to(u)

    def surfaces(self) -> list[Surface]:
        """The boundary of each pair of classes that meet, by rising pair.

        Each pair's tie is contoured on its own and then cut where a third class wins: nothing is rounded where three
        classes meet.
        """
        axes = [np.linspace(a, b, self.cells + 1) for a, b in zip(self.low, self.high, strict=True)]
        contour = contour_curve if len(axes) == 2 else contour_surface
        within, found = Boundary(self), []
        for a, b in self._met():
            gap = (self.scores[..., a] - self.scores[..., b]).double().numpy()
            mesh = contour(np.ascontiguousarray(gap.T), axes)
            if len(mesh.faces):
                found += [one for one in by_rival(within, a, mesh, torch.device("cpu")) if one.pair == (a, b)]
        return [surface for surface in found if len(surface.mesh.faces)]

    def _met(self) -> list[tuple[int, int]]:
        """The pairs (a, b), a < b, that are first and second at some corner: classes that meet are so around there."""
        top = self.scores.topk(2, dim=-1).indices.reshape(-1, 2).sort(dim=1).values
        return [(int(a), int(b)) for a, b in torch.unique(top, dim=0).tolist()]

    def winners(self) -> Classes:
        """The class at each corner of the lattice, one axis a coordinate."""
        return self.scores.argmax(-1).numpy().astype(np.int16)

    def sides(self, squares: int) -> Classes:
        """The class at the middle of each of `squares`^2 squares of the sides of a box in space, `(3, 2, M, M)`.

        Of each axis the low side and the high one, by the other two coordinates in their order.
        """
        low, high = np.array(self.low), np.array(self.high)
        share = (np.arange(squares) + 0.5) / squares
        plane = np.stack(np.meshgrid(share, share, indexing="ij"), axis=-1).reshape(-1, 2)
        sides = np.zeros((3, 2, squares**2), dtype=np.int16)
        for axis, end in itertools.product(range(3), range(2)):
            places = low + np.insert(plane, axis, end, axis=1) * (high - low)
            sides[axis, end] = self(torch.from_numpy(places)).argmax(1).numpy()
        return sides.reshape(3, 2, squares, squares)

    def coarser(self, factor: int) -> "Sampled":
        """Every `factor`-th corner only: what a coarser lattice, which is to be compared with others, would know."""
        every = (slice(None, None, factor),) * len(self.low)
        return Sampled(self.scores.numpy()[every], self.low, self.high, self.asked[every])


def sample_scores(
    boundary: Boundary,
    low: Sequence[float],
    high: Sequence[float],
    cells: int,
    device: torch.device,
    *,
    dense: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Sampled:
    """A classifier of points `(B, 2)` or `(B, 3)` on a lattice of `cells` a side, asked only where classes change.

    A coarse grid is asked everywhere. A cell whose asked points disagree, or whose neighbour's do, is halved, and so
    on down to the lattice; what turns up on a cell's rim halves it too, so that a region once met is followed to its
    end. A region that lies between the coarse corners and touches no other cell that was halved is missed. The argmax
    of every interpolated corner is that of the corners around it, so no boundary is invented.

    Args:
        cells: a power of two times the coarse grid's; see `levels_of`.
        dense: ask everywhere.
        advance: called after each of the `levels_of(...)[1] + 1` passes over the lattice.

    Example:
        >>> disc = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> known = sample_scores(disc, (-2, -2), (2, 2), 128, torch.device("cpu"))
        >>> bool(known.asked.mean() < 0.2), known(torch.tensor([[0.5, 0.0], [1.5, 0.0]])).argmax(1)
        (True, tensor([1, 0]))
    """
    dim = len(low)
    coarse, levels = levels_of(cells, dim)
    if coarse << levels != cells:
        raise ShapeError(f"sample_scores: {cells} cells are no power of two times {coarse}; take {coarse << levels}")
    lattice = _Lattice(boundary, low, high, cells, device)
    if dense:
        for rows in np.array_split(np.arange(cells + 1), levels + 1):
            slab = np.zeros((cells + 1,) * dim, dtype=bool)
            slab[rows] = True
            lattice.ask(slab)
            advance()
        return lattice.filled(1)
    lattice.ask(_every((cells + 1,) * dim, cells // coarse))
    advance()
    for level in range(levels):
        lattice.settle(level + 1, cells // coarse)
        advance()
    return lattice.filled(cells // coarse)


def levels_of(cells: int, dim: int) -> tuple[int, int]:
    """Cells a side of the coarse grid, and how often they are halved, for about `cells` a side.

    The lattice has `coarse << levels` cells a side, which is `cells` or a little more.

    Example:
        >>> levels_of(256, 2), levels_of(48, 3), levels_of(20, 2)
        ((32, 3), (12, 2), (20, 0))
    """
    levels = max(0, (cells // FIRST[dim]).bit_length() - 1)
    return -(-cells // (1 << levels)), levels


@final
class _Lattice:
    """The scores of the corners that were asked, and the class that wins at each."""

    def __init__(
        self, boundary: Boundary, low: Sequence[float], high: Sequence[float], cells: int, device: torch.device
    ) -> None:
        self.boundary, self.low, self.high, self.device = boundary, low, high, device
        self.axes = [np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)]
        self.winner: Classes = np.full((cells + 1,) * len(low), UNKNOWN, dtype=np.int16)
        self.scores: Floats = np.zeros((*self.winner.shape, 0))

    def ask(self, wanted: Marks) -> bool:
        """The scores of the wanted corners that are not known yet; says whether there were any."""
        places = np.argwhere(wanted & (self.winner == UNKNOWN))
        if len(places) == 0:
            return False
        points = np.stack([axis[at] for axis, at in zip(self.axes, places.T, strict=True)], axis=1)
        rows = torch.from_numpy(points.astype(np.float32)).to(self.device)
        found = in_chunks(self.boundary.scores, rows, BATCH).double().cpu().numpy()
        if self.scores.shape[-1] == 0:
            self.scores = np.zeros((*self.winner.shape, found.shape[1]))
        self.scores[tuple(places.T)] = found
        self.winner[tuple(places.T)] = found.argmax(1)
        return True

    def settle(self, levels: int, stride: int) -> None:
        """Halve the cells in which classes meet, `levels` times from those of `stride`, until none has to be."""
        while sum(self.ask(self._halves(stride >> level)) for level in range(levels)):
            pass

    def _halves(self, stride: int) -> Marks:
        """The corners of the halves of all cells of a size that hold two classes, and of their neighbours."""
        shape = tuple((side - 1) // stride for side in self.winner.shape)
        least = np.where(self.winner == UNKNOWN, np.iinfo(np.int16).max, self.winner)
        mixed = _over_cells(np.minimum, least, stride) < _over_cells(np.maximum, self.winner, stride)
        if stride > 2:
            mixed = _with_neighbours(mixed)
        half, wanted = stride // 2, np.zeros(self.winner.shape, dtype=bool)
        for corner in itertools.product((0, 1, 2), repeat=len(shape)):
            window = tuple(
                slice(step * half, step * half + (side - 1) * stride + 1, stride)
                for step, side in zip(corner, shape, strict=True)
            )
            wanted[window] |= mixed
        return wanted

    def filled(self, stride: int) -> Sampled:
        """All corners known: those that were not asked are interpolated from the coarser ones."""
        asked, dim = self.winner != UNKNOWN, self.winner.ndim
        known = self.scores[(slice(None, None, stride),) * dim]
        while stride > 1:
            stride //= 2
            every = (slice(None, None, stride),) * dim
            for axis in range(dim):
                known = _between(known, axis)
            known = np.where(asked[every][..., None], self.scores[every], known)
        return Sampled(known, self.low, self.high, asked)


def _every(shape: tuple[int, ...], stride: int) -> Marks:
    marks = np.zeros(shape, dtype=bool)
    marks[(slice(None, None, stride),) * len(shape)] = True
    return marks


def _over_cells(reduce: np.ufunc, corners: Classes, stride: int) -> Classes:
    """A ufunc over all corners within and on the rim of each cell of `stride` steps."""
    for axis in range(corners.ndim):
        rows = np.moveaxis(corners, axis, 0)
        inner = reduce.reduce(rows[:-1].reshape(-1, stride, *rows.shape[1:]), axis=1)
        corners = np.moveaxis(reduce(inner, rows[stride::stride]), 0, axis)
    return corners


def _with_neighbours(marks: Marks) -> Marks:
    """The marked cells and all that share a side with one."""
    grown = marks.copy()
    for axis in range(marks.ndim):
        rows, target = np.moveaxis(marks, axis, 0), np.moveaxis(grown, axis, 0)
        target[1:] |= rows[:-1]
        target[:-1] |= rows[1:]
    return grown


def _between(known: Floats, axis: int) -> Floats:
    """Along one axis the means of neighbours put between them."""
    rows = np.moveaxis(known, axis, 0)
    finer = np.empty((2 * len(rows) - 1, *rows.shape[1:]))
    finer[::2], finer[1::2] = rows, (rows[:-1] + rows[1:]) / 2
    return np.moveaxis(finer, 0, axis)
