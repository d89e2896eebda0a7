"""Completeness of a mesh: bounds of the network prove where a box does not contain the decision boundary."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.base import level_function, require_resolvable
from dimple.levelsets.mesh import Mesh
from dimple.tensors import chunks
from dimple.tracing.affine_graph import AffineGraph, trace_affine_graph
from dimple.verification.linear_bounds import ROUNDING_TOLERANCE, InputRegion, compute_linear_bounds

Ints = NDArray[np.int64]
# Boxes bounded together: their linear bounds fit the cache of a core.
BOXES_PER_BATCH = 512
# Boxes along each axis before the first subdivision.
INITIAL_CELLS_PER_AXIS = 4


@final
@dataclasses.dataclass(frozen=True)
class CompletenessResult:
    """Cells of a regular grid in a box that may contain the boundary; all others are proven to contain none of it.

    Attributes:
        low: smallest coordinates of the box.
        high: largest coordinates of the box.
        resolution: cells along each axis.
        unproven_cells: `(M, n)` indices of the cells that may contain the boundary, in lexicographic order.
        num_bounded_boxes: number of boxes that were bounded to find them.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    resolution: int
    unproven_cells: Ints
    num_bounded_boxes: int

    @property
    def cell_size(self) -> NDArray[np.float64]:
        """The edge lengths of a cell, `(n,)`."""
        edges: NDArray[np.float64] = (np.array(self.high) - np.array(self.low)) / self.resolution
        return edges

    @property
    def unproven_volume(self) -> float:
        """The volume (in the plane the area) of all unproven cells."""
        return float(len(self.unproven_cells) * self.cell_size.prod())

    def cells_containing(self, points: NDArray[np.float64]) -> Ints:
        """Return the indices `(N, n)` of the cells that contain points `(N, n)`; outside the box, of the nearest."""
        indices = np.floor((points - np.array(self.low)) / self.cell_size)
        inside: Ints = np.clip(indices, 0, self.resolution - 1).astype(np.int64)
        return inside

    def cells_at_resolution(self, cell_indices: Ints, resolution: int) -> Ints:
        """Return the cells of another grid, `resolution` along each axis, that overlap the given cells, each once."""
        offsets = np.array(list(np.ndindex(*[-(-resolution // self.resolution) + 1] * len(self.low))), dtype=np.int64)
        found = ((cell_indices * resolution // self.resolution)[:, None] + offsets).reshape(-1, len(self.low))
        return np.unique(found[(found < resolution).all(1)], axis=0)

    def missed_cells(self, mesh: Mesh) -> Ints:
        """Return the unproven cells that are neither met by the mesh nor next to a cell that it meets, `(M, n)`.

        An empty result means that the mesh is complete to the size of a cell: any boundary that the mesh lacks lies in
        the cells that it meets and in their neighbors.
        """
        weights = (self.resolution + 2) ** np.arange(len(self.low))[::-1]
        met = np.unique((self.cells_containing(_points_on_faces(mesh, self.cell_size.min())) + 1) @ weights)
        shifts = [(np.array(shift) - 1) @ weights for shift in np.ndindex(*[3] * len(self.low))]
        near = np.unique(np.concatenate([met + shift for shift in shifts]))
        return self.unproven_cells[~np.isin((self.unproven_cells + 1) @ weights, near)]


def check_completeness(
    boundary: Boundary,
    label: int,
    low: Sequence[float],
    high: Sequence[float],
    resolution: int = 128,
    device: torch.device | None = None,
) -> CompletenessResult:
    """Prove which cells of a box do not contain the boundary of the class `label`.

    Boxes in which bounds exclude a zero of the logit margin are dropped; the others are halved along every axis until
    they are cells. The cost therefore grows with the area of the boundary. A proof holds in real arithmetic for the
    given weights.

    Args:
        boundary: boundary in the plane or in space.
        label: the class.
        low: smallest coordinates of the box, n = 2 or 3.
        high: largest coordinates of the box.
        resolution: cells along each axis, a power of two from 4 on.
        device: the device of the network; the CPU by default.

    Raises:
        ModelError: if the network has no bounds.
        SceneError: if the resolution is not such a power of two, or float32 does not distinguish the cells.

    Example:
        >>> plane = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> found = check_completeness(plane, 1, (-0.9, -1.0), (1.1, 1.0), resolution=16)
        >>> len(found.unproven_cells), found.unproven_volume
        (16, 0.25)
    """
    if not is_power_of_two_resolution(resolution):
        raise SceneError(
            f"check_completeness: resolution is {resolution}; give a power of two from {INITIAL_CELLS_PER_AXIS} on"
        )
    require_resolvable(low, high, resolution)
    device = device or torch.device("cpu")
    graph = trace_affine_graph(boundary.model, torch.zeros(len(low), device=device))
    subdivision = _BoxSubdivision(graph, boundary, label, low, high, resolution, device)
    while subdivision.cells_per_box_side > 1:
        subdivision.exclude_boxes()
        subdivision.subdivide()
    subdivision.set_aside_sign_changes()
    subdivision.exclude_boxes()
    unproven = subdivision.boxes.cpu().numpy()
    return CompletenessResult(
        tuple(low), tuple(high), resolution, unproven[np.lexsort(unproven.T[::-1])], subdivision.num_bounded_boxes
    )


def is_power_of_two_resolution(resolution: int) -> bool:
    """Return whether halving reaches this number of cells along an axis: a power of two from 4 on."""
    return resolution >= INITIAL_CELLS_PER_AXIS and resolution & (resolution - 1) == 0


def logit_margin_rows(num_classes: int, label: int, device: torch.device) -> Tensor:
    """Return the matrix `(K - 1, K)` that maps scores to `z_label - z_other` for every other class."""
    eye = torch.eye(num_classes, dtype=torch.float64, device=device)
    others = [other for other in range(num_classes) if other != label]
    return eye[label] - eye[others]


@final
class _BoxSubdivision:
    """Boxes that may contain the boundary, all of one size, each with the linear bounds of its parent."""

    def __init__(
        self,
        graph: AffineGraph,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        resolution: int,
        device: torch.device,
    ) -> None:
        self.graph = graph
        self.level = level_function(boundary, label)
        self.low = torch.tensor(list(low), dtype=torch.float64, device=device)
        self.cell_size = (torch.tensor(list(high), dtype=torch.float64, device=device) - self.low) / resolution
        self.margin_rows = torch.cat(
            [logit_margin_rows(graph.num_classes, label, device), -logit_margin_rows(graph.num_classes, label, device)]
        )
        self.child_offsets = torch.cartesian_prod(*[torch.arange(2, device=device)] * len(low))
        self.cells_per_box_side = resolution // INITIAL_CELLS_PER_AXIS
        self.boxes = torch.cartesian_prod(*[torch.arange(INITIAL_CELLS_PER_AXIS, device=device)] * len(low))
        self.sign_change_boxes = self.boxes[:0]
        self.slopes = self.low.new_zeros(len(self.boxes), len(self.margin_rows), len(low))
        self.constants = self.low.new_full((len(self.boxes), len(self.margin_rows)), -torch.inf)
        self.num_bounded_boxes = 0

    def exclude_boxes(self) -> None:
        """Drop the boxes that are proven not to contain the boundary."""
        self.num_bounded_boxes += len(self.boxes)
        unproven = [self.sign_change_boxes]
        slopes = []
        constants = []
        for batch in chunks(len(self.boxes), BOXES_PER_BATCH):
            region = self._region(self.boxes[batch])
            rows, constant = compute_linear_bounds(self.graph, region).linear_lower_bound(self.margin_rows[None])
            remaining = self._may_contain_zero(
                region.lower_bound(rows) + constant - ROUNDING_TOLERANCE * constant.abs()
            )
            unproven.append(self.boxes[batch][remaining])
            slopes.append(rows[remaining])
            constants.append(constant[remaining])
        self.boxes = torch.cat(unproven)
        if slopes:
            self.slopes = torch.cat(slopes)
            self.constants = torch.cat(constants)

    def subdivide(self) -> None:
        """Halve the boxes along every axis; drop the children that the bounds of their parents already exclude."""
        self.cells_per_box_side //= 2
        children = 2 * self.boxes[:, None] + self.child_offsets
        remaining = []
        for batch in chunks(len(children), BOXES_PER_BATCH):
            count = len(self.child_offsets)
            slopes = self.slopes[batch].repeat_interleave(count, 0)
            constants = self.constants[batch].repeat_interleave(count, 0)
            lower_bound = self._region(children[batch].reshape(-1, children.shape[2])).lower_bound(slopes) + constants
            remaining.append(self._may_contain_zero(lower_bound - ROUNDING_TOLERANCE * constants.abs()))
        self.boxes = children.reshape(-1, children.shape[2])[torch.cat(remaining)] if remaining else self.boxes

    def set_aside_sign_changes(self) -> None:
        """Set aside the boxes whose corners lie on both sides of the boundary: bounds cannot exclude it there."""
        corners = self.boxes[:, None] + self.child_offsets
        unique, inverse = torch.unique(corners.reshape(-1, corners.shape[2]), dim=0, return_inverse=True)
        points = (self.low + unique * self.cells_per_box_side * self.cell_size).float()
        positive = self.level(points) > 0 if len(points) else points.new_zeros(0, dtype=torch.bool)
        signs = positive[inverse].reshape(corners.shape[:2])
        crossed = signs.any(1) & ~signs.all(1)
        self.sign_change_boxes = self.boxes[crossed]
        self.boxes = self.boxes[~crossed]

    def _region(self, boxes: Tensor) -> InputRegion:
        """Return the boxes, slightly enlarged so that rounding of their corners leaves no space between neighbors."""
        size = self.cells_per_box_side * self.cell_size
        low = self.low + boxes * size
        return InputRegion(low - 1e-9 * size, low + (1 + 1e-9) * size)

    def _may_contain_zero(self, lower_bounds: Tensor) -> Tensor:
        """Return which boxes may contain a zero of the logit margin, `(B,)`.

        Args:
            lower_bounds: `(B, 2 K - 2)` of the differences of the label's score to all others, then of their negatives.
        """
        ahead, behind = (lower_bounds > 0).chunk(2, dim=1)
        return ~(ahead.all(1) | behind.any(1))


def _points_on_faces(mesh: Mesh, spacing: float) -> NDArray[np.float64]:
    """Return points on the faces of a mesh, at most `spacing` apart."""
    corners = mesh.vertices[mesh.faces]
    found = [corners.reshape(-1, mesh.ambient_dim)]
    while len(corners):
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
        corners = corners[edges.max(1) > spacing]
        corners = _subdivide_faces(corners)
        found.append(corners.reshape(-1, mesh.ambient_dim))
    return np.concatenate(found)


def _subdivide_faces(faces: NDArray[np.float64]) -> NDArray[np.float64]:
    """Split every segment in two, every triangle in four."""
    midpoints = (faces + np.roll(faces, -1, axis=1)) / 2
    if faces.shape[1] == 2:
        start, end = np.moveaxis(faces, 1, 0)
        return np.concatenate([np.stack([start, midpoints[:, 0]], 1), np.stack([midpoints[:, 0], end], 1)])
    a, b, c = np.moveaxis(faces, 1, 0)
    ab, bc, ca = np.moveaxis(midpoints, 1, 0)
    return np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
