"""Frames of affine slices with known class regions: three sectors of the plane, and the same times a line in space."""

import functools

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.levelsets import Mesh, class_regions
from dimple.levelsets.sampled_grid import SampledGrid, sample_scores
from dimple.runs.mesh_arrays import surfaces_to_arrays
from dimple.views.content.frame import ClassRegions, ControlDrawing, Drawing, Fact, Frame, MeshLayer, PointSet, Timeline

NAMES = ("airplane", "bird", "cat")
LOW = -1.0
HIGH = 1.0


@functools.cache
def sampled(dim: int) -> SampledGrid:
    """Return the sampled scores of three classes: class 0 at large x, class 1 at large y, class 2 elsewhere."""

    def scores(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([3 * x[:, 0], x[:, 1], -x[:, 1]], dim=1)

    return sample_scores(Boundary(scores), (LOW,) * dim, (HIGH,) * dim, 32 if dim == 2 else 12, torch.device("cpu"))


def drawing(dim: int, points: PointSet | None = None, valid: bool = True) -> Drawing:
    """Return the regions and boundaries of `sampled`, with valid inputs where |x|, |y|, |z| < 1/2."""
    grid = sampled(dim)
    arrays = surfaces_to_arrays(grid.pairwise_boundaries(), dim)
    mesh = Mesh(arrays["vertices"].astype(np.float64), arrays["faces"].astype(np.int64))
    signs = np.stack(np.meshgrid(*[[-0.5, 0.5]] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    vertices = signs[[0, 1, 3, 2]] if dim == 2 else signs
    labels = (
        class_regions(Boundary(grid), grid.low, grid.high, 64) if dim == 2 else grid.corner_classes().astype(np.int64)
    )
    side_labels = None if dim == 2 else grid.box_face_classes(24).astype(np.int64)
    regions = ClassRegions(NAMES, labels, vertices if valid else None, "l2", side_labels)
    no_points = PointSet(np.zeros((0, dim)), np.zeros(0, dtype=np.int64))
    layer = MeshLayer(mesh, "boundary", class_pairs=arrays["pairs"].astype(np.int64))
    return Drawing((layer,), points or no_points, (LOW,) * dim, (HIGH,) * dim, class_regions=regions)


def images(dim: int) -> PointSet:
    """Return one gray image in each region; the last one is misclassified."""
    positions = np.zeros((3, dim))
    positions[:, :2] = [(0.6, 0.1), (-0.5, 0.6), (-0.5, -0.6)]
    pixels = tuple(np.full((4, 4, 3), 60 * k + 40, dtype=np.uint8) for k in range(3))
    captions = ("3: airplane", "17: bird", "42: cat\npredicted bird")
    return PointSet(positions, np.arange(3), np.array([0, 1, 1]), pixels, captions)


def frame(dim: int, steps: int = 1, index: int = 0) -> Frame:
    """Return a frame of an affine slice, with its control."""
    timeline = Timeline(np.arange(steps, dtype=np.int64) * 10, ())
    control = ControlDrawing(drawing(dim), "control: random directions")
    facts = (Fact("classes in the box", "3", "1"), Fact("3: margin in the slice", "0.45", "0.9"))
    return Frame(
        "a network: images 3, 17, 42", 10 * index, index, drawing(dim, images(dim)), facts, timeline, control=control,
        note="the plane through images 3, 17 and 42; lengths are l2, in input units",
    )  # fmt: skip
