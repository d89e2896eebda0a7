"""The speed along objectives, against closed forms of a half-space and against one small step of training."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.boundary import Boundary
from dimple.errors import UsageError
from dimple.experiment import ProbeConfig, probe
from dimple.experiment.probing.config import ALONG
from dimple.experiment.probing.speed_along import (
    directions_along,
    make_losses,
    measure_speeds_along,
    objectives_along,
    split_samples,
)
from dimple.networks import MLP
from dimple.probes import Margin, Speed
from dimple.runs.atomic_io import read_table
from dimple.tensors import generator
from dimple.training import SGD, Stop, Training

EPS = 0.3


def samples(network: nn.Module, count: int = 40) -> tuple[Tensor, Tensor]:
    """Samples with the classes that the network gives them, a few of them wrong."""
    x = torch.randn(count, 3, generator=generator(0, "x"), dtype=torch.float64)
    y = network(x).argmax(1)
    y[::9] = 1 - y[::9]
    return x, y


def half_space() -> nn.Linear:
    layer = nn.Linear(3, 2).double().eval().requires_grad_(False)
    layer.weight.copy_(torch.tensor([[-0.5, 0.2, 0.1], [0.9, -0.4, 0.3]]))
    layer.bias.copy_(torch.tensor([0.1, -0.1]))
    return layer


def smooth_network() -> nn.Module:
    network = MLP(widths=(16, 16), activation="tanh", first_layer_weight_scale=2.0).build(3, generator(3, "network"))
    return network.double().eval().requires_grad_(False)


def loss_of_margins(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor, kind: str) -> Tensor:
    """The objectives of a half-space as functions of its weights, by formula."""
    gap = weight[1] - weight[0]
    margin = (2 * y - 1) * (x @ gap + bias[1] - bias[0])
    if kind == "adversarial":
        margin = margin - EPS * gap.norm()
    loss = functional.softplus(-margin).mean()
    if kind == "boundary_aware":
        distance = margin / gap.norm()
        alpha, cutoff, factor = 3 * 8 / 255 / EPS, 2 * EPS, 1000 * 8 / 255 / EPS
        counts = (distance > 0) & (distance < cutoff)
        h = (torch.exp(-alpha * distance) - math.exp(-alpha * cutoff)) / alpha
        loss = loss + factor * torch.where(counts, h, 0.0).mean()
    return loss


@pytest.mark.parametrize("kind", ["clean", "adversarial", "boundary_aware"])
def test_the_speeds_of_a_half_space_are_those_of_its_formula(kind: str) -> None:
    network = half_space()
    x, y = samples(network)
    weight, bias = (p.detach().clone().requires_grad_() for p in network.parameters())
    gradients = torch.autograd.grad(loss_of_margins(weight, bias, x, y, kind), [weight, bias])

    def signed_margin(time: Tensor) -> Tensor:
        moved_weight, moved_bias = weight.detach() - time * gradients[0], bias.detach() - time * gradients[1]
        gap = moved_weight[1] - moved_weight[0]
        return (2 * y - 1) * (x @ gap + moved_bias[1] - moved_bias[0]) / gap.norm()

    margin = signed_margin(torch.tensor(0.0))
    exact = torch.autograd.functional.jacobian(signed_margin, torch.tensor(0.0, dtype=torch.float64))
    losses = make_losses((kind,), "l2", EPS, (x, y), None, 0)
    directions = directions_along(network, losses, seed=0)
    boundary = Boundary(network)
    speed = Speed(search=Margin())
    found = speed.rates(boundary, x, y, speed.margin(boundary, x, y), [directions[kind]])[:, 0]
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-5)
    statistics, rows = measure_speeds_along(boundary, directions, x, y, Margin(), EPS)
    share = float((exact[margin > 0] < 0).double().mean())
    assert statistics[f"speed_negative_fraction_{kind}"] == pytest.approx(share)
    groups = [row for row in rows if (row["along"], row["boundary"], row["group"]) == (kind, "exact", "radius")]
    assert [row["margin_from"] for row in groups] == pytest.approx([0.0, 0.15, 0.3, 0.45, 0.6])
    for row in groups:
        inside = (margin >= row["margin_from"]) & (margin < row["margin_to"])
        assert row["samples"] == int(inside.sum())
        if row["samples"]:
            assert row["negative"] == pytest.approx(float((exact[inside] < 0).double().mean()))
    assert {row["along"] for row in rows} == {kind, "random"}


@pytest.mark.parametrize("kind", ALONG)
def test_a_small_step_of_training_moves_the_margins_as_the_speeds_say(kind: str) -> None:
    network = smooth_network()
    x, y = samples(network)
    losses = make_losses((kind,), "l2", EPS, (x, y), None, 0)
    direction = directions_along(network, losses, seed=0)[kind]
    probe_margin = Margin(max_passes=150.0)
    boundary = Boundary(network)
    speed = Speed(search=probe_margin)
    found = speed.margin(boundary, x, y)
    rates = speed.rates(boundary, x, y, found, [direction])[:, 0]
    moved = copy.deepcopy(network).requires_grad_(True)
    # The length of the step, not its rate, must be small.
    rate = 1e-4 / float(torch.cat([part.flatten() for part in direction.values()]).norm())
    training = Training(objective=objectives_along("l2", EPS)[kind], optimizer=SGD(lr=rate), stop=Stop(steps=1))
    training.fit(moved, x, y, [], lambda *_: None)
    after = Boundary(moved.requires_grad_(False))
    change = (speed.margin(after, x, y).columns["margin"] - found.columns["margin"]) / rate
    # Training draws another random start for trades than the measurement.
    close = (change - rates).abs() < 0.05 * rates.abs() + 0.02 * float(rates.abs().median())
    assert float(close.double().mean()) > 0.9
    assert float((change.sign() == rates.sign()).double().mean()) >= 0.95


def test_the_batch_and_the_unseen_samples_have_no_row_in_common() -> None:
    one = split_samples({"test": torch.arange(50)}, 16)
    assert not set(one["batch"][1].tolist()) & set(one["unseen"][1].tolist())
    assert len(one["batch"][1]) == len(one["unseen"][1]) == 16
    two = split_samples({"train": torch.arange(9), "test": torch.arange(50)}, 16)
    assert two["batch"][0] == "train" and len(two["batch"][1]) == 9 and two["unseen"][0] == "test"


def test_a_measurement_compares_four_objectives_of_one_network(tmp_path: Path) -> None:
    config = ProbeConfig(
        model="digits_convnet",
        data="digits",
        probes=("margin", "speed"),
        along=ALONG,
        eps=(0.3,),
        samples=24,
        split="both",
    )
    run = probe(config, tmp_path / "run", device="cpu")
    rows = run.info["summary"]["rows"]
    assert [row["split"] for row in rows] == ["train", "test"]
    for row in rows:
        for kind in (*ALONG, "random"):
            assert 0 <= row[f"speed_negative_fraction_{kind}"] <= 1
    columns, _ = read_table(tmp_path / "run" / "speed.parquet")
    assert set(columns["along"]) == {*ALONG, "random"} and set(columns["samples_of"]) == {"batch", "unseen"}
    # The loss on the batch falls: the boundary leaves more of its samples than it approaches.
    assert rows[0]["speed_negative_fraction_boundary_aware"] < 0.5
    assert "--along clean --along adversarial" in config.command


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"along": ("clear",), "eps": (0.1,)}, "--along is clear; did you mean 'clean'"),
        ({"along": ("clean",)}, "needs --eps, the training radius"),
        ({"along": ("clean",), "eps": (0.1,), "probes": ("margin",)}, "--along belongs to --probe speed"),
        ({"along": ("clean",), "eps": (0.1,), "norm": "l1"}, "--norm is l1, and the objectives of --along"),
        ({}, "--probe speed compares the steps of a series"),
    ],
)
def test_settings_that_do_not_fit_are_answered_by_a_sentence(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProbeConfig(**({"probes": ("speed",)} | changes))  # type: ignore[arg-type]
