"""Where a decision boundary can be at all: boxes in which bounds of the network exclude it are proven free of it."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.base import level_function
from dimple.levelsets.mesh import Mesh
from dimple.tensors import chunks
from dimple.tracing.affine_graph import Circuit, circuit
from dimple.verification.linear_bounds import ROUNDING, Region, relaxed

Ints = NDArray[np.int64]
# Boxes bounded together: their lines fit the cache of a core.
BATCH = 512
# Cells along each axis of the first division.
COARSE = 4


@final
@dataclasses.dataclass(frozen=True)
class Certificate:
    """The cells of a regular division of a box that may hold the boundary; all others are proven to hold none.

    Attributes:
        low, high: corners of the box.
        cells: along each axis.
        undecided: `(M, n)` numbers of the cells without a proof, in lexicographic order.
        boxes: how many boxes had to be bounded to find them.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    cells: int
    undecided: Ints
    boxes: int

    @property
    def cell(self) -> NDArray[np.float64]:
        """The lengths of a cell's edges, `(n,)`."""
        edges: NDArray[np.float64] = (np.array(self.high) - np.array(self.low)) / self.cells
        return edges

    @property
    def volume(self) -> float:
        """The volume (in the plane the area) of all undecided cells."""
        return float(len(self.undecided) * self.cell.prod())

    def holding(self, points: NDArray[np.float64]) -> Ints:
        """The numbers of the cells that hold the points `(N, n)`."""
        numbers = np.floor((points - np.array(self.low)) / self.cell)
        held: Ints = np.clip(numbers, 0, self.cells - 1).astype(np.int64)
        return held

    def within(self, numbers: Ints, cells: int) -> Ints:
        """The cells of another division of the box, `cells` along each axis, that some of these overlap, each once."""
        across = np.array(list(np.ndindex(*[-(-cells // self.cells) + 1] * len(self.low))), dtype=np.int64)
        found = ((numbers * cells // self.cells)[:, None] + across).reshape(-1, len(self.low))
        return np.unique(found[(found < cells).all(1)], axis=0)

    def missed(self, mesh: Mesh) -> Ints:
        """The undecided cells that no piece of the mesh comes within one cell of, `(M, n)`.

        None of them means that the mesh is complete to the size of a cell: what the boundary has and the mesh lacks
        lies in the cells that the mesh meets and in their neighbours.
        """
        weights = (self.cells + 2) ** np.arange(len(self.low))[::-1]
        touched = np.unique((self.holding(_spread_points(mesh, self.cell.min())) + 1) @ weights)
        shifts = [(np.array(shift) - 1) @ weights for shift in np.ndindex(*[3] * len(self.low))]
        near = np.unique(np.concatenate([touched + shift for shift in shifts]))
        return self.undecided[~np.isin((self.undecided + 1) @ weights, near)]


def certify(
    boundary: Boundary,
    label: int,
    low: Sequence[float],
    high: Sequence[float],
    cells: int = 128,
    device: torch.device | None = None,
) -> Certificate:
    """Prove where the boundary of the class `label` is not, to the size of a cell.

    Boxes whose bounds exclude a zero of the gap are dropped, the others halved along every axis until they are cells:
    so a boundary is followed at the cost of its area. A proof holds in real arithmetic for the weights as they are.

    Args:
        low, high: corners of the box, in any dimension n in which boxes can be halved: 2 or 3.
        cells: along each axis, a power of two from 4 on.

    Raises:
        ModelError: if the network has no bounds.
        SceneError: if the cells cannot be reached by halving.

    Example:
        >>> plane = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> found = certify(plane, 1, (-0.9, -1.0), (1.1, 1.0), cells=16)
        >>> len(found.undecided), found.volume
        (16, 0.25)
    """
    if not is_halved(cells):
        raise SceneError(f"certify: cells is {cells}; give a power of two from {COARSE} on")
    place = device or torch.device("cpu")
    read = circuit(boundary.classifier, torch.zeros(len(low), device=place))
    halving = _Halving(read, boundary, label, low, high, cells, place)
    while halving.side > 1:
        halving.bound()
        halving.halve()
    halving.spare()
    halving.bound()
    found = halving.found.cpu().numpy()
    return Certificate(tuple(low), tuple(high), cells, found[np.lexsort(found.T[::-1])], halving.bounded)


def is_halved(cells: int) -> bool:
    """Whether so many cells along an axis are reached by halving: a power of two from 4 on."""
    return cells >= COARSE and cells & (cells - 1) == 0


def gap_rows(classes: int, label: int, device: torch.device) -> Tensor:
    """`z_label - z_other` for every other class, `(K - 1, K)`."""
    eye = torch.eye(classes, dtype=torch.float64, device=device)
    others = [other for other in range(classes) if other != label]
    return eye[label] - eye[others]


@final
class _Halving:
    """Boxes without a proof so far, all of one size, each with the linear bounds of its parent."""

    def __init__(
        self,
        read: Circuit,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        cells: int,
        device: torch.device,
    ) -> None:
        self.read = read
        self.level = level_function(boundary, label)
        self.corner = torch.tensor(list(low), dtype=torch.float64, device=device)
        self.cell = (torch.tensor(list(high), dtype=torch.float64, device=device) - self.corner) / cells
        self.rows = torch.cat([gap_rows(read.classes, label, device), -gap_rows(read.classes, label, device)])
        self.halves = torch.cartesian_prod(*[torch.arange(2, device=device)] * len(low))
        self.side = cells // COARSE
        self.found = torch.cartesian_prod(*[torch.arange(COARSE, device=device)] * len(low))
        self.crossed = self.found[:0]
        self.slopes = self.corner.new_zeros(len(self.found), len(self.rows), len(low))
        self.constants = self.corner.new_full((len(self.found), len(self.rows)), -torch.inf)
        self.bounded = 0

    def bound(self) -> None:
        """Drop the boxes that are proven free."""
        self.bounded += len(self.found)
        undecided, slopes, constants = [self.crossed], [], []
        for part in chunks(len(self.found), BATCH):
            region = self._region(self.found[part])
            rows, constant = relaxed(self.read, region).below(self.rows[None])
            left = self._may_cross(region.least(rows) + constant - ROUNDING * constant.abs())
            undecided.append(self.found[part][left])
            slopes.append(rows[left])
            constants.append(constant[left])
        self.found = torch.cat(undecided)
        if slopes:
            self.slopes, self.constants = torch.cat(slopes), torch.cat(constants)

    def halve(self) -> None:
        """Go on with the halves that the bounds of their parents, which hold there too, leave open."""
        self.side //= 2
        children = 2 * self.found[:, None] + self.halves
        kept = []
        for part in chunks(len(children), BATCH):
            count = len(self.halves)
            slopes = self.slopes[part].repeat_interleave(count, 0)
            constants = self.constants[part].repeat_interleave(count, 0)
            least = self._region(children[part].reshape(-1, children.shape[2])).least(slopes) + constants
            kept.append(self._may_cross(least - ROUNDING * constants.abs()))
        self.found = children.reshape(-1, children.shape[2])[torch.cat(kept)] if kept else self.found

    def spare(self) -> None:
        """Set aside the boxes whose corners lie on both sides: nothing has to be bounded there."""
        corners = self.found[:, None] + self.halves
        names, place = torch.unique(corners.reshape(-1, corners.shape[2]), dim=0, return_inverse=True)
        points = (self.corner + names * self.side * self.cell).float()
        ahead = self.level(points) > 0 if len(points) else points.new_zeros(0, dtype=torch.bool)
        sides = ahead[place].reshape(corners.shape[:2])
        crossed = sides.any(1) & ~sides.all(1)
        self.crossed, self.found = self.found[crossed], self.found[~crossed]

    def _region(self, boxes: Tensor) -> Region:
        """The boxes, a little wider than they are, so that rounding of their corners leaves no crack between them."""
        size = self.side * self.cell
        low = self.corner + boxes * size
        return Region(low - 1e-9 * size, low + (1 + 1e-9) * size)

    def _may_cross(self, least: Tensor) -> Tensor:
        """Whether the gap may be zero, from lower bounds of all differences to other classes and of their negatives."""
        ahead, behind = (least > 0).chunk(2, dim=1)
        return ~(ahead.all(1) | behind.any(1))


def _spread_points(mesh: Mesh, spacing: float) -> NDArray[np.float64]:
    """Points on the faces of a mesh, no farther than `spacing` apart."""
    corners = mesh.vertices[mesh.faces]
    found = [corners.reshape(-1, mesh.ambient_dim)]
    while len(corners):
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
        corners = corners[edges.max(1) > spacing]
        corners = _halved(corners)
        found.append(corners.reshape(-1, mesh.ambient_dim))
    return np.concatenate(found)


def _halved(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every segment in two, every triangle in four."""
    middles = (faces + np.roll(faces, -1, axis=1)) / 2
    if faces.shape[1] == 2:
        return np.concatenate([np.stack([faces[:, 0], middles[:, 0]], 1), np.stack([middles[:, 0], faces[:, 1]], 1)])
    a, b, c = np.moveaxis(faces, 1, 0)
    ab, bc, ca = np.moveaxis(middles, 1, 0)
    return np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
