"""Samples of an expensive classifier on a grid: evaluated where classes change, interpolated everywhere else."""

import itertools
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.levelsets.base import CheckedLevel, has_answer, require_resolvable
from dimple.levelsets.dense import contour_curve, contour_surface
from dimple.levelsets.multiclass import NO_CLASS, PairwiseBoundary, replace_masks, split_by_other_class
from dimple.tensors import apply_in_chunks

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
ClassIndices = NDArray[np.int16]
# The activations of such a batch of images fit a core's cache; larger batches take twice the time per image.
SAMPLES_PER_BATCH = 128
# Cells along each axis of the coarse grid, at least, in the plane and in space.
INITIAL_CELLS_PER_AXIS = {2: 32, 3: 12}
UNKNOWN_CLASS = -1
# The class of a corner without a finite answer while a grid is refined: one of its own, so that its edge is refined.
UNDEFINED_CLASS = np.iinfo(np.int16).max - 1


@final
class SampledGrid:
    """Classifier of the points of a box, given by scores at the corners of a grid and multilinear in each cell.

    A class with the score -inf at a corner loses there, by more than any finite scores differ. Where the scores have no
    finite answer at a corner (nan or inf), they are nan in the cells around it: these have no boundary.

    Args:
        scores: `(resolution + 1, ..., resolution + 1, K)`, one axis for each coordinate, then the classes.
        low: smallest coordinates of the box.
        high: largest coordinates of the box.
        evaluated: the corners whose scores were computed by the classifier; the others were interpolated.

    Example:
        >>> scores = np.array([[[0.0, 1], [0, 3]], [[0, 1], [0, 3]]])
        >>> square = SampledGrid(scores, (0, 0), (1, 1), np.ones((2, 2), bool))
        >>> square(torch.tensor([[0.5, 0.25]]))
        tensor([[0.0000, 1.5000]])
    """

    def __init__(self, scores: Floats, low: Sequence[float], high: Sequence[float], evaluated: Bools) -> None:
        answered = has_answer(torch.from_numpy(scores.reshape(-1, scores.shape[-1]))).reshape(scores.shape[:-1])
        filled = np.where(answered[..., None].numpy(), replace_masks(scores), np.nan)
        self.scores = torch.from_numpy(np.ascontiguousarray(filled, dtype=np.float32))
        self.low = tuple(low)
        self.high = tuple(high)
        self.evaluated = evaluated
        self.resolution = scores.shape[0] - 1

    def __call__(self, u: Tensor) -> Tensor:
        """Return the scores `(B, K)` at points `(B, n)`; outside the box, those of the closest point in it."""
        low, high = (torch.tensor(corner, dtype=torch.float64) for corner in (self.low, self.high))
        position = ((u.cpu().double() - low) / (high - low) * self.resolution).clamp(0, self.resolution)
        start = position.floor().long().clamp(max=self.resolution - 1)
        fraction = (position - start).float()
        total: Tensor = self.scores.new_zeros(len(u), self.scores.shape[-1])
        for corner in itertools.product((0, 1), repeat=u.shape[1]):
            step = torch.tensor(corner)
            weight = torch.where(step == 1, fraction, 1 - fraction).prod(dim=1)
            # A corner without weight does not count, even with nan.
            values = torch.where(weight[:, None] > 0, self.scores[tuple((start + step).unbind(1))], 0.0)
            total += weight[:, None] * values
        return total.to(u)

    def pairwise_boundaries(self) -> list[PairwiseBoundary]:
        """Return the boundary of each pair of classes that meet, ordered by pair.

        The zero set of the score difference of each pair is contoured and then cut where a third class wins, so that
        the lines where three classes meet are not rounded.
        """
        axes = [np.linspace(a, b, self.resolution + 1) for a, b in zip(self.low, self.high, strict=True)]
        contour = contour_curve if len(axes) == 2 else contour_surface
        boundary = Boundary(self)
        found: list[PairwiseBoundary] = []
        for a, b in self._competing_class_pairs():
            difference = (self.scores[..., a] - self.scores[..., b]).double().numpy()
            mesh = contour(np.ascontiguousarray(difference.T), axes)
            if len(mesh.faces):
                surfaces = split_by_other_class(boundary, a, mesh, torch.device("cpu"))
                found += [surface for surface in surfaces if surface.pair == (a, b)]
        return [surface for surface in found if len(surface.mesh.faces)]

    def _competing_class_pairs(self) -> list[tuple[int, int]]:
        """Return the pairs (a, b), a < b, with the two largest scores at some corner.

        Classes that meet have the two largest scores at corners near their boundary.
        """
        rows = self.scores.reshape(-1, self.scores.shape[-1])
        top = rows[~rows.isnan().any(1)].topk(2, dim=-1).indices.sort(dim=1).values
        return [(int(a), int(b)) for a, b in torch.unique(top, dim=0).tolist()]

    def corner_classes(self) -> ClassIndices:
        """Return the class at each corner of the grid, one axis for each coordinate; `NO_CLASS` without an answer."""
        return _class_numbers(self.scores)

    def box_face_classes(self, resolution: int) -> ClassIndices:
        """Return the class at the center of each of `resolution`^2 squares on the faces of a box in space.

        The result has shape `(3, 2, resolution, resolution)`: the axis normal to the face, its low or its high side,
        then the other two coordinates in their order.
        """
        low = np.array(self.low)
        high = np.array(self.high)
        fractions = (np.arange(resolution) + 0.5) / resolution
        plane = np.stack(np.meshgrid(fractions, fractions, indexing="ij"), axis=-1).reshape(-1, 2)
        faces = np.zeros((3, 2, resolution**2), dtype=np.int16)
        for axis, end in itertools.product(range(3), range(2)):
            points = low + np.insert(plane, axis, end, axis=1) * (high - low)
            faces[axis, end] = _class_numbers(self(torch.from_numpy(points)))
        return faces.reshape(3, 2, resolution, resolution)

    def subsample(self, factor: int) -> "SampledGrid":
        """Return the grid of every `factor`-th corner, so that it can be compared with a coarser grid."""
        selected = (slice(None, None, factor),) * len(self.low)
        return SampledGrid(self.scores.numpy()[selected], self.low, self.high, self.evaluated[selected])


def _class_numbers(scores: Tensor) -> ClassIndices:
    return torch.where(scores.isnan().any(-1), NO_CLASS, scores.argmax(-1)).numpy().astype(np.int16)


def sample_scores(
    boundary: Boundary,
    low: Sequence[float],
    high: Sequence[float],
    resolution: int,
    device: torch.device,
    *,
    dense: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> SampledGrid:
    """Sample a classifier of points `(B, 2)` or `(B, 3)` on a grid, with evaluations only where classes change.

    A coarse grid is evaluated at all corners. A cell is halved along every axis if its evaluated points, or those of a
    neighbor, differ in class, and so on down to the fine grid. Points that are evaluated later on the faces of a cell
    count too, so that a region that is found once is followed to its end. A region that lies between the coarse corners
    and does not touch another halved cell is missed. Every interpolated corner has the class of the corners around it,
    so that interpolation adds no boundary.

    Args:
        boundary: boundary in the plane or in space.
        low: smallest coordinates of the box.
        high: largest coordinates of the box.
        resolution: cells along each axis, a power of two times those of the coarse grid; see `refinement_levels`.
        device: the device of the network.
        dense: evaluate all corners.
        advance: called after each of the `refinement_levels(...)[1] + 1` passes over the grid.

    Raises:
        ShapeError: if the resolution is not such a multiple.

    Example:
        >>> disc = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> known = sample_scores(disc, (-2, -2), (2, 2), 128, torch.device("cpu"))
        >>> bool(known.evaluated.mean() < 0.2), known(torch.tensor([[0.5, 0.0], [1.5, 0.0]])).argmax(1)
        (True, tensor([1, 0]))
    """
    dim = len(low)
    coarse, levels = refinement_levels(resolution, dim)
    if coarse << levels != resolution:
        raise ShapeError(
            f"sample_scores: resolution is {resolution}, not a power of two times {coarse}; take {coarse << levels}"
        )
    require_resolvable(low, high, resolution)
    sampler = _GridSampler(boundary, low, high, resolution, device)
    if dense:
        for rows in np.array_split(np.arange(resolution + 1), levels + 1):
            slab = np.zeros((resolution + 1,) * dim, dtype=bool)
            slab[rows] = True
            sampler.evaluate(slab)
            advance()
        sampler.lead.warn(low, high, resolution)
        return sampler.interpolate(1)
    sampler.evaluate(_strided_mask((resolution + 1,) * dim, resolution // coarse))
    advance()
    for level in range(levels):
        sampler.refine_until_stable(level + 1, resolution // coarse)
        advance()
    sampler.lead.warn(low, high, resolution)
    return sampler.interpolate(resolution // coarse)


def refinement_levels(resolution: int, dim: int) -> tuple[int, int]:
    """Return the cells along each axis of the coarse grid, and the number of times that they are halved.

    The fine grid has `coarse << levels` cells along each axis, which is `resolution` or slightly more.

    Example:
        >>> refinement_levels(256, 2), refinement_levels(48, 3), refinement_levels(20, 2)
        ((32, 3), (12, 2), (20, 0))
    """
    levels = max(0, (resolution // INITIAL_CELLS_PER_AXIS[dim]).bit_length() - 1)
    return -(-resolution // (1 << levels)), levels


@final
class _GridSampler:
    """Scores at the corners evaluated so far, and the class with the largest score at each."""

    def __init__(
        self, boundary: Boundary, low: Sequence[float], high: Sequence[float], resolution: int, device: torch.device
    ) -> None:
        self.boundary = boundary
        self.lead = CheckedLevel(lambda x: _lead(apply_in_chunks(boundary.scores, x, SAMPLES_PER_BATCH)))
        self.low = low
        self.high = high
        self.device = device
        self.axes = [np.linspace(a, b, resolution + 1) for a, b in zip(low, high, strict=True)]
        self.corner_classes: ClassIndices = np.full((resolution + 1,) * len(low), UNKNOWN_CLASS, dtype=np.int16)
        self.scores: Floats = np.zeros((*self.corner_classes.shape, 0))

    def evaluate(self, mask: Bools) -> bool:
        """Evaluate the corners of a mask that are not known yet; return whether there were any."""
        corners = np.argwhere(mask & (self.corner_classes == UNKNOWN_CLASS))
        if len(corners) == 0:
            return False
        points = np.stack([axis[index] for axis, index in zip(self.axes, corners.T, strict=True)], axis=1)
        rows = torch.from_numpy(points.astype(np.float32)).to(self.device)
        found = apply_in_chunks(self.boundary.scores, rows, SAMPLES_PER_BATCH)
        self.lead.note(rows, _lead(found))
        if self.scores.shape[-1] == 0:
            self.scores = np.zeros((*self.corner_classes.shape, found.shape[1]))
        self.scores[tuple(corners.T)] = found.double().cpu().numpy()
        classes = torch.where(has_answer(found), found.argmax(1), UNDEFINED_CLASS)
        self.corner_classes[tuple(corners.T)] = classes.cpu().numpy()
        return True

    def refine_until_stable(self, levels: int, stride: int) -> None:
        """Halve the cells in which classes meet, `levels` times from cells of `stride` steps, until nothing changes."""
        while sum(self.evaluate(self._corners_to_refine(stride >> level)) for level in range(levels)):
            pass

    def _corners_to_refine(self, stride: int) -> Bools:
        """Return the corners of the halves of all cells of `stride` steps with two classes, and of their neighbors."""
        shape = tuple((side - 1) // stride for side in self.corner_classes.shape)
        # Unknown corners count neither for the smallest class of a cell nor, being -1, for the largest.
        known = np.where(self.corner_classes == UNKNOWN_CLASS, np.iinfo(np.int16).max, self.corner_classes)
        mixed = _reduce_over_cells(np.minimum, known, stride) < _reduce_over_cells(
            np.maximum, self.corner_classes, stride
        )
        if stride > 2:
            mixed = _dilate(mixed)
        half = stride // 2
        mask = np.zeros(self.corner_classes.shape, dtype=bool)
        for corner in itertools.product((0, 1, 2), repeat=len(shape)):
            window = tuple(
                slice(step * half, step * half + (side - 1) * stride + 1, stride)
                for step, side in zip(corner, shape, strict=True)
            )
            mask[window] |= mixed
        return mask

    def interpolate(self, stride: int) -> SampledGrid:
        """Return scores at all corners; those not evaluated are interpolated from coarser grids, from `stride` on."""
        evaluated = self.corner_classes != UNKNOWN_CLASS
        dim = self.corner_classes.ndim
        scores = self.scores[(slice(None, None, stride),) * dim]
        while stride > 1:
            stride //= 2
            selected = (slice(None, None, stride),) * dim
            for axis in range(dim):
                scores = _upsample_axis(scores, axis)
            scores = np.where(evaluated[selected][..., None], self.scores[selected], scores)
        return SampledGrid(scores, self.low, self.high, evaluated)


def _lead(scores: Tensor) -> Tensor:
    """Return the lead of the largest score `(N,)`, zero where two classes are equal; nan without an answer."""
    largest = scores.topk(2, dim=1).values
    return torch.where(has_answer(scores), largest[:, 0] - largest[:, 1], torch.nan)


def _strided_mask(shape: tuple[int, ...], stride: int) -> Bools:
    mask = np.zeros(shape, dtype=bool)
    mask[(slice(None, None, stride),) * len(shape)] = True
    return mask


def _reduce_over_cells(ufunc: np.ufunc, corners: ClassIndices, stride: int) -> ClassIndices:
    """Reduce the corners inside and on the faces of each cell of `stride` steps by a ufunc."""
    for axis in range(corners.ndim):
        rows = np.moveaxis(corners, axis, 0)
        inner = ufunc.reduce(rows[:-1].reshape(-1, stride, *rows.shape[1:]), axis=1)
        corners = np.moveaxis(ufunc(inner, rows[stride::stride]), 0, axis)
    return corners


def _dilate(mask: Bools) -> Bools:
    """Return the marked cells and all that share a face with one."""
    dilated = mask.copy()
    for axis in range(mask.ndim):
        rows = np.moveaxis(mask, axis, 0)
        dilated_rows = np.moveaxis(dilated, axis, 0)
        dilated_rows[1:] |= rows[:-1]
        dilated_rows[:-1] |= rows[1:]
    return dilated


def _upsample_axis(values: Floats, axis: int) -> Floats:
    """Insert the means of neighboring values between them, along one axis."""
    rows = np.moveaxis(values, axis, 0)
    refined = np.empty((2 * len(rows) - 1, *rows.shape[1:]))
    refined[::2] = rows
    refined[1::2] = (rows[:-1] + rows[1:]) / 2
    return np.moveaxis(refined, 0, axis)
