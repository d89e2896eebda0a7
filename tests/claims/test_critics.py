"""The claims of the critics on planted networks, data and weights, and the measured quantities in closed form."""

import dataclasses
import functools
import math

import pytest
import torch
from torch import Tensor, nn

from dimple.claims.experiments import Row
from dimple.claims.experiments.critics.eigenspaces import attack_eigenspaces, eigenspaces
from dimple.claims.experiments.critics.error_distillation import compare_arms
from dimple.claims.experiments.critics.frequency import (
    class_variances,
    compare_profiles,
    flip_frequencies,
    margin_profile,
)
from dimple.claims.experiments.critics.manifold_attacks import Renderer, compare_attacks, standardization
from dimple.claims.experiments.critics.slow_directions import SlowDirections, describe_regression
from dimple.claims.experiments.critics.step_artefact import compare_searches, greedy_distance
from dimple.claims.experiments.critics.tangent_noise import compare_noise
from dimple.claims.experiments.trained_scene import RecordedTraining
from dimple.data.mnist1d import MNIST1D, Signals
from dimple.probes.subspaces import Subspace, dct_bands
from dimple.tangents import AutoencoderJacobian
from dimple.tensors import generator
from tests.claims.flips import Effect, flip_tests

CLASSES = 10


class RightWithProbability(nn.Module):
    """A network of samples (class, u) that is right where u is below a probability."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        shift = (x[:, 1] >= self.probability).long()
        return nn.functional.one_hot((x[:, 0].long() + shift) % CLASSES, CLASSES).float()


def linear(weight: Tensor, constant: float = 0.0) -> nn.Module:
    """Return a network with the scores -s / 2 and s / 2 of s = w x + c."""
    layer = nn.Linear(weight.numel(), 2)
    layer.weight.data = torch.stack([-weight.flatten(), weight.flatten()]) / 2
    layer.bias.data = torch.tensor([-constant, constant]) / 2
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False)


def plant_arms(seed: int, accuracies: tuple[float, float, float]) -> dict[str, Row]:
    u = torch.rand(500, generator=generator(seed, "u"))
    y = torch.arange(500) % CLASSES
    networks = dict(zip(("random", "next", "errors"), map(RightWithProbability, accuracies), strict=True))
    networks["permuted"] = RightWithProbability(0.1)
    return {"": compare_arms(networks, torch.stack([y.float(), u], 1), y)}


def plant_wallace(effect: Effect, seed: int) -> dict[str, Row]:
    return plant_arms(
        seed, {"present": (0.6, 0.5, 0.5), "absent": (0.6, 0.5, 0.1), "reversed": (0.6, 0.5, 0.3)}[effect]
    )


@functools.cache
def plant_ilyas(effect: Effect, seed: int) -> dict[str, Row]:
    return plant_arms(
        seed, {"present": (0.6, 0.4, 0.5), "absent": (0.1, 0.1, 0.1), "reversed": (0.3, 0.6, 0.5)}[effect]
    )


@functools.cache
def signals() -> tuple[Renderer, Signals]:
    source = MNIST1D(train=100, test=40)
    train, test = source.draw(0)
    return Renderer(source, *standardization(source, train)), test


class NearSignals(nn.Module):
    """A network that leaves the class of the nearest known signal at a distance along a direction of its own."""

    def __init__(self, test: Signals, distances: Tensor, directions: Tensor) -> None:
        super().__init__()
        self.x = test.x.float()
        self.y = test.y
        self.distances = distances.float()
        self.directions = directions.float()

    def forward(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x.detach(), self.x).argmin(1)
        left = self.distances[nearest] - ((x - self.x[nearest]) * self.directions[nearest]).sum(1)
        right = nn.functional.one_hot(self.y[nearest], CLASSES)
        return right * left[:, None]


def plant_attacks(
    seed: int, errors: tuple[float, ...], successes: tuple[float, ...], directions: Tensor | None = None
) -> dict[str, Row]:
    renderer, test = signals()
    networks = {}
    stream = generator(seed, "directions")
    for size, error, success in zip((100, 300, 1000), errors, successes, strict=True):
        # The first ones are wrong, and the next ones are as near to the boundary as the last ones are far.
        rank = torch.arange(len(test.x)) / len(test.x)
        near = rank < error + (1 - error) * success
        distances = torch.where(rank < error, -1.0, torch.where(near, 1e-3, 1e3))
        random = torch.randn(test.x.shape, generator=stream, dtype=torch.float64)
        chosen = nn.functional.normalize(random if directions is None else directions, dim=1)
        networks[size] = NearSignals(test, distances, chosen)
    return {"": compare_attacks(networks, renderer, test, 0.3, 0.1, 10.0)}


def plant_success(effect: Effect, seed: int) -> dict[str, Row]:
    success = {"present": (0.9, 0.6, 0.3), "absent": (0.5, 0.5, 0.5), "reversed": (0.3, 0.6, 0.9)}[effect]
    return plant_attacks(seed, (0.6, 0.4, 0.2), success)


def plant_orthogonal(effect: Effect, seed: int) -> dict[str, Row]:
    _, test = signals()
    random = torch.randn(test.x.shape, generator=generator(seed, "orthogonal"), dtype=torch.float64)
    tangent = torch.einsum("bnd,bmd,bm->bn", test.basis, test.basis, random)
    direction = {"present": random - tangent, "absent": random, "reversed": tangent}[effect]
    return plant_attacks(seed, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), direction)


def plant_eigenspaces(effect: Effect, seed: int) -> dict[str, Row]:
    weight = {"present": (1.0, 0.0), "absent": (1.0, 1.0), "reversed": (0.0, 1.0)}[effect]
    full = torch.zeros(8)
    full[0], full[7] = weight
    x = 0.3 + torch.rand(40, 8, generator=generator(seed, "x"))
    axes = torch.eye(8).double()
    bases = {"top": axes[None, :, :2].repeat(2, 1, 1), "bottom": axes[None, :, 6:].repeat(2, 1, 1)}
    return {"": attack_eigenspaces(linear(full), x, torch.ones(40).long(), bases, 2.0, seed)}


@functools.cache
def spectral_images(seed: int) -> tuple[Tensor, Tensor, dict[str, Subspace]]:
    """Return images of two classes that differ most in low frequencies, which is their weight too."""
    bands = dct_bands((1, 8, 8), 2, 1)
    stream = generator(seed, "weights")
    weight = torch.zeros(64, dtype=torch.float64)
    for rank, band in enumerate(bands.values()):
        weight += 2.0**-rank * band.basis @ torch.randn(4, generator=stream, dtype=torch.float64)
    y = torch.arange(20) % 2
    x = 0.01 * torch.randn(20, 64, generator=stream, dtype=torch.float64) + (2.0 * y[:, None] - 1) * weight
    return x.reshape(20, 1, 8, 8).float(), y, bands


@functools.cache
def plant_frequency(effect: Effect, seed: int) -> dict[str, Row]:
    x, y, bands = spectral_images(seed)
    clean = x[y == 1].mean(0, keepdim=True)
    flipped = flip_frequencies(clean)
    random = torch.randn(clean.shape, generator=generator(seed, "random"))
    weights = {"present": (clean, flipped), "absent": (random, clean), "reversed": (flipped, flipped)}[effect]
    networks = {"clean": weights[0], "flipped": weights[1], "other": weights[0]}
    rows = torch.ones_like(y)
    profiles = {
        name: margin_profile(linear(weight), weight + 0 * x, rows, bands, 15.0) for name, weight in networks.items()
    }
    return {"": compare_profiles(profiles, class_variances(x, y, bands)) | {"accuracy_flipped": 1.0}}


@functools.cache
def plant_regression(effect: Effect, seed: int) -> dict[str, Row]:
    """Plant weights that reach their end at step 2 in the wide direction and late in the narrow one, or the reverse."""
    steps = (0, 1, 2, 4, 20, 100, 400, 1000)
    late = {"present": (2, 400), "absent": (2, 2), "reversed": (400, 2)}[effect]
    final = {"present": (0.5, 120.0), "absent": (0.5, 120.0), "reversed": (2000.0, 120.0)}[effect]
    networks = []
    for step in steps:
        weight = torch.zeros(10)
        weight[0] = final[0] * (step >= late[0]) + 0.1
        weight[5] = final[1] * (step >= late[1])
        networks.append(linear(weight))
    x, y = SlowDirections().draw(0.05, generator(seed, "regression"))
    row = describe_regression(RecordedTraining(steps, tuple(networks), (0.0,) * len(steps)), 5, x, y, 0.1)
    return {"": row | {name + "_null": 0.0 for name in ("slowness", "robust_gain")} | {"robust_newton": math.nan}}


def plant_noise(effect: Effect, seed: int) -> dict[str, Row]:
    robust = {"present": (1.0, 0.3), "absent": (0.5, 0.5), "reversed": (0.3, 1.0)}[effect]
    networks = {"standard": linear(torch.tensor([1.0, 1.0])), "robust": linear(torch.tensor(robust))}
    x = torch.randn(30, 2, generator=generator(seed, "x"))
    return {"": compare_noise(networks, x, Subspace(torch.eye(2)[:, :1]), 0.1, 3, seed)}


def plant_steps(on_ratio: float, reconstruction: float, seed: int) -> dict[str, Row]:
    """Plant a half-space at distance 1, a tangent line along which it is at `on_ratio`, and its distance."""
    tangent = torch.tensor([1 / on_ratio, math.sqrt(1 - 1 / on_ratio**2), 0.0])
    away = torch.tensor([0.0, 0.0, reconstruction * (1 + 0.01 * seed)])
    field = AutoencoderJacobian(lambda x: x @ tangent[:, None], lambda z: z * tangent + away, tolerance=1.0)
    x = torch.tensor([[0.0, 0.0, 0.0]]).repeat(5, 1)
    network = linear(torch.tensor([-1.0, 0.0, 0.0]), 1.0)
    return {"": compare_searches(network, x, torch.ones(5).long(), field, None, 20.0)}


def plant_step_length(effect: Effect, seed: int) -> dict[str, Row]:
    # Steps of 3 and of 3/4 arrive at 3 and 9/4, but at 6 and 21/4 both times 7/8 of a free path.
    return plant_steps({"present": 1.6, "absent": 4.7, "reversed": 5.1}[effect], 1.0, seed)


def plant_reconstruction(effect: Effect, seed: int) -> dict[str, Row]:
    return plant_steps(1.6, {"present": 2.0, "absent": 0.5, "reversed": 0.1}[effect], seed)


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "critics",
    {
        "wallace2019": plant_wallace,
        "ilyas2019_digits": plant_ilyas,
        "ilyas2019": plant_ilyas,
        "stutz2019_success": plant_success,
        "stutz2019_orthogonal": plant_orthogonal,
        "xiao2022": plant_eigenspaces,
        "ortiz2020_flip_digits": plant_frequency,
        "ortiz2020_bands_digits": plant_frequency,
        "ortiz2020_flip": plant_frequency,
        "ortiz2020_bands": plant_frequency,
        "haldar2024_slow": plant_regression,
        "haldar2024_long": plant_regression,
        "srinivas2023": plant_noise,
        "karner2023_steps": plant_step_length,
        "karner2023_reconstruction": plant_reconstruction,
    },
)


def test_a_latent_code_renders_its_own_signal() -> None:
    renderer, test = signals()
    codes = renderer.encode(test)
    assert torch.allclose(renderer.decode(codes), test.x, atol=1e-9)
    assert float(codes[:, :4].abs().max()) <= 1


def test_steps_of_fixed_length_end_behind_the_boundary() -> None:
    network = linear(torch.tensor([-1.0, 0.0]), 1.0)
    x = torch.zeros(1, 2)
    assert float(greedy_distance(network, x, torch.tensor([1]), 0.3)) == pytest.approx(1.2)
    along = torch.tensor([[[0.6], [0.8]]])
    assert float(greedy_distance(network, x, torch.tensor([1]), 0.3, along)) == pytest.approx(1.8)


def test_reversed_frequencies_move_a_band_to_the_other_end() -> None:
    bands = list(dct_bands((1, 8, 8), 2, 2).values())
    image = bands[0].basis[:, 1].reshape(1, 1, 8, 8)
    moved = flip_frequencies(image).flatten()
    assert float((bands[-1].basis.T @ moved).norm()) == pytest.approx(float(image.norm()))


def test_eigenspaces_of_a_class_are_its_own_axes() -> None:
    stream = generator(0, "clouds")
    cloud = torch.randn(400, 2, generator=stream) * torch.tensor([3.0, 0.1])
    x = torch.cat([cloud, cloud.flip(1)])
    bases = eigenspaces(x, torch.arange(800) // 400, 1)
    assert bases["top"].abs().squeeze(2).round(decimals=1).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_margins_in_directions_of_a_linear_network_are_in_closed_form() -> None:
    row = plant_eigenspaces("absent", 0)[""]
    assert row["margin_ratio"] == pytest.approx(1.0, rel=1e-4)
    assert row["difference"] == 0.0


def test_settings_of_the_experiments_are_plain() -> None:
    assert dataclasses.asdict(SlowDirections())["steps"] == 4000
