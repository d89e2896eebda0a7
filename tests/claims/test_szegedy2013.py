"""The claims of Szegedy et al. on planted linear networks, whose boundaries are planes, and on planted kernels."""

import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.claims.experiments import EXPERIMENTS, Resources, Row
from dimple.claims.experiments.szegedy2013.distortion_table import describe_distortions
from dimple.claims.experiments.szegedy2013.distortions import measure_distortions, random_targets
from dimple.claims.experiments.szegedy2013.everywhere import describe_attacks
from dimple.claims.experiments.szegedy2013.layer_pools import describe_arms
from dimple.claims.experiments.szegedy2013.layer_products import (
    circular_matrix_norm,
    describe_stride,
    norm_error,
    printed_stride_norm,
    product_over_met,
)
from dimple.claims.experiments.szegedy2013.lipschitz_penalty import describe_penalty
from dimple.claims.experiments.szegedy2013.network_transfer import describe_transfer
from dimple.claims.experiments.szegedy2013.noise_flips import describe_noise
from dimple.claims.experiments.szegedy2013.table_networks import PAPER_DISTORTIONS, table_networks
from dimple.claims.experiments.szegedy2013.unit_coherence import describe_units
from dimple.data import DataSplits
from dimple.linalg.operator_norm import circular_convolution_norm
from dimple.tensors import Box, generator
from tests.claims.flips import Effect, flip_tests

UNIT = Box(0.0, 1.0)
SIDE = 4
PIXELS = SIDE**2


def linear(weight: Tensor, bias: Sequence[float]) -> nn.Sequential:
    layer = nn.Linear(PIXELS, len(bias))
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.tensor(bias))
    return nn.Sequential(nn.Flatten(), layer)


def step_over(height: float, direction: Tensor) -> nn.Sequential:
    """Class 0 below planes at this height, class 1 beyond that along a unit direction, class 2 along another one."""
    weight = torch.stack([torch.zeros(PIXELS), direction, direction.roll(PIXELS // 2)])
    return linear(weight, [0.0, -height, -height])


def axis(number: int) -> Tensor:
    return torch.eye(PIXELS)[number]


# The diagonal of the first half of the pixels; class 2 has that of the other half.
DIAGONAL = (torch.arange(PIXELS) < PIXELS // 2) / math.sqrt(PIXELS / 2)


def samples(count: int = 8) -> DataSplits:
    """Black images of class 0."""
    x = torch.zeros(count, 1, SIDE, SIDE)
    y = torch.zeros(count, dtype=torch.long)
    rows = torch.arange(count)
    return DataSplits(x, y, x, y, x[:0], rows, rows, ("0", "1", "2"), UNIT)


@functools.cache
def plant_distortion(effect: Effect, seed: int) -> dict[str, Row]:
    """Planes at the distortions of the paper; at the same one for all linear networks; and in the reverse order."""
    factor = 1 + 0.003 * (seed % 8 - 3.5)
    heights = dict(PAPER_DISTORTIONS)
    if effect != "present":
        linear_ones = {"absent": (0.1, 0.1, 0.1), "reversed": (0.14, 0.1, 0.062)}[effect]
        heights |= dict(zip(("fc10_weak", "fc10_medium", "fc10_strong"), linear_ones, strict=True))
        heights["fc10_medium"] *= 1 + 0.01 * (-1) ** seed
    networks = {name: step_over(SIDE * factor * height, DIAGONAL) for name, height in heights.items()}
    return {"": describe_distortions(networks, samples(2), seed, "closest")}


@functools.cache
def plant_noise(effect: Effect, seed: int) -> dict[str, Row]:
    """Noise of the length of the change has a small part along one axis, and leaves any ball of that radius."""
    x = torch.full((6, 1, SIDE, SIDE), 0.5)
    network = {"present": step_over(0.8, axis(3)), "absent": Ball(0.2, 0.21), "reversed": Ball(0.1, 0.2)}[effect]
    row = describe_noise({"fc100": network}, x, torch.zeros(6, dtype=torch.long), UNIT, 10, seed)
    return {"": row | {"flip_rate_fc10_weak": math.nan, "flip_rate_ae400": math.nan}}


class Ball(nn.Module):
    """Class 0 within a ball around nearly the gray image, class 1 in a shell around it, and class 2 beyond."""

    def __init__(self, radius: float, middle: float) -> None:
        super().__init__()
        self.radius = radius
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        length = (x.flatten(1) - 0.499).norm(dim=1)
        return torch.stack([0 * length, length - self.radius, 2 * (length - self.middle)], dim=1)


TABLE = (*PAPER_DISTORTIONS, "fc100_other_half")


@functools.cache
def plant_transfer(effect: Effect, seed: int) -> dict[str, Row]:
    """All networks step over the same axis; each over its own; or the others turn away from it."""
    data = samples(4)
    networks = {}
    for number, name in enumerate(TABLE):
        direction = axis(3) if effect == "present" else axis(number)
        networks[name] = step_over(0.2, direction)
    if effect == "reversed":
        # Noise of the size of the changes crosses the diagonal, the changes themselves do not.
        networks = {name: Opposed(number) for number, name in enumerate(TABLE)}
    return {"": describe_transfer(networks, data, rms=0.1, noise_draws=1, seed=seed)}


class Opposed(nn.Module):
    """Class 1 beyond a plane across one axis, and where the sum of the others exceeds a small number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        own = rows[:, self.number] - 0.1
        others = 0.2 * (rows.sum(1) - rows[:, self.number] - 0.6)
        beyond = torch.maximum(own, others)
        return torch.stack([torch.zeros_like(beyond), beyond, beyond], dim=1)


@functools.cache
def plant_autoencoder(effect: Effect, seed: int) -> dict[str, Row]:
    """Changes of the others reach the nearer planes across the shared axis alone."""
    heights = {name: 0.2 + 0.01 * number for number, name in enumerate(TABLE)}
    heights["ae400"] = {"present": 0.5, "absent": 0.215, "reversed": 0.1}[effect]
    networks = {name: step_over(height, axis(3)) for name, height in heights.items()}
    return {"": describe_transfer(networks, samples(4), rms=0.1, noise_draws=1, seed=seed)}


class Gain(nn.Module):
    """A function between layers whose slope is not 1."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x


@functools.cache
def plant_product(effect: Effect, seed: int) -> dict[str, Row]:
    """The bound holds for functions of slope 1, and for no steeper ones."""
    slope = {"present": 1.0, "absent": 1.02, "reversed": 10.0}[effect]
    stream = generator(seed, "product")
    # Layers whose leading directions meet, so that the product is met.
    network = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, PIXELS), Gain(slope), nn.Linear(PIXELS, 3)).double()
    with torch.no_grad():
        leading = torch.linalg.qr(torch.randn(PIXELS, PIXELS, generator=stream, dtype=torch.float64)).Q
        network[1].weight.copy_(leading * torch.linspace(2, 1, PIXELS)[:, None].double())
        network[3].weight.copy_(torch.eye(3, PIXELS))
    x = samples(2).train.double()
    row = {"norm_error": norm_error(network, x), "product_over_met": product_over_met(network, x, UNIT)}
    # At the rounding of singular values the bound is met exactly.
    row["product_over_met"] = round(row["product_over_met"], 9)
    return {"": row | {"product_over_met_null": math.nan}}


@functools.cache
def plant_stride(effect: Effect, seed: int) -> dict[str, Row]:
    kernel = torch.randn(4, 2, 3, 3, generator=generator(seed, "kernel"), dtype=torch.float64)
    stride = {"present": 1, "absent": 2, "reversed": 4}[effect]
    return {"": {**describe_stride(kernel, (8, 8), stride), "exponent": 0.0}}


@functools.cache
def plant_units(effect: Effect, seed: int) -> dict[str, Row]:
    """Features that are random directions of the classes; noise; and the classes themselves."""
    stream = generator(seed, "units")
    y = torch.arange(200) % 10
    one_hot = torch.eye(10)[y] + 0.3 * torch.randn(200, 10, generator=stream)
    x = torch.cat([one_hot, torch.randn(200, PIXELS - 10, generator=stream)], dim=1).reshape(200, 1, SIDE, SIDE)
    first = {
        "present": torch.cat([torch.randn(40, 10, generator=stream), torch.zeros(40, 6)], dim=1),
        "absent": torch.cat([torch.zeros(6, 10), torch.eye(6)], dim=1),
        "reversed": torch.eye(PIXELS)[:10],
    }[effect]
    layer = nn.Linear(PIXELS, len(first), bias=False)
    with torch.no_grad():
        layer.weight.copy_(first)
    network = nn.Sequential(nn.Flatten(), layer, nn.Linear(len(first), 10))
    return {"": describe_units(network, x, y, seed) | {"test_accuracy": math.nan}}


@functools.cache
def plant_layers(effect: Effect, seed: int) -> dict[str, Row]:
    """Linear networks that miss given numbers of the images."""
    missed = {
        "present": {"decay": 20, "dropout": 18, "input": 20, "layers": 14, "all": 12},
        "absent": {"decay": 20, "dropout": 18, "input": 19, "layers": 18, "all": 18},
        "reversed": {"decay": 20, "dropout": 18, "input": 12, "layers": 24, "all": 24},
    }[effect]
    x = torch.linspace(0, 0.99, 100)[:, None].expand(100, PIXELS).reshape(100, 1, SIDE, SIDE)
    y = torch.zeros(100, dtype=torch.long)
    rows = torch.arange(100)
    data = DataSplits(x, y, x, y, x[:0], rows, rows, ("0", "1", "2"), UNIT)
    networks = {name: step_over(1 - (count + seed % 2) / 100 - 0.005, axis(0)) for name, count in missed.items()}
    return {"": describe_arms(networks, data)}


@functools.cache
def plant_lipschitz(effect: Effect, seed: int) -> dict[str, Row]:
    factor = {"present": 1.5, "absent": 1.0, "reversed": 0.7}[effect] * (1 + 0.001 * seed)
    networks = {"penalty": step_over(0.3 * factor, axis(3)), "decay": step_over(0.3, axis(3))}
    networks["plain"] = networks["decay"]
    return {"": describe_penalty(networks, samples(2), 0.99, seed) | {"weight": 1.0, "decay": 1.0}}


@functools.cache
def plant_everywhere(effect: Effect, seed: int) -> dict[str, Row]:
    """A plane that is near, one that is far, and one that no image crosses."""
    height = {"present": 0.2, "absent": 0.99 * SIDE, "reversed": 1.5 * SIDE}[effect] * (1 - 0.001 * seed)
    networks = {"near": step_over(0.1, axis(0)), "planted": step_over(height, DIAGONAL)}
    return {"": describe_attacks(networks, samples(4).test, UNIT)}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "szegedy2013",
    {
        **dict.fromkeys(("distortion", "distortion_digits"), plant_distortion),
        "noise": plant_noise,
        **dict.fromkeys(("transfer", "transfer_digits"), plant_transfer),
        **dict.fromkeys(("autoencoder", "autoencoder_digits"), plant_autoencoder),
        "product": plant_product,
        "stride": plant_stride,
        **dict.fromkeys(("units", "units_digits"), plant_units),
        **dict.fromkeys(("layers", "layers_digits"), plant_layers),
        **dict.fromkeys(("lipschitz", "lipschitz_digits"), plant_lipschitz),
        **dict.fromkeys(("everywhere", "everywhere_cifar10", "everywhere_digits"), plant_everywhere),
    },
)


@pytest.mark.parametrize("method", ["lbfgs", "closest"])
def test_a_distortion_is_the_distance_from_the_plane_per_pixel(method: Literal["lbfgs", "closest"]) -> None:
    data = samples(4)
    found = measure_distortions(step_over(0.4, DIAGONAL), data.train, data.train_labels, UNIT, 0, method)
    np.testing.assert_allclose(found, 0.4 / SIDE, rtol=0.02)


def test_random_targets_are_neither_right_nor_predicted() -> None:
    y = torch.arange(300) % 4
    predicted = torch.arange(300) // 75
    targets = random_targets(y, predicted, 4, seed=0)
    assert not ((targets == y) | (targets == predicted)).any()
    assert set(targets.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("stride", [1, 2])
def test_norms_of_circular_convolutions_are_those_of_their_matrices(stride: int) -> None:
    kernel = torch.randn(3, 2, 3, 3, generator=generator(1, "kernel"), dtype=torch.float64)
    true = circular_matrix_norm(kernel, (6, 6), stride)
    assert true == pytest.approx(circular_convolution_norm(kernel, (6, 6), stride), rel=1e-9)
    assert printed_stride_norm(kernel, (6, 6), stride) == pytest.approx(true / stride, rel=1e-9)


def test_penalties_of_layers_are_those_of_their_units() -> None:
    def decays(penalty: Literal["divided", "half", "full"]) -> str:
        return table_networks(penalty, 1, (4, 8), 4)["fc200"][1].partition("layer_decay: ")[2]

    assert decays("divided") == "[1e-05, 1e-05, 1e-06]}"
    assert decays("half") == "[4e-05, 4e-05, 5e-06]}"
    assert decays("full") == "[8e-05, 8e-05, 1e-05]}"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("attack_everywhere", {"images": 5, "epochs": 1}),
        ("distortion_table", {"epochs": 1, "widths": (4, 6), "units": 4, "images": 5}),
        ("layer_pools", {"epochs": 1, "pool_size": 10, "refreshed": 2}),
        ("layer_products", {"epochs": 1, "images": 5}),
        ("lipschitz_penalty", {"max_epochs": 1, "train_accuracy": 0.1, "images": 5}),
        ("network_transfer", {"epochs": 1, "widths": (4, 6), "units": 4, "images": 5, "noise_draws": 1}),
        ("noise_flips", {"epochs": 1, "widths": (4, 6), "units": 4, "images": 10, "draws": 1}),
        ("unit_coherence", {"set": ("network={kind: convnet}", "training.epochs=1")}),
    ],
)
def test_experiments_run_on_digits(kind: str, settings: dict[str, object]) -> None:
    rows = EXPERIMENTS[kind](**settings).replicate(0, Resources())
    assert all(isinstance(value, float) for row in rows.values() for value in row.values())
