"""Optimizers and schedules, compared with those of torch."""

import pytest
import torch
from torch import nn

from dimple.errors import SceneError
from dimple.networks import MLP
from dimple.tensors import generator
from dimple.training import SGD, Adam, AdamW, Optimizer
from dimple.training.schedules import Constant, Cosine, OneCycle, Schedule, Step

LR = 0.01
PAIRS = [
    (Adam(lr=LR), lambda p: torch.optim.Adam(p, lr=LR)),
    (Adam(lr=LR, weight_decay=0.1), lambda p: torch.optim.Adam(p, lr=LR, weight_decay=0.1)),
    (AdamW(lr=LR, weight_decay=0.1), lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=0.1)),
    (SGD(lr=LR), lambda p: torch.optim.SGD(p, lr=LR)),
    (SGD(lr=LR, momentum=0.9), lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9)),
    (
        SGD(lr=LR, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
]


@pytest.mark.parametrize(("optimizer", "make_torch"), PAIRS)
def test_parameters_equal_those_of_torch_to_the_last_bit(optimizer: Optimizer, make_torch: object) -> None:
    stream = generator(0, "points")
    x = torch.randn(20, 2, generator=stream)
    y = torch.randint(0, 2, (20,), generator=stream)
    networks = [MLP(widths=(8,)).build(2, generator(0, "network")) for _ in range(2)]
    parameters = list(networks[0].parameters())
    memory = [optimizer.start(parameter.detach()) for parameter in parameters]
    torch_optimizer = make_torch(networks[1].parameters())  # type: ignore[operator]
    for _ in range(50):
        for network in networks:
            network.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
        optimizer.update(parameters, [p.grad for p in parameters if p.grad is not None], memory, optimizer.lr)
        torch_optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, networks[1].parameters(), strict=True))


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(SceneError, match="set momentum"):
        SGD(nesterov=True)


SCHEDULES = [
    (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0)),
    (Step(at=(0.25, 0.5), gamma=0.3), lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 20], gamma=0.3)),
    (Cosine(), lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=40)),
    (
        OneCycle(warmup=0.3),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=40, cycle_momentum=False),
    ),
]


@pytest.mark.parametrize(("schedule", "make_torch"), SCHEDULES)
def test_learning_rates_equal_those_of_torch(schedule: Schedule, make_torch: object) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_torch(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(40):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert [schedule.factor(step, 40) for step in range(40)] == pytest.approx(rates, abs=1e-9)


def test_a_warm_up_rises_linearly_before_the_cosine() -> None:
    factors = [Cosine(warmup=0.25).factor(step, 16) for step in range(16)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert OneCycle(warmup=0.0).factor(0, 10) == pytest.approx(1.0)
