"""Boundaries of many classes: one surface for every pair that really meets, and the regions of a plane."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.levelsets.base import LevelSet
from dimple.levelsets.mesh import Mesh
from dimple.tensors import in_chunks
from dimple.tracing.sequential import CHUNK

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Scores that differ by less than this share of their size are equal: float32 cannot tell them apart.
EQUAL = 1e-5


@final
@dataclasses.dataclass(frozen=True)
class Surface:
    """Where two classes tie for the first place; the mesh faces the class `pair[0]`, which is the smaller number.

    Attributes:
        pair: the classes (a, b), a < b.
        mesh: triangles in space, segments in the plane.
    """

    pair: tuple[int, int]
    mesh: Mesh


def extract_pairs(
    boundary: Boundary,
    low: Sequence[float],
    high: Sequence[float],
    kind: LevelSet,
    device: torch.device | None = None,
) -> list[Surface]:
    """The boundary of a classifier of K classes in a box, n = 2 or 3, as one surface for each pair that meets in it.

    Every class is extracted against all others by `kind`; its mesh is then cut along the lines where its rival
    changes: those lines are exact for `exact`, and right to a cell for the others, which round off the bend there.

    Args:
        boundary: of points `(B, 2)` or `(B, 3)`; `restricted` makes one of images or of points of any space.
        kind: of LEVEL_SETS.

    Returns:
        Surfaces by rising pair; pairs that meet nowhere are absent.

    Example:
        >>> from dimple.levelsets.dense import Grid
        >>> thirds = Boundary(lambda x: torch.stack([x[:, 0], -x[:, 0], x[:, 1]], dim=1))
        >>> for surface in extract_pairs(thirds, (-1, -1), (1, 1), Grid(cells=20)):
        ...     print(surface.pair, round(surface.mesh.area, 3))
        (0, 1) 1.0
        (0, 2) 1.414
        (1, 2) 1.414
    """
    device = torch.device("cpu") if device is None else device
    middle = torch.tensor([[(a + b) / 2 for a, b in zip(low, high, strict=True)]], device=device)
    classes = boundary.scores(middle).shape[1]
    remembered = Boundary(Remembered(boundary))
    found = []
    for label in range(classes - 1):
        mesh = kind.extract(remembered, label, low, high, device)
        if len(mesh.faces):
            found += by_rival(remembered, label, mesh, device)
    return found


def class_regions(
    boundary: Boundary, low: Sequence[float], high: Sequence[float], cells: int, device: torch.device | None = None
) -> Ints:
    """The class of the middle of each of `cells`^2 squares of a box of the plane, `(cells, cells)`, y rising by rows.

    Example:
        >>> halves = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> class_regions(halves, (-1, -1), (1, 1), 2)
        array([[0, 1],
               [0, 1]])
    """
    x, y = (
        a + (b - a) * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells for a, b in zip(low, high, strict=True)
    )
    rows = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2).float()
    rows = rows if device is None else rows.to(device)
    return in_chunks(boundary.predict, rows, CHUNK).reshape(cells, cells).cpu().numpy()


@final
class Remembered:
    """A boundary's scores that answer a batch seen before from memory: the same grid for each class in turn."""

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary
        self.known: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """The scores `(B, K)`."""
        name = x.cpu().numpy().tobytes()
        if name not in self.known:
            self.known[name] = self.boundary.scores(x)
        return self.known[name]

    def in_series(self) -> tuple[object, ...]:
        """The classifier, for those who read its layers."""
        return (self.boundary.classifier,)


def by_rival(boundary: Boundary, label: int, mesh: Mesh, device: torch.device) -> list[Surface]:
    """The part of the boundary of one class towards each class of a larger number.

    Args:
        mesh: on which the class is as high as some other one.
    """
    corners = mesh.vertices[mesh.faces]
    scores = _rival_scores(boundary, label, mesh.vertices, device)[mesh.faces]
    middle = _rival_scores(boundary, label, corners.mean(1), device)
    rival = middle.argmax(1)
    own = np.take_along_axis(scores, rival[:, None, None], axis=2)[:, :, 0]
    best = scores.max(2)
    # A score of the class itself is minus infinity; the size is that of the rivals'.
    whole = (own >= best - EQUAL * np.abs(best).max()).all(1)
    parts: dict[int, list[Floats]] = {}
    for other in np.unique(rival[whole]):
        parts[int(other)] = [corners[whole & (rival == other)]]
    for face in np.flatnonzero(~whole):
        candidates = np.unique([rival[face], *scores[face].argmax(1)])
        for other in candidates:
            piece = _won(corners[face], scores[face], int(other), candidates)
            if piece is not None:
                parts.setdefault(int(other), []).append(piece)
    return [Surface((label, other), _shared(np.concatenate(parts[other]))) for other in sorted(parts) if other > label]


def _rival_scores(boundary: Boundary, label: int, points: Floats, device: torch.device) -> Floats:
    """The scores `(N, K)` of all classes but one, whose own is minus infinity."""
    rows = torch.from_numpy(points.astype(np.float32)).to(device)
    scores: Floats = in_chunks(boundary.scores, rows, CHUNK).double().cpu().numpy()
    scores[:, label] = -np.inf
    return scores


def _won(corners: Floats, scores: Floats, rival: int, others: Ints) -> Floats | None:
    """The part of a triangle or segment where one rival's score, linear on it, is the largest: `(M, n, n)` simplices.

    Args:
        corners: `(n, n)`; a triangle of space or a segment of the plane.
        scores: `(n, K)` at the corners.
        others: the classes that may have the largest score.
    """
    simplex = len(corners)
    shape = list(zip(corners, scores, strict=True))
    for other in others:
        if other != rival:
            lead = [values[rival] - values[other] for _, values in shape]
            shape = _clipped(shape, lead, closed=simplex == 3)
    if len(shape) < simplex:
        return None
    places = np.array([place for place, _ in shape])
    if simplex == 2:
        return places[None]
    return np.stack([places[[0, k, k + 1]] for k in range(1, len(places) - 1)])


def _clipped(shape: list[tuple[Floats, Floats]], lead: list[float], *, closed: bool) -> list[tuple[Floats, Floats]]:
    """Corners of a polygon, or ends of a segment, cut where the lead falls below zero."""
    kept = []
    for k in range(len(shape)):
        if lead[k] >= 0:
            kept.append(shape[k])
        after = (k + 1) % len(shape)
        if (closed or after > 0) and (lead[k] >= 0) != (lead[after] >= 0):
            # From the inner end outwards, so that both neighbours of an edge cut it in the same point.
            inner, outer = (k, after) if lead[k] >= 0 else (after, k)
            t = lead[inner] / (lead[inner] - lead[outer])
            (place, values), (far, far_values) = shape[inner], shape[outer]
            with np.errstate(invalid="ignore"):
                kept.append((place + t * (far - place), values + t * (far_values - values)))
    return kept


def _shared(simplices: Floats) -> Mesh:
    """Simplices `(F, n, n)` as a mesh whose equal corners are one vertex; those without size are dropped."""
    vertices, where = np.unique(simplices.reshape(-1, simplices.shape[2]), axis=0, return_inverse=True)
    faces = where.reshape(len(simplices), -1).astype(np.int64)
    apart = (faces != np.roll(faces, 1, axis=1)).all(1)
    return Mesh(vertices, faces[apart])
