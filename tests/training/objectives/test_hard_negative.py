"""Pools of adversarial examples, compared with the closed form of a linear network."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from dimple.boundary.boundary import compute_logit_margin
from dimple.errors import SceneError
from dimple.networks import MLP
from dimple.tensors import Box, generator
from dimple.training import Training
from dimple.training.objectives import Batch, HardNegative, Objective
from dimple.training.schedules import Schedule, Stop


def train_first(network: nn.Module, own: Objective, stop: Stop | None, schedule: Schedule | None = None) -> nn.Module:
    raise AssertionError


def make_batch(classes: int = 2, n: int = 5, count: int = 30) -> Batch:
    stream = generator(0, "points")
    x = torch.randn(count, n, generator=stream, dtype=torch.float64)
    return Batch(x, torch.randint(0, classes, (count,), generator=stream), lambda: generator(0, "step"))


def mlp(classes: int = 3, seed: int = 0) -> nn.Sequential:
    hidden = MLP(widths=(16, 8)).build(5, generator(0, "network"))[:4]
    head = nn.Linear(8, classes)
    for name, parameter in head.named_parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator(seed, "head", name)) / 3
    return nn.Sequential(*hidden, head).double()


def test_of_a_linear_network_the_entries_are_the_projections_onto_its_boundary() -> None:
    network = nn.Sequential(nn.Linear(5, 2)).double()
    objective = HardNegative(layers=("input",), pool_size=12, refreshed=12)
    batch = objective.prepare(network, make_batch(), train_first)
    assert all(bool((row == make_batch().x).all(1).any()) for row in batch.memory["input/x"])
    objective.loss(network, batch)
    x = batch.x
    scores = network(x).detach()
    gap = (network[0].weight[1] - network[0].weight[0]).detach()
    projected = x - ((scores[:, 1] - scores[:, 0]) / gap.square().sum())[:, None] * gap
    expected = torch.where((scores.argmax(1) == batch.y)[:, None], projected, x)
    for row, label in zip(batch.memory["input/x"], batch.memory["input/y"], strict=True):
        distance, index = (expected - row).norm(dim=1).min(0)
        assert float(distance) < 1e-3 * float(gap.norm()) + 0.1 * float((x[index] - row).norm())
        assert int(label) == int(batch.y[index])


# With heads 2, 11 and 25 DeepFool misses the boundary for samples of the step.
@pytest.mark.parametrize("seed", [0, 2, 11, 25])
def test_a_step_replaces_entries_of_each_pool_by_points_on_the_boundary_of_the_layers_above(seed: int) -> None:
    network = mlp(seed=seed)
    objective = HardNegative(pool_size=40, refreshed=5)
    batch = objective.prepare(network, make_batch(3), train_first)
    assert {name: tuple(t.shape) for name, t in batch.memory.items() if name.endswith("x")} == {
        "input/x": (40, 5),
        "1/x": (40, 16),
        "2/x": (40, 8),
    }
    before = {name: tensor.clone() for name, tensor in batch.memory.items()}
    objective.loss(network, batch)
    for layer, start in (("input", 0), ("1", 2), ("2", 4)):
        changed = (batch.memory[f"{layer}/x"] != before[f"{layer}/x"]).any(1)
        assert 1 <= int(changed.sum()) <= 5
        x, y = batch.memory[f"{layer}/x"][changed], batch.memory[f"{layer}/y"][changed]
        # Points that were right are on the boundary, points that were wrong stay wrong.
        assert float(compute_logit_margin(network[start:](x), y).max().detach()) <= 1e-9


def test_a_pool_trains_the_layers_above_alone() -> None:
    network = mlp()
    batch = make_batch(3)
    gradients = {}
    for name in ("none", "input", 1, 2):
        objective = HardNegative(layers=("input" if name == "none" else name,), weight=0.0 if name == "none" else 1.0)
        objective.differentiate(network, objective.prepare(network, batch, train_first))
        gradients[name] = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    for first_trained, name in ((0, "input"), (2, 1), (4, 2)):
        same = [torch.allclose(a, b) for a, b in zip(gradients["none"], gradients[name], strict=True)]
        assert same == [True] * first_trained + [False] * (6 - first_trained)


def test_input_entries_stay_in_the_bounds() -> None:
    network = nn.Sequential(nn.Linear(5, 2)).double()
    objective = HardNegative(layers=("input",), pool_size=30, refreshed=30)
    data = dataclasses.replace(make_batch(), x=make_batch().x.sigmoid(), bounds=Box())
    batch = objective.prepare(network, data, train_first)
    objective.loss(network, batch)
    assert float(batch.memory["input/x"].min()) >= 0 and float(batch.memory["input/x"].max()) <= 1


def test_the_loss_is_that_of_the_samples_and_of_the_entries_drawn() -> None:
    network = mlp()
    batch = make_batch(3)
    objective = HardNegative(layers=(1,), pool_size=1, refreshed=1, weight=0.5)
    prepared = objective.prepare(network, batch, train_first)
    loss = objective.loss(network, prepared)
    pool = functional.cross_entropy(network[2:](prepared.memory["1/x"]), prepared.memory["1/y"])
    torch.testing.assert_close(loss, functional.cross_entropy(network(batch.x), batch.y) + 0.5 * pool)


def test_layers_that_the_network_lacks_are_answered_by_a_sentence() -> None:
    with pytest.raises(SceneError, match=r"layers has 3; the network has outputs input, 1, 2"):
        HardNegative(layers=(3,)).prepare(mlp(), make_batch(3), train_first)
    with pytest.raises(SceneError, match=r"it needs a sequence of layers, not Linear"):
        Training(objective=HardNegative()).fit(nn.Linear(2, 2), torch.zeros(2, 2), torch.tensor([0, 1]), [], print)
