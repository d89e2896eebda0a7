"""The claims of Mickisch et al. on planted networks whose boundaries are planes at known distances."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.claims.experiments import EXPERIMENTS, Resources, Row
from dimple.claims.experiments.mickisch2020.confidence_and_margin import describe_confidence
from dimple.claims.experiments.mickisch2020.defended_margins import describe_defense
from dimple.claims.experiments.mickisch2020.directional_margins import describe_directions
from dimple.claims.experiments.mickisch2020.margin_and_noise import describe_regimes, measure_snapshots
from dimple.claims.experiments.mickisch2020.margin_course import describe_course
from dimple.claims.experiments.mickisch2020.margin_variance import explain_variance, mean_margin
from dimple.claims.experiments.mickisch2020.margins import Epochs, Norm, closest_distances, deepfool_distances
from dimple.claims.experiments.mickisch2020.region_migration import count_kinks, describe_migration
from dimple.data import DataSplits
from dimple.networks import MLP
from dimple.probes.subspaces import Subspace
from dimple.tensors import Box, generator
from tests.claims.flips import Effect, flip_tests

DIMENSION = 8
ACCURACIES = (0.5, 0.9, 0.99, 1.0)


class Ceiling(nn.Module):
    """The class is the side of x_0 = 1/2, up to planes x_j = height_j, beyond which it is the other one.

    `count` further coordinates have one plane together: their sum is `total`.
    """

    def __init__(self, heights: Sequence[float], count: int = 0, total: float = 0.0) -> None:
        super().__init__()
        self.heights = torch.tensor(heights)
        self.count = count
        self.total = total

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        room = self.heights - rows[:, 1 : 1 + len(self.heights)]
        if self.count:
            start = 1 + len(self.heights)
            together = self.total - rows[:, start : start + self.count].sum(1, keepdim=True)
            room = torch.cat([room, together], dim=1)
        score = (2.0 * (rows[:, 0] > 0.5) - 1.0) * room.amin(1)
        return torch.stack([-score, score], dim=1)


def points(count: int = 4, wrong: int = 0) -> DataSplits:
    """Points below the ceiling in two classes; some test points have the label of the other one."""
    y = torch.arange(count) % 2
    x = torch.zeros(count, DIMENSION)
    x[:, 0] = 0.1 + 0.8 * y
    test = x[torch.arange(wrong + 4) % 2]
    labels = (torch.arange(wrong + 4) + (torch.arange(wrong + 4) < wrong)) % 2
    rows = torch.arange(count)
    return DataSplits(x, y, test, labels, x[:0], rows, torch.arange(2), ("0", "1"), Box(0.0, 1.0))


def ceilings(heights: Sequence[float], seed: int) -> Epochs:
    noise = 1 + 0.01 * torch.rand(len(heights), generator=generator(seed, "heights"))
    return Epochs(
        tuple(Ceiling([height * float(factor)]) for height, factor in zip(heights, noise, strict=True)), ACCURACIES
    )


COURSES = {"present": (0.5, 0.4, 0.3, 0.2), "absent": (0.3, 0.3, 0.3, 0.3), "reversed": (0.1, 0.2, 0.25, 0.3)}


@functools.cache
def plant_course(effect: Effect, seed: int) -> dict[str, Row]:
    return {"": describe_course(ceilings(COURSES[effect], seed), points(wrong=100), min_wrong=100)}


@functools.cache
def plant_defense(effect: Effect, seed: int) -> dict[str, Row]:
    course = {"present": COURSES["reversed"], "absent": COURSES["present"], "reversed": (0.5, 0.4, 0.3, 0.1)}[effect]
    clean, defended = ceilings(COURSES["present"], seed), ceilings(course, seed + 100)
    return {norm: describe_defense(clean, defended, points(), norm) for norm in ("l2", "linf")}


@functools.cache
def plant_carry(effect: Effect, seed: int) -> dict[str, Row]:
    """Planes across one axis have equal distances in both norms, those across four axes half as large ones in linf."""
    factor = {"present": 2.0, "absent": 1.0, "reversed": 0.5}[effect] * (1 + 0.001 * seed)
    high, axis, diagonal = [0.9], ([0.2], 0, 0.0), ([0.9], 4, 0.4)
    nets: dict[Norm, tuple[nn.Module, nn.Module]] = {
        # From one axis to four: l2 from 0.2 to 0.4 and linf unchanged, times the factor; and back.
        "l2": (Ceiling(*axis), Ceiling(high, 4, 0.8 * factor)),
        "linf": (Ceiling(*diagonal), Ceiling([0.2 * factor])),
    }
    rows = {}
    for norm, (clean, defended) in nets.items():
        epochs = [Epochs((network,) * 4, ACCURACIES) for network in (clean, defended)]
        rows[norm] = describe_defense(epochs[0], epochs[1], points(), norm)
    return rows


@functools.cache
def plant_noise(effect: Effect, seed: int) -> dict[str, Row]:
    """A plane across the other pixels together is far, and noise in all of them crosses it."""
    count = 8
    x = torch.zeros(200, 1, 4, 4)
    y = torch.arange(200) % 2
    x[:, 0, 0, 0] = y.float()
    heights = np.linspace(0.02, 0.7 if effect == "present" else 0.1, count)
    others = {
        "present": np.full(count, 9.0),
        "absent": np.linspace(0.35, 3.0, count)[torch.randperm(count, generator=generator(seed, "order")).numpy()],
        "reversed": np.linspace(3.0, 0.35, count),
    }[effect]
    # The pixel with the ceiling is no neighbor of the one with the class, which blur and shift move.
    networks = [Ceiling([9.0] * 5 + [float(h)], 9, float(total)) for h, total in zip(heights, others, strict=True)]
    return {"": describe_regimes([measure_snapshots(networks, x, y, Box(0.0, 1.0), seed)], seed)}


class Tempered(nn.Module):
    """Distance x_1 from the boundary, and confidence sigmoid(x_1 x_2), whose scale x_2 has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        score = (2.0 * (x[:, 0] > 0.5) - 1.0) * x[:, 1] * x[:, 2].detach() / 2
        return torch.stack([-score, score], dim=1)


@functools.cache
def plant_confidence(effect: Effect, seed: int) -> dict[str, Row]:
    stream = generator(seed, "confidence")
    x = torch.rand(200, 3, generator=stream)
    y = (x[:, 0] > 0.5).long()
    wrong = torch.arange(200) < 60
    y = torch.where(wrong, 1 - y, y)
    odd = {"present": wrong, "absent": torch.ones(200, dtype=torch.bool), "reversed": ~wrong}[effect]
    # Where the scale is not odd it is constant, and the confidence has the order of the distance.
    x[:, 2] = torch.where(odd, x[:, 2].exp() / x[:, 1].clamp(min=0.05), 1.0)
    x[:, 1] = x[:, 1] * 0.9 + 0.05
    return {"": describe_confidence(Tempered(), x, y, None, seed)}


@functools.cache
def plant_disagree(effect: Effect, seed: int) -> dict[str, Row]:
    x = torch.rand(100, 3, generator=generator(seed, "confidence"))
    scale = {"present": 0.05 + x[:, 2], "absent": 1 + 0.2 * x[:, 2], "reversed": torch.ones(100)}[effect]
    x = torch.stack([x[:, 0], 0.1 + 0.9 * x[:, 1], scale], dim=1)
    return {"": describe_confidence(Tempered(), x, (x[:, 0] > 0.5).long(), None, seed)}


@functools.cache
def plant_causes(effect: Effect, seed: int) -> dict[str, Row]:
    axis = {"present": 3, "absent": 0, "reversed": 1}[effect]
    x = points().train
    noise = torch.rand(2, 2, 2, 3, generator=generator(seed, "levels")).numpy()
    levels = np.indices((2, 2, 2, 3))[axis] + 0.1 * noise
    margins = np.vectorize(lambda level: mean_margin(Ceiling([0.1 * 2.0 ** float(level)]), x[:4]))(levels)
    return {"": explain_variance(margins)}


@functools.cache
def plant_directions(effect: Effect, seed: int) -> dict[str, Row]:
    late = {"present": (0.1, 0.3, 0.5, 0.3), "absent": (0.1, 0.3, 0.36, 0.3), "reversed": (0.1, 0.2, 0.2, 0.2)}[effect]
    factor = 1 + 0.001 * seed
    before, after = (Ceiling(heights) for heights in ((0.2, 0.4, 0.4, 0.4), [height * factor for height in late]))
    eye = torch.eye(DIMENSION)
    fields = {kind: Subspace(eye[:, [axis]]) for axis, kind in enumerate(("random", "principal", "tangent"), start=2)}
    return {"": describe_directions(Epochs((before, before, before, after), ACCURACIES), points(), fields)}


def kinked(boundary: float, kinks: Sequence[float]) -> nn.Sequential:
    """The boundary x_0 = `boundary`, and further units that switch on at given x_0 and count for nothing."""
    first, last = nn.Linear(2, 2 + len(kinks)), nn.Linear(2 + len(kinks), 2)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], *[[1.0, 0.0]] * len(kinks)]))
        first.bias.copy_(-torch.tensor([boundary, -boundary, *kinks]))
        last.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]) @ torch.eye(2, 2 + len(kinks)))
        last.bias.zero_()
    return nn.Sequential(first, nn.ReLU(), last)


@functools.cache
def plant_migration(effect: Effect, seed: int) -> dict[str, Row]:
    noise = 0.001 * seed
    at_points, at_boundary = kinked(0.3, [-0.5 + noise, 0.5, 0.45, -0.45]), kinked(noise, [-0.05, 0.02, 0.03, 0.19])
    before, after = {
        "present": (at_points, at_boundary),
        "absent": (at_points, at_points),
        "reversed": (at_boundary, at_points),
    }[effect]
    x = torch.stack([torch.arange(20) % 2 - 0.5, torch.linspace(-1, 1, 20)], dim=1)
    rows = torch.arange(20)
    samples = DataSplits(x, rows % 2, x, rows % 2, x[:0], rows, rows, ("0", "1"))
    epochs = Epochs((before, before, before, after), ACCURACIES)
    return {"": describe_migration(epochs, (0, 1, 2, 20), samples, 0.3, 2, seed)}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "mickisch2020",
    {
        **dict.fromkeys(("closer", "closer_fashion_mnist", "closer_cifar10", "closer_digits", "wrong"), plant_course),
        **dict.fromkeys(("at", "at_digits"), plant_defense),
        **dict.fromkeys(("carry", "carry_fashion_mnist", "carry_cifar10", "carry_digits"), plant_carry),
        "noise": plant_noise,
        "confidence": plant_confidence,
        "disagree": plant_disagree,
        **dict.fromkeys(("causes", "causes_digits"), plant_causes),
        "directions": plant_directions,
        "humayun2024": plant_migration,
    },
)


def test_distances_are_those_of_the_plane() -> None:
    x = points().train
    for norm, expected in (("l2", 0.4 / 2), ("linf", 0.4 / 4)):
        network = Ceiling([0.9], 4, 0.4)
        np.testing.assert_allclose(closest_distances(network, x, Box(0.0, 1.0), norm), expected, rtol=1e-4)  # type: ignore[arg-type]
        # DeepFool steps over the plane by 2 %.
        np.testing.assert_allclose(deepfool_distances(network, x, Box(0.0, 1.0), norm), 1.02 * expected, rtol=1e-4)  # type: ignore[arg-type]


def test_a_course_is_undefined_without_a_fitted_snapshot_or_enough_wrong_images() -> None:
    epochs = dataclasses.replace(ceilings(COURSES["present"], 0), train_accuracy=(0.5, 0.6, 0.7, 1.0))
    row = describe_course(epochs, points(wrong=99), min_wrong=100)
    assert np.isnan([row["ratio_fitted"], row["wrong_first"]]).all()
    assert row["ratio_first"] == pytest.approx(0.5, rel=0.02)
    assert row["wrong_count"] == 99


def test_kinks_of_a_deep_network_are_those_of_a_dense_sample() -> None:
    stream = generator(0, "kinks")
    network = MLP(widths=(12, 9)).build(3, stream).double()
    start, displacement = torch.randn(3, generator=stream).double(), 4 * torch.randn(3, generator=stream).double()
    line = start + torch.linspace(0, 1, 200_001).double()[:, None] * displacement
    with torch.no_grad():
        first = network[0](line)
        second = network[2](first.relu())
    signs = torch.cat([first > 0, second > 0], dim=1)
    assert count_kinks(network, start, displacement) == int((signs[1:] != signs[:-1]).sum()) > 5


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("confidence_and_margin", {"epochs": 2}),
        ("defended_margins", {"epochs": 2, "images": 10, "steps": 1}),
        ("directional_margins", {"epochs": 2, "images": 10}),
        ("margin_and_noise", {"epochs": 2, "steps": 1}),
        ("margin_course", {"epochs": 2, "images": 10}),
        ("margin_variance", {"epochs": 1, "images": 10, "architectures": ("network.widths=[8]",)}),
        ("region_migration", {"steps": 60, "images": 10, "segments": 1}),
    ],
)
def test_experiments_run_on_digits(kind: str, settings: dict[str, object]) -> None:
    rows = EXPERIMENTS[kind](**settings).replicate(0, Resources())
    columns = {tuple(sorted(row)) for row in rows.values()}
    assert len(columns) == 1


def test_variance_of_noise_is_explained_by_nothing() -> None:
    random = np.random.Generator(np.random.PCG64(0))
    rows = [explain_variance(np.exp(random.normal(size=(2, 3, 2, 12)))) for _ in range(400)]
    for name in ("data", "architecture", "initial_scale", "epoch", "epoch_excess"):
        assert abs(np.mean([row[name] for row in rows])) < 0.01, name
