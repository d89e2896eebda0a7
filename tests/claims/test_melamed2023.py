"""The claims of Melamed et al. on planted networks whose gradients off a subspace, and distances, are known."""

import copy
import functools
import math

import pytest
import torch
from torch import Tensor, nn

from dimple.claims.experiments import Resources, Row
from dimple.claims.experiments.melamed2023 import initial_scale
from dimple.claims.experiments.melamed2023.principal_subspace import PrincipalSubspace, describe_divisors
from dimple.claims.experiments.melamed2023.subspace import (
    SubspaceGradient,
    describe_gradient,
    describe_slopes,
    fit_slope,
    measure_directions,
    prepare_subspace,
)
from dimple.claims.experiments.melamed2023.subspace_training import (
    SubspaceTraining,
    describe_decay,
    describe_length,
    describe_scales,
)
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene
from dimple.experiment.simulation.prepared_scene import PreparedScene
from tests.claims.flips import Effect, flip_tests

SIGN = {"present": 1.0, "absent": 0.0, "reversed": -1.0}


@functools.cache
def subspace(dim: int, codim: int, seed: int) -> PreparedScene:
    return prepare_subspace(dim, codim, ["data.sampling.count=10"], seed, Resources())


@functools.cache
def initial(dim: int, codim: int, seed: int) -> nn.Module:
    return subspace(dim, codim, seed).initial_network()


def scaled(prepared: PreparedScene, network: nn.Module, off: float = 1.0, along: float = 1.0) -> nn.Module:
    """A copy whose first layer's weights off the subspace, and along it, are multiplied."""
    changed = copy.deepcopy(network)
    assert prepared.tangents is not None
    basis = prepared.tangents.tangent_basis(prepared.samples.train[:1])[0].float()
    weight = changed.get_submodule("module.0").get_parameter("weight")
    with torch.no_grad():
        within = weight @ basis @ basis.T
        weight.copy_(off * (weight - within) + along * within)
    return changed


def plant_orthogonal(effect: Effect, seed: int) -> dict[str, Row]:
    off = {"present": 1.0, "absent": 0.7, "reversed": 0.0}[effect]
    rows = {}
    for dim, codim in ((100, 100), (20, 180), (20, 380)):
        prepared = subspace(dim, codim, seed)
        network = scaled(prepared, initial(dim, codim, seed), off)
        rows[f"{codim}"] = describe_gradient(prepared, network, scaled(prepared, network, along=2.0))
    return rows


class Saturated(nn.Module):
    """The logit +-1 on a subspace, and a slope off it."""

    def __init__(self, prepared: PreparedScene, slope: float) -> None:
        super().__init__()
        x = prepared.samples.train[:1]
        assert prepared.tangents is not None
        basis = prepared.tangents.tangent_basis(x)[0].double()
        random = torch.randn(len(basis), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        off = random - basis @ (basis.T @ random)
        self.off = nn.Parameter(slope * off / off.norm())
        self.along = nn.Parameter(1e4 * basis[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        logit = torch.tanh(x @ self.along.to(x)) + x @ self.off.to(x)
        return torch.stack([-logit / 2, logit / 2], 1)


def plant_codimension(effect: Effect, seed: int) -> dict[str, Row]:
    power = SIGN[effect] / 2

    def row(dim: int, codim: int, slope: float) -> Row:
        prepared = subspace(dim, codim, seed)
        return measure_directions(prepared, Saturated(prepared, slope * (1 + 0.01 * seed)))

    one_space = {(200 - codim, codim): row(200 - codim, codim, codim**power / 10) for codim in (50, 180)}
    one_dim = {(20, codim): row(20, codim, 1.0) for codim in (80, 380)}
    return {"": describe_slopes(one_space, one_dim)}


def plant_init(effect: Effect, seed: int) -> dict[str, Row]:
    prepared = subspace(20, 180, seed)
    network = initial(20, 180, seed)
    return {
        "": describe_scales(
            prepared, {scale: scaled(prepared, network, off=scale ** SIGN[effect]) for scale in (1.0, 0.1)}
        )
    }


def plant_decay(effect: Effect, seed: int) -> dict[str, Row]:
    prepared = subspace(20, 180, seed)
    network = initial(20, 180, seed)
    # The right labels are those of the network.
    prepared.samples.train_labels.copy_(network(prepared.samples.train.float()).argmax(1))
    steps = (0, 100, 200)

    def trajectory(power: float) -> RecordedTraining:
        networks = tuple(scaled(prepared, network, off=0.99 ** (power * step)) for step in steps)
        return RecordedTraining(steps, networks, (0.5,) * len(steps))

    return {"": describe_decay(prepared, trajectory(SIGN[effect]), trajectory(0.0), 0.01)}


def plant_length(effect: Effect, seed: int) -> dict[str, Row]:
    prepared = subspace(20, 180, seed)
    early = initial(20, 180, seed)
    off, along = {"present": (1.0, 3.0), "absent": (1.0, 1.0), "reversed": (9.0, 3.0)}[effect]
    return {"": describe_length(prepared, early, scaled(prepared, early, off, along))}


# No point is at a maximum of the waves, where their gradient vanishes.
PHASE = 0.5


class Waves(nn.Module):
    """Stripes on a diagonal of the plane, or squares on a plane of space, that lean by a tilt off the manifold."""

    def __init__(self, tilt: float, dim: int) -> None:
        super().__init__()
        self.tilt = nn.Parameter(torch.tensor(tilt))
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        if self.dim == 2:
            along = (x[:, 0] + x[:, 1]) + self.tilt * (x[:, 0] - x[:, 1])
            logit = torch.cos(1.5 * math.pi * along + PHASE)
        else:
            along = x[:, 0] + self.tilt * (x[:, 2] - 0.5)
            logit = -torch.cos(4 * math.pi * along + PHASE) * torch.cos(4 * math.pi * x[:, 1] + PHASE / 2)
        return torch.stack([-logit, logit], 1)


@functools.cache
def scene(name: str) -> PreparedScene:
    return prepare_scene(name, [], 0, Resources())


def plant_waves(name: str, dim: int, effect: Effect, seed: int) -> dict[str, Row]:
    large, small = {"present": (2.0, 0.3), "absent": (2.0, 2.0), "reversed": (0.3, 2.0)}[effect]
    noise = 1 + 0.01 * seed
    networks = {"large": Waves(large * noise, dim), "small": Waves(small, dim)}
    return {"": initial_scale.describe_scales(scene(name), networks)}


@functools.cache
def digits() -> PreparedScene:
    return prepare_scene("digits", ["data.pca=8", "data.measured=10", "data.test=100"], 0, Resources())


def plant_images(effect: Effect, seed: int) -> dict[str, Row]:
    """Linear networks of the class means, with a slope off the subspace that depends on the divisor."""
    samples = digits().samples
    assert samples.tangents is not None
    basis = samples.tangents.tangent_basis(samples.train[:1])[0]
    x = samples.train.flatten(1)
    means = torch.stack([x[samples.train_labels == number].mean(0) for number in range(10)])
    random = torch.randn(means.shape, generator=torch.Generator().manual_seed(seed))
    off = random - random @ basis @ basis.T

    def linear(divisor: float) -> nn.Module:
        layer = nn.Linear(64, 10)
        with torch.no_grad():
            layer.weight.copy_(means + off * divisor ** -SIGN[effect])
            # On the data, the part off the subspace is that of their mean.
            layer.bias.copy_(-means.square().sum(1) / 2 - (layer.weight - means) @ x.mean(0))
        return nn.Sequential(nn.Flatten(), layer)

    return {"": describe_divisors(digits(), {divisor: linear(divisor) for divisor in (0.2, 1.0, 5.0)})}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "melamed2023",
    {
        "orthogonal": plant_orthogonal,
        "codimension": plant_codimension,
        "init": plant_init,
        "decay": plant_decay,
        "diagonal": functools.partial(plant_waves, "melamed_diagonal", 2),
        "chess": functools.partial(plant_waves, "melamed_chess", 3),
        "length": plant_length,
        "mnist_digits": plant_images,
        "mnist": plant_images,
    },
)


def test_a_slope_off_a_subspace_gives_its_distance() -> None:
    prepared = subspace(20, 180, 0)
    row = measure_directions(prepared, Saturated(prepared, 0.5))
    assert row["margin_off"] == pytest.approx(2.0, rel=1e-3)


def test_the_formula_and_the_random_subspace_are_right_for_a_network_before_training() -> None:
    """A random network has no preferred direction: of 780 of 800 directions the gradient has nearly all its length."""
    prepared = subspace(20, 780, 0)
    network = initial(20, 780, 0)
    row = describe_gradient(prepared, network, network)
    assert row["law"] == pytest.approx(1.0, abs=0.06)
    assert row["law_random"] == pytest.approx(1.0, abs=0.06)
    assert row["weight_change"] == 0.0


@pytest.mark.parametrize("tilt", [0.3, 2.0])
def test_leaning_waves_have_their_distances_and_their_angle(tilt: float) -> None:
    for name, dim, length in (("melamed_diagonal", 2, math.sqrt(2) / 3), ("melamed_chess", 3, 1 / 4)):
        found = initial_scale.measure(scene(name), Waves(tilt, dim))
        distance = length * (0.5 - PHASE / math.pi)
        assert found["on"] == pytest.approx(distance, rel=1e-3)
        assert found["off"] == pytest.approx(distance / tilt, rel=1e-3)
        assert found["crossing"] == pytest.approx(tilt**2 / (1 + tilt**2), rel=1e-3)


def test_upright_waves_have_no_boundary_off_the_line() -> None:
    row = initial_scale.describe_scales(scene("melamed_diagonal"), {"large": Waves(2.0, 2), "small": Waves(0.0, 2)})
    assert row["off_growth"] == math.inf


def test_a_slope_needs_positive_finite_numbers() -> None:
    assert fit_slope([1.0, 4.0], [3.0, 6.0]) == pytest.approx(0.5)
    assert all(math.isnan(fit_slope([1.0, 4.0], [3.0, bad])) for bad in (0.0, math.inf, math.nan))


def test_small_runs_of_the_experiments_give_numbers_in_all_columns() -> None:
    small = PrincipalSubspace(images=10, epochs=1, divisors=(0.2, 1.0), set=("data.subset=200", "data.test=100"))
    gradient = SubspaceGradient(ambient_dim=40, codimensions=(20, 30), data_dim=10, data_codimensions=(30, 50))
    training = SubspaceTraining(decay_steps=50, longer=2)
    for experiment, parts in ((small, 1), (gradient, 3), (training, 1)):
        rows = experiment.replicate(0, Resources())
        assert len(rows) == parts
        assert not any(math.isnan(value) for row in rows.values() for value in row.values())
