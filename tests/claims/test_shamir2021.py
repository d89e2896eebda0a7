"""The claims of Shamir et al. on planted boundaries over the line of `line_in_2d`, whose height is known."""

import functools
import math

import torch
from torch import Tensor, nn

from dimple.claims.experiments import Resources, Row
from dimple.claims.experiments.shamir2021.clinging import describe_training
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene
from dimple.experiment.simulation.prepared_scene import PreparedScene
from tests.claims.flips import Effect, flip_tests

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
    return prepare_scene("line_in_2d", [], seed, Resources())


def plant(seed: int, heights: list[float], slopes: list[float], depths: list[float]) -> dict[str, Row]:
    prepared = line(seed)
    x, y = prepared.samples.train, prepared.samples.train_labels
    noise = 1 + 0.01 * seed
    networks = tuple(
        BoundaryAbove(x, y, height * noise, slope, depth * noise)
        for height, slope, depth in zip(heights, slopes, depths, strict=True)
    )
    return {"line": describe_training(prepared, RecordedTraining(STEPS, networks, (0.5,) * len(STEPS)))}


def dimples(first: int, depth: float) -> list[float]:
    return [0.0] * first + [depth] * (len(STEPS) - first)


def plant_cling(effect: Effect, seed: int) -> dict[str, Row]:
    near = {"present": 0.02, "absent": 0.4, "reversed": 0.6}[effect]
    rows = plant(seed, [0.4] * 3 + [near] * 8, [0.0] * 11, dimples(8, 0.02))
    return {part: row | {"fall_permuted": 1.0, "fall_on_data": 1.0} for part, row in rows.items()}


def plant_rotate(effect: Effect, seed: int) -> dict[str, Row]:
    before, after = {"present": (1.0, 0.0), "absent": (0.0, 0.0), "reversed": (0.0, 1.0)}[effect]
    return plant(seed, [0.4] * 3 + [0.02] * 8, [before] * 3 + [after] * 8, dimples(8, 0.02))


def plant_order(effect: Effect, seed: int) -> dict[str, Row]:
    near = {"present": 3, "absent": 8, "reversed": 11}[effect]
    return plant(seed, [0.4] * near + [0.02] * (11 - near), [0.0] * 11, dimples(8, 0.02))


def plant_shallow(effect: Effect, seed: int) -> dict[str, Row]:
    prepared = line(seed)
    spacing = float(prepared.samples.train[:, 0].sort().values.diff().min())
    depth = {"present": 0.3, "absent": 3.0, "reversed": 6.0}[effect] * spacing / 2
    return plant(seed, [0.4] * 3 + [0.02] * 8, [0.0] * 11, dimples(8, depth))


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "shamir2021",
    {"cling": plant_cling, "rotate": plant_rotate, "order": plant_order, "shallow": plant_shallow},
)


def test_a_planted_boundary_is_where_it_is_said_to_be() -> None:
    row = plant_cling("present", 0)["line"]
    assert math.isclose(row["fall"], 20.0, rel_tol=0.02)
