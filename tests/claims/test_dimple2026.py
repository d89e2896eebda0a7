"""Our own claims on planted boundaries: sheets of known area, bumps over images, lines of known distance."""

import dataclasses
import functools
import math

import torch
from torch import Tensor, nn

from dimple.claims.experiments import Resources, Row
from dimple.claims.experiments.boundary_distance import follow_distance
from dimple.claims.experiments.dimple2026.exact_boundary import describe_polygons
from dimple.claims.experiments.dimple2026.image_dimples import describe_profiles
from dimple.claims.experiments.dimple2026.optimal_boundary import compare_twins, compare_with_optimum
from dimple.claims.experiments.dimple2026.phase_diagram import compare_cells, describe_cell
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.probes.subspaces import Subspace
from tests.claims.flips import Effect, flip_tests
from tests.claims.planted_line import course, dimples, line


@functools.cache
def plane(seed: int) -> PreparedScene:
    return prepare_scene("plane_in_3d", ["data.heldout_points=40"], seed, Resources())


def sheet(height: float, amplitude: float, waves: int = 4) -> nn.Sequential:
    """A boundary over the plane z = 0.5 at a height, in a zigzag along x of the given amplitude around it."""
    kinks = torch.linspace(0, 1, waves + 1)[:-1]
    slope = 2 * amplitude * waves
    turns = torch.tensor([slope, *(2 * slope * (-1.0) ** index for index in range(1, waves))])
    network = nn.Sequential(nn.Linear(3, waves + 1), nn.ReLU(), nn.Linear(waves + 1, 2))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 2] = 1.0
        network[0].weight[1:, 0] = 1.0
        network[0].bias.copy_(torch.cat([torch.tensor([10.0]), -kinks]))
        network[2].weight[1] = torch.cat([torch.tensor([1.0]), -turns])
        network[2].weight[0] = -network[2].weight[1]
        level = 10.5 + height - amplitude
        network[2].bias.copy_(torch.tensor([level, -level]))
    return network


def polygons_of(seed: int, *sheets: tuple[float, float]) -> Row:
    noise = 1 + 0.01 * seed
    networks = tuple(sheet(height * noise, amplitude * noise, 4 if amplitude else 1) for height, amplitude in sheets)
    return describe_polygons(
        plane(seed), RecordedTraining(tuple(range(len(sheets))), networks, (0.5,) * len(sheets)), 0.4
    )


def plant_exact(effect: Effect, seed: int) -> dict[str, Row]:
    near, end = {
        "present": ((0.02, 0.0), (0.0, 0.3)),
        "absent": ((0.02, 0.0), (0.04, 0.0)),
        "reversed": ((0.0, 0.2), (0.25, 0.0)),
    }[effect]
    return {"": polygons_of(seed, (0.35, 0.0), near, end)}


class BumpsOverImages(nn.Module):
    """A boundary over the first coordinate t of images, in the second coordinate, at 0.5 + height cos(2 pi t)."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.tensor(height))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        score = 0.5 + self.height * torch.cos(2 * math.pi * rows[:, 0]) - rows[:, 1]
        return torch.stack([score, -score], dim=1)


def profiles_of(seed: int, height: float) -> Row:
    def images(positions: Tensor) -> Tensor:
        rows = torch.zeros(len(positions), 64)
        rows[:, 0] = positions
        return rows.reshape(-1, 1, 8, 8)

    prepared = prepare_scene("digits", ["data.subset=100", "data.test=50", "data.measured=10"], seed, Resources())
    train, test = images(torch.arange(5.0)), images(torch.arange(4.0) + 0.5)
    samples = dataclasses.replace(
        prepared.samples, train=train, train_labels=torch.zeros(5, dtype=torch.long), train_rows=torch.arange(5),
        test=test, test_labels=torch.zeros(4, dtype=torch.long), test_rows=torch.arange(4), bounds=None,
    )  # fmt: skip
    prepared = dataclasses.replace(prepared, samples=samples)
    return describe_profiles(prepared, BumpsOverImages(height), Subspace(torch.eye(64)[:, :1]), 4.0, (0.25, 0.5, 1.0))


def plant_slices(effect: Effect, seed: int) -> dict[str, Row]:
    height = {"present": 0.3, "absent": 0.0, "reversed": -0.3}[effect]
    return {"": profiles_of(seed, height * (1 + 0.01 * seed))}


def optimum_of(seed: int, positions: tuple[float, ...]) -> Row:
    networks = []
    for position in positions:
        network = nn.Linear(3, 2)
        with torch.no_grad():
            network.weight.copy_(torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
            network.bias.copy_(torch.tensor([0.5 + position, -0.5 - position]))
        networks.append(network)
    trajectory = RecordedTraining(tuple(range(len(networks))), tuple(networks), (0.5,) * len(networks))
    return compare_with_optimum(plane(seed), trajectory, 64)


def plant_bayes(effect: Effect, seed: int) -> dict[str, Row]:
    positions = {"present": (0.3, 0.02, 0.2), "absent": (0.3, 0.1, 0.1), "reversed": (0.3, 0.2, 0.02)}[effect]
    noise = 1 + 0.01 * seed
    row = optimum_of(seed, tuple(noise * position for position in positions))
    return {"": compare_twins(row, optimum_of(seed, (0.3, 0.1, 0.1)))}


@functools.cache
def cell_of(seed: int, near: float) -> Row:
    trajectory = course(seed, [0.4] * 3 + [near] * 8, [0.0] * 11, dimples(8, 0.02))
    return describe_cell(follow_distance(line(seed), trajectory), 512)


def plant_phase_diagram(effect: Effect, seed: int) -> dict[str, Row]:
    small, large = {"present": (0.2, 0.02), "absent": (0.02, 0.02), "reversed": (0.02, 0.2)}[effect]
    rows = {
        f"{scale} {codimension}": {"scale": scale, "codimension": codimension, "steps": 512.0, **cell_of(seed, near)}
        for scale, near in ((0.5, small), (8.0, large))
        for codimension in (1.0, 8.0)
    }
    return {name: row | compare_cells(rows) for name, row in rows.items()}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "dimple2026",
    {
        "exact": plant_exact,
        "slices": plant_slices,
        "slices_mnist": plant_slices,
        "slices_cifar10": plant_slices,
        "bayes": plant_bayes,
        "phase_diagram": plant_phase_diagram,
    },
)


def test_a_zigzag_has_the_area_of_its_slope() -> None:
    row = polygons_of(0, (0.35, 0.0), (0.02, 0.0), (0.0, 0.3))
    assert math.isclose(row["area_near"], 1.0, rel_tol=1e-6)
    assert math.isclose(row["distance_near"], 1.0, rel_tol=1e-5)
    assert math.isclose(row["area_end"], math.sqrt(1 + (2 * 0.3 * 4) ** 2), rel_tol=1e-6)
    assert (row["polygons_near"], row["polygons_end"]) == (1, 4)


def test_the_depth_beside_an_image_is_that_of_the_bump_there() -> None:
    row = profiles_of(0, 0.3)
    assert math.isclose(row["depth_train"], 0.8, rel_tol=1e-4)
    assert math.isclose(row["tangent_train_50"], 0.2 / 0.8, rel_tol=1e-3)
    assert math.isclose(row["tangent_train_100"], 1.0, rel_tol=1e-3)
    assert math.isclose(row["depth_test"], 0.2, rel_tol=1e-4)


def test_a_line_beside_the_optimal_one_is_as_far_as_it_is_moved() -> None:
    row = optimum_of(0, (0.3, 0.1, 0.2))
    assert math.isclose(row["distance_end"], 0.2, abs_tol=0.5 / 63)
    assert math.isclose(row["disagreement_end"], 0.2, abs_tol=1 / 63)
    assert math.isclose(row["step_best"], 0.5)


def test_a_short_cell_is_the_beginning_of_a_long_training() -> None:
    trajectory = course(0, [0.4] * 3 + [0.02] * 8, [0.0] * 11, dimples(8, 0.02))
    found = follow_distance(line(0), trajectory)
    assert math.isclose(describe_cell(found, 2)["fall_held"], 1.0)
    assert describe_cell(found, 2)["right"] == 0
    assert math.isclose(describe_cell(found, 512)["fall_held"], 20.0, rel_tol=0.02)
    assert describe_cell(found, 512)["right"] == 1
