"""The claims of Xu et al. on planted networks whose margins, and speeds, are known."""

import functools
import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments import Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene
from dimple.claims.experiments.xu2023.conflicting_speeds import ConflictingSpeeds, describe_signs
from dimple.claims.experiments.xu2023.robust_training import BASELINES, VARIANTS, Arm, RobustTraining
from dimple.claims.experiments.xu2023.speed_formula import SpeedFormula, describe_formula, describe_soft_margins
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.training.objectives import BoundaryAware
from tests.claims.flips import Effect, flip_tests

SIGN = {"present": 1.0, "absent": 0.0, "reversed": -1.0}


NORMS: tuple[Literal["l2", "linf"], ...] = ("l2", "linf")


def prefixed(**rows: Row) -> dict[str, Row]:
    """The columns of several rows in one, each behind the name of its row."""
    return {"": {f"{name}_{column}": value for name, row in rows.items() for column, value in row.items()}}


def gaussian(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class SignedGradient(nn.Module):
    """A half-space, whose gradient for its weights has another sign."""

    def __init__(self, normal: Tensor, sign: float) -> None:
        super().__init__()
        self.normal = nn.Parameter(normal, requires_grad=False)
        self.sign = sign

    def forward(self, x: Tensor) -> Tensor:
        normal = self.sign * self.normal + (1 - self.sign) * self.normal.detach()
        logit = x @ normal - 0.3
        return torch.stack([-logit, logit], 1)


def plant_speed(effect: Effect, seed: int) -> dict[str, Row]:
    x = gaussian(20, 6, seed=seed)
    normal = gaussian(6, seed=seed + 100)
    # No coordinate of the normal changes its sign, where the margin in l-infinity has a kink.
    boundary = Boundary(SignedGradient(normal + normal.sign() / 2, SIGN[effect]).eval())
    direction = {"normal": gaussian(6, seed=seed + 200)}
    y = boundary.predict(x)
    l2, linf = (describe_formula(boundary, x, y, direction, norm, seed) for norm in NORMS)
    return prefixed(l2=l2, linf=linf)


class TiedScores(nn.Module):
    """A class against three others of equal scores, with a logit that grows with a power of the distance."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        logit = x[:, :1].sign() * x[:, :1].abs() ** self.power
        return torch.cat([logit, torch.zeros_like(logit).expand(-1, 3)], 1)


def plant_soft(effect: Effect, seed: int) -> dict[str, Row]:
    power = {"present": 1.0, "absent": 3.0, "reversed": 5.0}[effect]
    x = torch.cat([2 + gaussian(10, 1, seed=seed).abs(), gaussian(10, 2, seed=seed)], 1)
    y = torch.zeros(10, dtype=torch.long)
    l2, linf = (describe_soft_margins(Boundary(TiedScores(power)), x, y, (1.25, 2.5, 5.0), norm) for norm in NORMS)
    return prefixed(l2=l2, linf=linf)


class Band(nn.Module):
    """Class 0 in a band, class 1 on both sides of it."""

    def __init__(self, center: float = 0.0, edge: float = 1.0) -> None:
        super().__init__()
        self.center = nn.Parameter(torch.tensor(center, dtype=torch.float64))
        self.edge = nn.Parameter(torch.tensor(edge, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        logit = (x[:, 0] - self.center).abs() - self.edge
        return torch.stack([-logit, logit], 1)


NARROWER = {"center": torch.tensor(0.0), "edge": torch.tensor(-1.0)}
MOVED = {"center": torch.tensor(1.0), "edge": torch.tensor(0.0)}


def plant_signs(
    effect: Effect, seed: int, later: Band | None = None, **directions: dict[str, Tensor]
) -> dict[str, Row]:
    distances = 0.09 * torch.rand(40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.005
    x = torch.stack([(1 + distances) * torch.tensor([-1.0, 1.0]).repeat(20), distances], 1)
    boundary = Boundary(Band().requires_grad_(False).eval())
    named = {"adversarial": MOVED, "clean": MOVED, "boundary_aware": MOVED, "random": MOVED} | directions
    y = torch.ones(40, dtype=torch.long)
    row = describe_signs(boundary, Boundary(later or Band()), named, x, y, eps=0.1)
    row |= {f"{column}_unseen": value for column, value in row.items()}
    return prefixed(natural=row, robust=row)


def plant_conflict(effect: Effect, seed: int) -> dict[str, Row]:
    return plant_signs(effect, seed, adversarial=MOVED if effect == "present" else NARROWER)


def plant_epoch(effect: Effect, seed: int) -> dict[str, Row]:
    return plant_signs(effect, seed, Band(0.01, 1.0) if effect == "present" else Band(0.0, 0.9))


def plant_dyart(effect: Effect, seed: int) -> dict[str, Row]:
    first, second = {"present": (MOVED, NARROWER), "absent": (MOVED, MOVED), "reversed": (NARROWER, MOVED)}[effect]
    return plant_signs(effect, seed, adversarial=first, boundary_aware=second)


@functools.cache
def digits() -> PreparedScene:
    return prepare_scene("digits", ["data.measured=20", "data.test=100"], 0, Resources())


def linear(noise: float, seed: int) -> nn.Module:
    """The linear network of the class means, whose margins are smaller with noise in its weights."""
    samples = digits().samples
    x = samples.train.flatten(1)
    means = torch.stack([x[samples.train_labels == number].mean(0) for number in range(10)])
    off = gaussian(10, 64, seed=seed).float()
    layer = nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.copy_(means + noise * off)
        layer.bias.copy_(-means.square().sum(1) / 2 - noise * off @ x.mean(0))
    return nn.Sequential(nn.Flatten(), layer)


def plant_robust(
    others: tuple[Arm, ...], effect: Effect, seed: int, certify: bool = False, long: bool = False
) -> dict[str, Row]:
    own, other = {"present": (0.0, 0.3), "absent": (0.1, 0.1), "reversed": (0.3, 0.0)}[effect]
    experiment = RobustTraining(attacks=("apgd_ce",), attack_steps=3, certify=certify)
    networks: dict[Arm, nn.Module] = {"boundary_aware": linear(own, seed)}
    networks |= {arm: linear(other, seed) for arm in others}
    row = experiment.describe(digits(), networks, {arm: networks[arm] for arm in BASELINES} if long else {})
    return {"": row | {f"seconds_{arm}": 1.0 for arm in networks}}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "xu2023",
    {
        "speed": plant_speed,
        "soft": plant_soft,
        "conflict": plant_conflict,
        "conflict_epoch": plant_epoch,
        "dyart_digits": plant_dyart,
        "dyart": plant_dyart,
        "robust_digits": functools.partial(plant_robust, ("standard", *BASELINES)),
        "robust": functools.partial(plant_robust, ("standard", *BASELINES), certify=True, long=True),
        "weights": functools.partial(plant_robust, VARIANTS),
    },
)


def test_the_soft_margin_of_equal_scores_is_its_formula() -> None:
    """At log(3) / beta of the logit, so that the differences reach their bound and have the slope -1."""
    row = plant_soft("present", 0)[""]
    for norm in NORMS:
        assert row[f"{norm}_soft_slope"] == pytest.approx(-1.0, abs=0.01)
        assert row[f"{norm}_soft_within_bound"] == row[f"{norm}_soft_below"] == 1.0


def test_a_band_that_moves_comes_nearer_to_the_points_on_one_side() -> None:
    row = plant_signs("present", 0, Band(0.001, 1.0), clean=NARROWER)[""]
    assert row["natural_vulnerable"] == 1.0
    assert (
        row["natural_negative_adversarial"] == row["natural_fell"] == row["robust_negative_adversarial_unseen"] == 0.5
    )
    assert row["natural_negative_clean"] == 0.0


def test_the_robust_accuracy_of_a_linear_network_is_its_closed_form() -> None:
    experiment = RobustTraining(certify=True)
    samples = digits().samples
    x, y = samples.test[samples.test_rows], samples.test_labels[samples.test_rows]
    network = linear(0.1, 0)
    row = experiment.measure(network, x, y, None)
    layer = network[1]  # type: ignore[index]
    scores = network(x).detach()
    slopes = (layer.weight[y][:, None] - layer.weight).abs().sum(2)
    own = nn.functional.one_hot(y, 10).bool()
    margin = ((scores.gather(1, y[:, None]) - scores) / slopes.detach()).masked_fill(own, math.inf).amin(1)
    expected = sum(float((margin > 0.1 * radius).double().mean()) for radius in (0.25, 0.5, 1.0, 1.5, 2.0)) / 5
    assert row["robust"] == pytest.approx(expected, abs=1e-6)
    assert row["certified"] == pytest.approx(expected, abs=1e-6)


def test_the_settings_of_the_authors_are_in_units_of_the_radius() -> None:
    objective = RobustTraining(eps=8 / 255).objective("boundary_aware")
    assert isinstance(objective, BoundaryAware)
    assert (objective.weight, objective.alpha, objective.cutoff) == pytest.approx((1000, 3, 16 / 255))


def test_small_runs_of_the_experiments_give_numbers_in_all_columns() -> None:
    few = ("data.subset=100", "data.test=40")
    formula = SpeedFormula(epochs=1, images=10, norms=("l2",))
    speeds = ConflictingSpeeds(images=20, natural_epochs=2, robust_epochs=1, set=few)
    arms: tuple[Arm, ...] = ("standard", *BASELINES, "boundary_aware", *VARIANTS)
    training = RobustTraining(
        arms=arms,
        epochs=2,
        first_epochs=1,
        images=10,
        attacks=("apgd_ce",),
        attack_steps=2,
        equal_seconds=True,
        set=few,
    )
    assert not math.isnan(formula.replicate(0, Resources())[""]["l2_order"])
    columns = speeds.replicate(0, Resources())[""].keys()
    assert {f"{name}_less_negative{end}" for name in ("natural", "robust") for end in ("", "_unseen")} <= columns
    row = training.replicate(0, Resources())[""]
    assert not any(math.isnan(value) for value in row.values())
    assert {f"loss_{arm}" for arm in VARIANTS} | {"gain", "gain_equal_seconds", "gain_adversarial"} <= row.keys()
