"""Training: reproducibility, recorded steps, divergence, snapshot schedules."""

import contextlib
import itertools
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

from dimple.boundary.boundary import compute_logit_margin
from dimple.errors import DivergedError, SceneError
from dimple.networks import MLP
from dimple.scene import load_scene
from dimple.tensors import Box, generator
from dimple.training import SGD, Adam, Averaging, SnapshotSchedule, Stop, Training
from dimple.training import loop as training_loop
from dimple.training.augmentation import Noise
from dimple.training.objectives import (
    OBJECTIVES,
    Adversarial,
    Batch,
    BoundaryAware,
    HardNegative,
    Mislabeled,
    Objective,
    Standard,
)
from dimple.training.objectives.base import FirstTraining
from dimple.training.schedules import Cosine


def record_training(steps: int = 30, lr: float = 1e-2) -> list[tuple[int, dict[str, torch.Tensor], float]]:
    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    stream = generator(0, "points")
    x = torch.randn(20, 2, generator=stream)
    y = torch.randint(0, 2, (20,), generator=stream)
    records: list[tuple[int, dict[str, torch.Tensor], float]] = []

    def record(step: int, net: nn.Module, loss: float) -> None:
        records.append((step, {name: value.clone() for name, value in net.state_dict().items()}, loss))

    Training(optimizer=Adam(lr=lr), stop=Stop(steps=steps)).fit(network, x, y, [0, 10, 30], record)
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
    Training(optimizer=Adam(lr=0.01), stop=Stop(steps=1)).fit(
        network, torch.ones(1, 1), torch.tensor([0]), [1], lambda *_: None
    )
    torch.testing.assert_close((network.bias - before).abs(), torch.full((2,), 0.01), rtol=1e-4, atol=0)


def test_divergence_names_the_step_and_the_learning_rate() -> None:
    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    x = torch.full((4, 2), 1e30)
    y = torch.tensor([0, 1, 0, 1])
    with pytest.raises(DivergedError, match=r"training.optimizer.lr is 1e\+20: the loss is nan at step 1; .*clip_norm"):
        Training(optimizer=Adam(lr=1e20), stop=Stop(steps=20)).fit(network, x, y, list(range(21)), lambda *_: None)


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


def points() -> tuple[torch.Tensor, torch.Tensor]:
    stream = generator(0, "points")
    return torch.randn(20, 2, generator=stream), torch.randint(0, 2, (20,), generator=stream)


def final_weights(training: Training, seed: int = 0) -> list[torch.Tensor]:
    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    training.fit(network, *points(), [], lambda *_: None, seed=seed)
    return [parameter.detach() for parameter in network.parameters()]


class KilledError(Exception):
    """The end of a process at any moment."""


class Cache:
    """A cache in memory that keeps every third state, and copies of it."""

    def __init__(self) -> None:
        self.arrays: dict[str, dict[str, np.ndarray]] = {}

    def read_cache(self, name: str) -> dict[str, np.ndarray] | None:
        return self.arrays.get(name)

    def write_cache(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        if int(arrays.get("step", 0)) % 3 == 0:
            self.arrays[name] = {key: array.copy() for key, array in arrays.items()}


REGIMES = {
    "standard": Training(stop=Stop(steps=40)),
    "adversarial": Training(
        objective=Adversarial(eps=0.1, steps=2),
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True),
        schedule=Cosine(warmup=0.1),
        batch_size=6,
        averaging=Averaging(decay=0.9),
        clip_norm=0.5,
        stop=Stop(epochs=10),
    ),
    "n-fgsm": Training(
        objective=Adversarial(norm="linf", eps=0.1, steps=1, noise=2.0), batch_size=7, stop=Stop(steps=40)
    ),
    "augmentation": Training(augmentation=(Noise(std=0.1),), batch_size=7, stop=Stop(steps=25)),
    "mislabeled": Training(
        objective=Mislabeled(eps=0.3, steps=3, random_start=True, first=Adversarial(eps=0.1, steps=1)),
        optimizer=SGD(lr=0.1, momentum=0.9),
        batch_size=6,
        stop=Stop(steps=25),
    ),
    "noise": Training(
        objective=Mislabeled(start="noise", eps=0.3, steps=3, first_stop=Stop(steps=10)), stop=Stop(steps=25)
    ),
    "errors of mislabeled": Training(
        objective=Mislabeled(start="errors", first=Mislabeled(eps=0.3, steps=2), first_stop=Stop(steps=9)),
        batch_size=5,
        stop=Stop(steps=25),
    ),
    "boundary_aware": Training(
        objective=BoundaryAware(norm="l2", burn_in=Stop(steps=15), max_passes=8.0),
        averaging=Averaging(decay=0.9),
        schedule=Cosine(),
        batch_size=10,
        stop=Stop(steps=25),
    ),
    "hard_negative": Training(
        objective=HardNegative(pool_size=20, refreshed=3, max_passes=6.0), batch_size=7, stop=Stop(steps=25)
    ),
}


@pytest.mark.parametrize("moments", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("training", REGIMES.values(), ids=list(REGIMES))
def test_a_training_killed_at_random_moments_continues_to_the_same_bits(
    training: Training, moments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed inside any forward pass, of the first network too, and again where it continues."""
    monkeypatch.setattr(training_loop, "SECONDS_BETWEEN_STATES", 0.0)
    x, y = points()
    forwards = 0

    def run(cache: Cache | None, forwards_left: float) -> dict[int, tuple[list[torch.Tensor], float]]:
        nonlocal forwards
        forwards = 0

        def count_forward(*_: object) -> None:
            nonlocal forwards
            forwards += 1
            if forwards > forwards_left:
                raise KilledError

        def record(step: int, net: nn.Module, loss: float) -> None:
            seen[step] = ([value.clone() for value in net.state_dict().values()], loss)

        network = MLP(widths=(8,)).build(2, generator(0, "network"))
        network[0].register_forward_pre_hook(count_forward)
        training.fit(network, x, y, [0, 3, 20], record, seed=5, cache=cache)
        return seen

    seen: dict[int, tuple[list[torch.Tensor], float]] = {}
    expected = dict(run(None, math.inf))
    total = forwards
    stream = generator(moments, "kills")
    for _ in range(moments):
        seen.clear()
        cache = Cache()
        with pytest.raises(KilledError):
            run(cache, int(torch.randint(total, (), generator=stream)))
        with contextlib.suppress(KilledError):
            run(cache, int(torch.randint(total, (), generator=stream)))
        run(cache, math.inf)
        assert seen.keys() == expected.keys()
        for step, (weights, loss) in expected.items():
            assert loss == seen[step][1]
            assert all(torch.equal(a, b) for a, b in zip(weights, seen[step][0], strict=True))


def test_an_epoch_uses_every_sample_once_in_an_order_of_its_own() -> None:
    x = torch.arange(10.0)[:, None]
    seen: list[list[float]] = []

    class Recorder(nn.Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch[:, 0].tolist())
            return super().forward(batch)

    training = Training(batch_size=4, stop=Stop(epochs=2))
    assert training.last_step(10) == 6
    training.fit(Recorder(1, 2), x, torch.arange(10) % 2, [], lambda *_: None, seed=1)
    epochs = [[value for batch in seen[start : start + 3] for value in batch] for start in (0, 3)]
    assert [len(batch) for batch in seen[:3]] == [4, 4, 2]
    assert all(sorted(epoch) == x[:, 0].tolist() for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_the_order_of_the_batches_depends_on_the_seed_alone() -> None:
    training = Training(batch_size=6, stop=Stop(steps=10))
    first, again, other = final_weights(training), final_weights(training), final_weights(training, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_a_batch_of_all_samples_is_the_full_batch() -> None:
    pairs = zip(
        final_weights(Training(stop=Stop(steps=9))),
        final_weights(Training(batch_size=500, stop=Stop(epochs=9))),
        strict=True,
    )
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("stop", "reached"),
    [
        (Stop(accuracy=0.8), lambda scores, y: float((scores.argmax(1) == y).double().mean()) >= 0.8),
        (Stop(loss=0.4), lambda scores, y: float(nn.functional.cross_entropy(scores, y)) <= 0.4),
        (Stop(min_margin=0.3), lambda scores, y: float(compute_logit_margin(scores, y).min()) >= 0.3),
    ],
    ids=["accuracy", "loss", "margin"],
)
def test_training_ends_at_the_first_step_that_reaches_the_goal(stop: Stop, reached: object) -> None:
    x, y = points()
    y = (x[:, 0] > 0).long()
    x[:, 0] += x[:, 0].sign()
    goal: list[bool] = []

    def record(step: int, network: nn.Module, loss: float) -> None:
        assert step == len(goal)
        with torch.no_grad():
            goal.append(reached(network(x), y))  # type: ignore[operator]

    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    Training(optimizer=Adam(lr=0.01), stop=stop).fit(network, x, y, list(range(1001)), record)
    assert goal[-1] and not any(goal[:-1]) and 1 < len(goal) < 1000


def test_steps_and_epochs_end_training_at_the_first_of_them() -> None:
    assert Training().last_step(60) == 1000
    assert Training(batch_size=20, stop=Stop(steps=10, epochs=2)).last_step(60) == 6
    assert Training(batch_size=20, stop=Stop(steps=5, epochs=2)).last_step(60) == 5


def test_snapshots_of_averaged_weights_are_the_running_mean() -> None:
    x, y = points()
    trained: list[torch.Tensor] = []
    averaged: list[torch.Tensor] = []
    for training, weights in (
        (Training(stop=Stop(steps=5)), trained),
        (Training(averaging=Averaging(decay=0.75), stop=Stop(steps=5)), averaged),
    ):
        network = MLP(widths=(8,)).build(2, generator(0, "network"))

        def record(_: int, net: nn.Module, __: float, weights: list[torch.Tensor] = weights) -> None:
            weights.append(next(net.parameters()).detach().clone())

        training.fit(network, x, y, list(range(6)), record)
    mean = trained[0]
    for weights, found in itertools.islice(zip(trained, averaged, strict=True), 1, None):
        mean = 0.75 * mean + 0.25 * weights
        torch.testing.assert_close(found, mean)


def test_a_clipped_step_is_the_learning_rate_times_the_largest_norm() -> None:
    before = MLP(widths=(8,)).build(2, generator(0, "network"))
    after = final_weights(Training(optimizer=SGD(lr=0.5), clip_norm=1e-3, stop=Stop(steps=1)))
    change = torch.cat([(a - b).detach().flatten() for a, b in zip(after, before.parameters(), strict=True)])
    assert float(change.norm()) == pytest.approx(0.5e-3, rel=1e-3)


@pytest.mark.parametrize("batch_size", [None, 6])
def test_training_passes_the_bounds_to_its_batches(batch_size: int | None) -> None:
    x, y = points()
    seen: list[torch.Tensor] = []

    class Recorder(nn.Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch.detach())
            return super().forward(batch)

    training = Training(objective=Adversarial(eps=3.0, steps=2), batch_size=batch_size, stop=Stop(steps=3))
    training.fit(Recorder(2, 2), x.clamp(-1, 1), y, [], lambda *_: None, bounds=Box(-1.0, 1.0))
    assert float(torch.cat(seen).abs().max()) == 1.0


def test_augmentation_and_tangent_spaces_exclude_each_other() -> None:
    with pytest.raises(SceneError, match=r"augmentation moves the samples whose tangent spaces"):
        Training(objective=Adversarial(restrict="on"), augmentation=(Noise(),))


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_scene_trains_by_every_objective(kind: str) -> None:
    settings = {"mislabeled": ", first: {kind: adversarial, steps: 2}, first_stop: {epochs: 2}"}.get(kind, "")
    scene = load_scene("line_in_2d", [f"training.objective={{kind: {kind}{settings}}}", "training.steps=2"])
    samples = scene.samples()
    network = MLP(widths=(8,)).build(2, generator(0, "network"))
    losses: list[float] = []
    scene.training.fit(
        network, samples.train.float(), samples.train_labels, [0, 1], lambda _, __, loss: losses.append(loss),
        tangents=scene.manifold,
    )  # fmt: skip
    assert len(losses) == 3 and all(math.isfinite(loss) for loss in losses)


def test_the_first_network_sees_other_random_numbers_than_the_second() -> None:
    """Targets of a first training that is mislabeled itself are drawn apart from those of the second."""
    x, y = points()
    targets: list[torch.Tensor] = []

    class Recorder(Objective):
        def loss(self, network: nn.Module, batch: Batch) -> torch.Tensor:
            return network(batch.x).sum()

        def prepare(self, network: nn.Module, data: Batch, train_first: FirstTraining) -> Batch:
            targets.append(torch.rand(5, generator=data.generator()))
            if len(targets) < 3:
                train_first(network, self, None)
            return data

    Training(objective=Recorder(), stop=Stop(steps=1)).fit(nn.Linear(2, 2), x, y, [], lambda *_: None)
    assert len(targets) == 3 and len({float(numbers[0]) for numbers in targets}) == 3


def test_a_restricted_objective_without_tangents_says_so() -> None:
    with pytest.raises(SceneError, match=r"training.objective.restrict needs the tangent spaces"):
        final_weights(Training(objective=Adversarial(restrict="on")))


def test_a_sharpness_aware_step_takes_the_gradient_where_the_loss_is_larger() -> None:
    network = nn.Linear(2, 2)
    x, y = points()
    weights = [p.detach().clone() for p in network.parameters()]
    gradients = torch.autograd.grad(nn.functional.cross_entropy(network(x), y), list(network.parameters()))
    length = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    moved = [(w + 0.1 * g / length).requires_grad_() for w, g in zip(weights, gradients, strict=True)]
    expected = torch.autograd.grad(nn.functional.cross_entropy(nn.functional.linear(x, *moved), y), moved)
    training = Training(objective=Standard(sharpness_radius=0.1), optimizer=SGD(lr=0.5), stop=Stop(steps=1))
    training.fit(network, x, y, [], lambda *_: None)
    for before, after, gradient in zip(weights, network.parameters(), expected, strict=True):
        torch.testing.assert_close(after.detach(), before - 0.5 * gradient)


def test_progress_counts_every_step_and_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_loop, "SECONDS_BETWEEN_REPORTS", 0.0)
    x = torch.randn(20, 2, generator=generator(0, "x"))
    y = (x[:, 0] > 0).long()
    reports: list[tuple[int, str]] = []

    def advance(count: int = 1, note: str = "", /) -> None:
        reports.append((count, note))

    results = []
    for follow in (None, advance):
        network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        torch.nn.utils.vector_to_parameters(
            torch.linspace(-1, 1, sum(p.numel() for p in network.parameters())), network.parameters()
        )
        Training(stop=Stop(steps=30), batch_size=8).fit(network, x, y, [0], lambda *_: None, advance=follow)
        results.append(network.state_dict())
    assert sum(count for count, _ in reports) == 30
    assert re.fullmatch(r"[\d,]+/s, loss [\d.]+, accuracy [\d.]+", reports[-1][1])
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_batch_of_one_sample_for_batch_normalization_is_refused_in_one_sentence() -> None:
    network = MLP(widths=(4,), norm="batch").build(2, generator(0, "network"))
    x = torch.randn(9, 2, generator=generator(0, "x"))
    training = Training(batch_size=4, stop=Stop(epochs=1))
    with pytest.raises(SceneError, match="batch_size is 4: of 9 samples, one is left for a batch of its own"):
        training.fit(network, x, (x[:, 0] > 0).long(), [], lambda *_: None)
