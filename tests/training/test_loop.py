"""Training: reproducibility, recorded steps, divergence, snapshot schedules."""

import pytest
import torch
from torch import nn

from dimple.errors import DivergedError
from dimple.networks import MLP
from dimple.tensors import generator
from dimple.training import SnapshotSchedule, StandardTraining


def record_training(steps: int = 30, lr: float = 1e-2) -> list[tuple[int, dict[str, torch.Tensor], float]]:
    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    stream = generator(0, "points")
    x = torch.randn(20, 2, generator=stream)
    y = torch.randint(0, 2, (20,), generator=stream)
    records: list[tuple[int, dict[str, torch.Tensor], float]] = []

    def record(step: int, net: nn.Module, loss: float) -> None:
        records.append((step, {name: value.clone() for name, value in net.state_dict().items()}, loss))

    StandardTraining(steps=steps, lr=lr).fit(network, x, y, [0, 10, 30], record)
    return records


def test_the_same_seed_gives_the_same_bits() -> None:
    for (_, first, loss), (_, second, again) in zip(record_training(), record_training(), strict=True):
        assert loss == again
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_snapshot_zero_is_before_the_first_update() -> None:
    records = record_training()
    assert [step for step, _, _ in records] == [0, 10, 30]
    start = MLP(widths=(8,)).build(2, generator(0, "network")).state_dict()
    assert all(torch.equal(start[name], records[0][1][name]) for name in start)
    assert records[2][2] < records[0][2]


def test_one_adam_step_moves_every_weight_by_the_learning_rate() -> None:
    network = nn.Linear(1, 2)
    before = network.bias.detach().clone()
    StandardTraining(steps=1, lr=0.01).fit(network, torch.ones(1, 1), torch.tensor([0]), [1], lambda *_: None)
    torch.testing.assert_close((network.bias - before).abs(), torch.full((2,), 0.01), rtol=1e-4, atol=0)


def test_divergence_names_the_step_and_the_learning_rate() -> None:
    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    x = torch.full((4, 2), 1e30)
    y = torch.tensor([0, 1, 0, 1])
    with pytest.raises(DivergedError, match=r"training.lr is 1e\+20: the loss is nan at step"):
        StandardTraining(steps=20, lr=1e20).fit(network, x, y, list(range(21)), lambda *_: None)


def test_the_initialization_is_that_of_pytorch_rescaled() -> None:
    plain = MLP(widths=(16,)).build(3, generator(0, "n"))
    scaled = MLP(
        widths=(16,), first_layer_weight_scale=(1.0, 2.0, 5.0), bias_scale=3.0, initial_logit_bias=1.5, output_scale=0.5
    )
    network = scaled.build(3, generator(0, "n"))
    assert torch.allclose(network[0].weight, plain[0].weight * torch.tensor([1.0, 2.0, 5.0]))
    assert torch.allclose(network[0].bias, 3 * plain[0].bias)
    assert torch.allclose(network[2].weight, plain[2].weight / 2)
    shift = (network[2].bias - plain[2].bias).detach()
    assert torch.allclose(shift, torch.tensor([-0.75, 0.75]))
    assert plain[0].weight.abs().max() <= 3**-0.5


@pytest.mark.parametrize("spacing", ["log", "linear"])
def test_schedules_start_before_training_and_end_after_it(spacing: str) -> None:
    steps = SnapshotSchedule(count=20, spacing=spacing).steps(500)  # type: ignore[arg-type]
    assert steps[0] == 0 and steps[-1] == 500
    assert steps == sorted(set(steps))
    assert len(steps) <= 20
