"""Boundaries over the line of `line_in_2d` whose height, slope and dimples are known, along a planted training."""

import functools

import torch
from torch import Tensor, nn

from dimple.claims.experiments import Resources
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene
from dimple.experiment.simulation.prepared_scene import PreparedScene

STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class BoundaryAbove(nn.Module):
    """A boundary at a height over the line, with a slope, and with dimples that end on the right side of each point."""

    def __init__(self, x: Tensor, y: Tensor, height: float, slope: float = 0.0, depth: float = 0.0) -> None:
        super().__init__()
        self.points = x[:, 0].float()
        self.signs = 2.0 * y.float() - 1.0
        self.position = nn.Parameter(torch.tensor([height, slope, depth]))

    def forward(self, x: Tensor) -> Tensor:
        height, slope, depth = self.position
        middle = self.points.mean()
        # Piecewise linear between the points, so that it is +-1 at each of them.
        weights = (1 - (x[:, :1] - self.points).abs() / (self.points.diff().abs().min())).clamp(min=0)
        dimples = (weights * self.signs).sum(1)
        over = height * (depth == 0) + slope * (x[:, 0] - middle) - depth * dimples
        score = x[:, 1] - 0.5 - over
        return torch.stack([-score, score], dim=1)


@functools.cache
def line(seed: int) -> PreparedScene:
    return prepare_scene("line_in_2d", ["data.heldout_points=50"], seed, Resources())


def boundary_above(seed: int, height: float, slope: float = 0.0, depth: float = 0.0) -> BoundaryAbove:
    samples = line(seed).samples
    noise = 1 + 0.01 * seed
    return BoundaryAbove(samples.train, samples.train_labels, height * noise, slope, depth * noise)


def course(seed: int, heights: list[float], slopes: list[float], depths: list[float]) -> RecordedTraining:
    columns = zip(heights, slopes, depths, strict=True)
    return RecordedTraining(STEPS, tuple(boundary_above(seed, *row) for row in columns), (0.5,) * len(STEPS))


def dimples(first: int, depth: float) -> list[float]:
    return [0.0] * first + [depth] * (len(STEPS) - first)
