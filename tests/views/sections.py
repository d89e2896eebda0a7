"""Sections whose regions are known: three sectors in the plane, half-spaces and an octant in space; as frames."""

import functools

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.levelsets import Mesh, class_regions
from dimple.levelsets.sampled_grid import Sampled, sample_scores
from dimple.runs.run import pair_arrays
from dimple.views.content.frame import Classes, Drawing, Fact, Frame, Layer, Panel, PointSet, Timeline

NAMES = ("airplane", "bird", "cat")
LOW, HIGH = -1.0, 1.0


@functools.cache
def sampled(dim: int) -> Sampled:
    """Class 0 at large x; elsewhere class 1 at large y, and class 2."""

    def scores(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([3 * x[:, 0], x[:, 1], -x[:, 1]], dim=1)

    return sample_scores(Boundary(scores), (LOW,) * dim, (HIGH,) * dim, 32 if dim == 2 else 12, torch.device("cpu"))


def drawing(dim: int, points: PointSet | None = None, valid: bool = True) -> Drawing:
    """Its regions and boundaries, with inputs within |x|, |y|, |z| < 1/2."""
    known = sampled(dim)
    arrays = pair_arrays(known.surfaces(), dim)
    mesh = Mesh(arrays["vertices"].astype(np.float64), arrays["faces"].astype(np.int64))
    signs = np.stack(np.meshgrid(*[[-0.5, 0.5]] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    corners = signs[[0, 1, 3, 2]] if dim == 2 else signs
    regions = (
        class_regions(Boundary(known), known.low, known.high, 64) if dim == 2 else known.winners().astype(np.int64)
    )
    sides = None if dim == 2 else known.sides(24).astype(np.int64)
    classes = Classes(NAMES, regions, corners if valid else None, "l2", sides)
    nobody = PointSet(np.zeros((0, dim)), np.zeros(0, dtype=np.int64))
    layer = Layer(mesh, "boundary", pairs=arrays["pairs"].astype(np.int64))
    return Drawing((layer,), points or nobody, (LOW,) * dim, (HIGH,) * dim, classes=classes)


def images(dim: int) -> PointSet:
    """One image in each region, of one colour each, the last of them wrong."""
    places = np.zeros((3, dim))
    places[:, :2] = [(0.6, 0.1), (-0.5, 0.6), (-0.5, -0.6)]
    pixels = tuple(np.full((4, 4, 3), 60 * k + 40, dtype=np.uint8) for k in range(3))
    names = ("3: airplane", "17: bird", "42: cat\nput into bird")
    return PointSet(places, np.arange(3), np.array([0, 1, 1]), pixels, names)


def frame(dim: int, steps: int = 1, index: int = 0) -> Frame:
    """A frame of a section, with its control."""
    timeline = Timeline(np.arange(steps, dtype=np.int64) * 10, ())
    control = Panel(drawing(dim), "control: random directions")
    facts = (Fact("classes in the box", "3", "1"), Fact("3: boundary in section", "0.45", "0.9"))
    return Frame(
        "a network: images 3, 17, 42", 10 * index, index, drawing(dim, images(dim)), facts, timeline, control=control,
        note="the plane through images 3, 17 and 42; lengths are l2, in input units",
    )  # fmt: skip
