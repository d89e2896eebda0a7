"""Boundaries of many classes: one surface for every pair of classes that meet, and the class regions of a plane."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.levelsets.base import LevelSet, has_answer
from dimple.levelsets.mesh import Mesh
from dimple.tensors import apply_in_chunks
from dimple.tracing.fast_eval import ROWS_PER_CHUNK

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Scores whose relative difference is smaller count as equal, because of float32 rounding.
TIE_TOLERANCE = 1e-5
# Scores below this number, the smallest of float32 and -inf, mask a class that never wins.
MASK_SCORE = float(np.finfo(np.float32).min) / 2
# The class number of a point at which the classifier has no finite answer.
NO_CLASS = -1


@final
@dataclasses.dataclass(frozen=True)
class PairwiseBoundary:
    """Set of points where two classes share the largest score.

    Attributes:
        pair: the classes (a, b), a < b.
        mesh: triangles in space, segments in the plane; it faces the class a.
    """

    pair: tuple[int, int]
    mesh: Mesh


def extract_pairwise_boundaries(
    boundary: Boundary,
    low: Sequence[float],
    high: Sequence[float],
    level_set: LevelSet,
    device: torch.device | None = None,
) -> list[PairwiseBoundary]:
    """Extract the boundary of K classes in a box, n = 2 or 3, as one surface for each pair of classes that meet in it.

    The boundary of every class against all others is extracted by `level_set`. Its mesh is then cut along the lines
    where the other class changes. These lines are exact for `Exact`, and accurate to one cell for the others, which
    round the bends off.

    Args:
        boundary: boundary for points `(B, 2)` or `(B, 3)`; `restrict_to_slice` makes one of images or of points of any
            space.
        low: smallest coordinates of the box.
        high: largest coordinates of the box.
        level_set: the algorithm, a member of `LEVEL_SETS`.
        device: the device of the network; the CPU by default.

    Returns:
        The surfaces, ordered by pair; pairs that do not meet are absent.

    Example:
        >>> from dimple.levelsets.dense import Dense
        >>> thirds = Boundary(lambda x: torch.stack([x[:, 0], -x[:, 0], x[:, 1]], dim=1))
        >>> for surface in extract_pairwise_boundaries(thirds, (-1, -1), (1, 1), Dense(resolution=20)):
        ...     print(surface.pair, round(surface.mesh.area, 3))
        (0, 1) 1.0
        (0, 2) 1.414
        (1, 2) 1.414
    """
    device = torch.device("cpu") if device is None else device
    center = torch.tensor([[(a + b) / 2 for a, b in zip(low, high, strict=True)]], device=device)
    num_classes = boundary.scores(center).shape[1]
    cached = Boundary(CachedScores(boundary))
    found = []
    for label in range(num_classes - 1):
        mesh = level_set.extract(cached, label, low, high, device)
        if len(mesh.faces):
            found += split_by_other_class(cached, label, mesh, device)
    return found


def class_regions(
    boundary: Boundary, low: Sequence[float], high: Sequence[float], resolution: int, device: torch.device | None = None
) -> Ints:
    """Return the class at the center of each of `resolution ** 2` squares of a box in the plane.

    The result has shape `(resolution, resolution)`; y grows with the row, x with the column. It is `NO_CLASS` where
    the classifier has no finite answer.

    Example:
        >>> halves = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> class_regions(halves, (-1, -1), (1, 1), 2)
        array([[0, 1],
               [0, 1]])
    """
    x, y = (
        a + (b - a) * (torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution
        for a, b in zip(low, high, strict=True)
    )
    rows = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2).float()
    rows = rows if device is None else rows.to(device)

    def classes(x: Tensor) -> Tensor:
        scores = boundary.scores(x)
        return torch.where(has_answer(scores), scores.argmax(1), NO_CLASS)

    return apply_in_chunks(classes, rows, ROWS_PER_CHUNK).reshape(resolution, resolution).cpu().numpy()


@final
class CachedScores:
    """Scores of a boundary with a cache of entire batches, so that a grid is evaluated once for all classes."""

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary
        self.cache: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores `(B, K)`."""
        if type(x) is not Tensor:
            # A sample that is traced has no values to look up.
            return self.boundary.model(x)
        key = x.cpu().numpy().tobytes()
        if key not in self.cache:
            self.cache[key] = self.boundary.scores(x)
        return self.cache[key]


def split_by_other_class(boundary: Boundary, label: int, mesh: Mesh, device: torch.device) -> list[PairwiseBoundary]:
    """Split the boundary of one class into its parts towards each class with a larger number.

    Args:
        boundary: the boundary.
        label: the class.
        mesh: mesh on which the score of the class equals the largest of the others.
        device: the device of the network.
    """
    corners = mesh.vertices[mesh.faces]
    scores = _other_class_scores(boundary, label, mesh.vertices, device)[mesh.faces]
    center_scores = _other_class_scores(boundary, label, corners.mean(1), device)
    runner_up = center_scores.argmax(1)
    runner_up_scores = np.take_along_axis(scores, runner_up[:, None, None], axis=2)[:, :, 0]
    best = scores.max(2)
    # The tolerance is relative to the scores of the other classes, which are finite.
    uncut = (runner_up_scores >= best - TIE_TOLERANCE * np.abs(best).max()).all(1)
    simplices: dict[int, list[Floats]] = {}
    for other in np.unique(runner_up[uncut]):
        simplices[int(other)] = [corners[uncut & (runner_up == other)]]
    for face in np.flatnonzero(~uncut):
        candidates = np.unique([runner_up[face], *scores[face].argmax(1)])
        for other in candidates:
            clipped = _clip_to_winner(corners[face], scores[face], int(other), candidates)
            if clipped is not None:
                simplices.setdefault(int(other), []).append(clipped)
    return [
        PairwiseBoundary((label, other), _merge_equal_vertices(np.concatenate(simplices[other])))
        for other in sorted(simplices)
        if other > label
    ]


def _other_class_scores(boundary: Boundary, label: int, points: Floats, device: torch.device) -> Floats:
    """Return the scores `(N, K)`, with minus infinity for the class `label`."""
    rows = torch.from_numpy(points.astype(np.float32)).to(device)
    scores = replace_masks(apply_in_chunks(boundary.scores, rows, ROWS_PER_CHUNK).double().cpu().numpy())
    scores[:, label] = -np.inf
    return scores


def replace_masks(scores: Floats) -> Floats:
    """Return scores in which those of masked classes lie below all others by the range of these, to be interpolated.

    Example:
        >>> replace_masks(np.array([[1.0, 3.0, -np.inf]])).tolist()
        [[1.0, 3.0, -1.0]]
    """
    masked = scores < MASK_SCORE
    others = scores[~masked & np.isfinite(scores)]
    if not masked.any() or len(others) == 0:
        return scores.copy()
    replaced: Floats = np.where(masked, others.min() - max(float(np.ptp(others)), 1.0), scores)
    return replaced


def _clip_to_winner(corners: Floats, scores: Floats, winner: int, candidates: Ints) -> Floats | None:
    """Clip a triangle or segment to where the winner has the largest score; scores are interpolated linearly.

    Args:
        corners: `(n, n)` a triangle in space or a segment in the plane.
        scores: `(n, K)` at the corners.
        winner: the class that is to have the largest score.
        candidates: the classes that may have the largest score.

    Returns:
        Simplices `(M, n, n)`, or None if nothing is left.
    """
    num_corners = len(corners)
    polygon = list(zip(corners, scores, strict=True))
    for other in candidates:
        if other != winner:
            differences = [values[winner] - values[other] for _, values in polygon]
            polygon = _clip_polygon(polygon, differences, closed=num_corners == 3)
    if len(polygon) < num_corners:
        return None
    points = np.array([point for point, _ in polygon])
    if num_corners == 2:
        return points[None]
    return np.stack([points[[0, k, k + 1]] for k in range(1, len(points) - 1)])


def _clip_polygon(
    polygon: list[tuple[Floats, Floats]], score_differences: list[float], *, closed: bool
) -> list[tuple[Floats, Floats]]:
    """Clip a polygon, or a segment, of points with scores to where the score difference is not negative."""
    clipped = []
    for k in range(len(polygon)):
        if score_differences[k] >= 0:
            clipped.append(polygon[k])
        after = (k + 1) % len(polygon)
        if (closed or after > 0) and (score_differences[k] >= 0) != (score_differences[after] >= 0):
            # Always from the inner end, so that both faces at an edge cut it in the same point.
            inner = k if score_differences[k] >= 0 else after
            outer = after if score_differences[k] >= 0 else k
            t = score_differences[inner] / (score_differences[inner] - score_differences[outer])
            point, values = polygon[inner]
            outer_point, outer_values = polygon[outer]
            with np.errstate(invalid="ignore"):
                clipped.append((point + t * (outer_point - point), values + t * (outer_values - values)))
    return clipped


def _merge_equal_vertices(simplices: Floats) -> Mesh:
    """Return simplices `(F, n, n)` as a mesh with equal corners merged and degenerate simplices dropped."""
    vertices, inverse = np.unique(simplices.reshape(-1, simplices.shape[2]), axis=0, return_inverse=True)
    faces = inverse.reshape(len(simplices), -1).astype(np.int64)
    distinct = (faces != np.roll(faces, 1, axis=1)).all(1)
    return Mesh(vertices, faces[distinct])
