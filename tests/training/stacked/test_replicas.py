"""Training of many seeds at once: its gradients are those of autograd, its replicas those of single trainings."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from dimple.errors import DivergedError
from dimple.networks import MLP
from dimple.tensors import generator
from dimple.training import SGD, Adam, AdamW, Averaging, Stop, Training
from dimple.training.augmentation import Noise
from dimple.training.objectives import Adversarial, Standard
from dimple.training.schedules import Cosine
from dimple.training.stacked import fit as stacked_fit
from dimple.training.stacked.fit import can_stack, fit_replicas
from dimple.training.stacked.matmul import bind_matmul
from dimple.training.stacked.mlp import MLPLayout, StackedMLP

WIDE = MLP(widths=(40, 64))


def build(network: MLP, seeds: range, dtype: torch.dtype = torch.float64, inputs: int = 3) -> list[nn.Module]:
    return [network.build((inputs,), generator(seed, "network"), 3).to(dtype) for seed in seeds]


def samples(seeds: range, count: int = 40, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    streams = [generator(seed, "points") for seed in seeds]
    x = torch.stack([torch.randn(count, 3, generator=stream, dtype=torch.float64) for stream in streams])
    return x.to(dtype), torch.stack([torch.randint(0, 3, (count,), generator=stream) for stream in streams])


@pytest.mark.parametrize(("rows", "inner", "columns"), [(8, 1, 32), (13, 5, 45), (64, 60, 128), (3, 4, 2), (40, 7, 2)])
def test_products_are_those_of_torch(rows: int, inner: int, columns: int) -> None:
    stream = generator(0, "products")
    a, b, bias = (torch.randn(shape, generator=stream) for shape in ((5, inner, rows), (5, inner, columns), (5, rows)))
    out = torch.zeros(5, rows, columns)
    bind_matmul(a.mT, b, out)()
    torch.testing.assert_close(out, a.mT @ b)
    bind_matmul(a.mT, b, out, bias)()
    torch.testing.assert_close(out, a.mT @ b + bias[:, :, None])


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_autograd(activation: str, dtype: torch.dtype) -> None:
    seeds = range(3)
    networks = build(dataclasses.replace(WIDE, activation=activation), seeds, dtype)
    x, y = samples(seeds, dtype=dtype)
    layout = MLPLayout.of(networks[0])
    assert layout is not None
    parameters = layout.stack(networks)
    gradients = torch.zeros_like(parameters)
    model = StackedMLP(layout, parameters, gradients, x.shape[1])
    model.x.copy_(x)
    scores = model.forward()
    losses = [
        nn.functional.cross_entropy(network(points), labels)
        for network, points, labels in zip(networks, x, y, strict=True)
    ]
    weight = nn.functional.one_hot(y, 3).mT
    model.score_gradients.copy_((scores.softmax(1) - weight) / x.shape[1])
    model.backward()
    for loss in losses:
        loss.backward()
    for name, found in layout.views(gradients).items():
        expected = torch.stack([network.get_parameter(name).grad for network in networks])
        torch.testing.assert_close(found, expected, rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=1e-7)


REGIMES = {
    "adam": Training(stop=Stop(steps=100)),
    "tanh adamw smoothing": Training(
        objective=Standard(label_smoothing=0.1), optimizer=AdamW(lr=0.01), stop=Stop(steps=40), clip_norm=0.1
    ),
    "sgd batches": Training(
        objective=Standard(loss_function="hinge"),
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        schedule=Cosine(warmup=0.1),
        batch_size=12,
        averaging=Averaging(decay=0.9),
        stop=Stop(epochs=20),
    ),
    "squared": Training(objective=Standard(loss_function="squared"), optimizer=SGD(lr=0.05), stop=Stop(steps=100)),
    "accuracy": Training(optimizer=Adam(lr=0.01), stop=Stop(accuracy=0.9)),
    "loss": Training(optimizer=Adam(lr=0.01), batch_size=15, stop=Stop(loss=0.5)),
    "margin": Training(optimizer=Adam(lr=0.02), stop=Stop(min_margin=0.01)),
}


def train_single(training: Training, seeds: range, network: MLP = WIDE) -> tuple[list[int], list[list[Tensor]]]:
    """Return the last step of each single training, and its weights at each recorded step and the last."""
    last: list[int] = []
    weights: list[list[Tensor]] = []
    x, y = samples(seeds)
    for seed, single, points, labels in zip(seeds, build(network, seeds), x, y, strict=True):
        seen: dict[int, list[Tensor]] = {}

        def record(step: int, net: nn.Module, _: float, seen: dict[int, list[Tensor]] = seen) -> None:
            seen[step] = [value.detach().clone() for value in net.parameters()]

        training.fit(single, points, labels, [0, 1, 10], record, seed=seed)
        last.append(max(seen))
        weights.append(seen[max(seen)])
    return last, weights


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", list(REGIMES))
def test_each_replica_is_the_single_training_of_its_seed(name: str, threads: int) -> None:
    seeds = range(3, 6)
    training = REGIMES[name]
    network = dataclasses.replace(WIDE, activation="tanh") if "tanh" in name else WIDE
    expected_last, expected = train_single(training, seeds, network)
    networks = build(network, seeds)
    x, y = samples(seeds)
    seen: dict[int, dict[str, Tensor]] = {}

    def record(step: int, parameters: dict[str, Tensor], losses: Tensor) -> None:
        assert losses.shape == (3,)
        seen[step] = {name: value.clone() for name, value in parameters.items()}

    assert can_stack(training, networks, list(x))
    last = fit_replicas(training, networks, x, y, [0, 1, 10], record, seeds=seeds, threads=threads)
    assert last == expected_last
    assert list(seen) == sorted({0, 1, 10, max(last)})
    if training.stop.accuracy or training.stop.loss or training.stop.min_margin:
        assert len(set(last)) > 1
    for replica, single in enumerate(expected):
        for found, value in zip(seen[max(last)].values(), single, strict=True):
            torch.testing.assert_close(found[replica], value, rtol=1e-6, atol=1e-9)


def test_the_loss_is_that_of_single_trainings_in_single_precision() -> None:
    seeds = range(3)
    training = Training(stop=Stop(steps=100))
    x, y = samples(seeds, dtype=torch.float32)
    found: dict[int, Tensor] = {}
    networks = build(WIDE, seeds, torch.float32)
    steps = list(range(101))
    fit_replicas(training, networks, x, y, steps, lambda s, _, losses: found.update({s: losses.clone()}), seeds=seeds)
    for row, network in enumerate(build(WIDE, seeds, torch.float32)):
        single: dict[int, float] = {}
        training.fit(network, x[row], y[row], steps, lambda s, _, loss, single=single: single.update({s: loss}))
        np.testing.assert_allclose([float(found[s][row]) for s in steps], list(single.values()), rtol=2e-4)


def test_a_replica_does_not_depend_on_the_others_or_on_threads() -> None:
    training = Training(stop=Stop(steps=30))

    def train(seeds: range, threads: int) -> list[nn.Module]:
        networks = build(WIDE, seeds, torch.float32)
        x, y = samples(seeds, dtype=torch.float32)
        fit_replicas(training, networks, x, y, [], lambda *_: None, seeds=seeds, threads=threads)
        return networks

    together = train(range(5), 1)
    for other in (train(range(5), 3), [*train(range(2), 1), *train(range(2, 5), 1)]):
        for network, again in zip(together, other, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


class KilledError(Exception):
    """The end of a process at any moment."""


@pytest.mark.parametrize("name", ["adam", "sgd batches", "accuracy"])
def test_a_training_killed_at_its_states_ends_in_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_fit, "SECONDS_BETWEEN_STATES", 0.0)
    seeds = range(3)
    x, y = samples(seeds)

    class Cache:
        arrays: dict[str, np.ndarray] | None = None

        def read_cache(self, _: str) -> dict[str, np.ndarray] | None:
            return self.arrays

        def write_cache(self, _: str, arrays: dict[str, np.ndarray]) -> None:
            self.arrays = {key: array.copy() for key, array in arrays.items()}
            raise KilledError

    def train(cache: Cache | None) -> tuple[list[int], list[Tensor]]:
        networks = build(WIDE, seeds)
        last = fit_replicas(REGIMES[name], networks, x, y, [3], lambda *_: None, seeds=seeds, cache=cache)
        return last, [parameter for network in networks for parameter in network.parameters()]

    expected_last, expected = train(None)
    cache = Cache()
    kills = 0
    while True:
        try:
            last, found = train(cache)
            break
        except KilledError:
            kills += 1
            assert kills < 50
    assert kills >= 1 and last == expected_last
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_divergence_names_the_seed_of_the_replica() -> None:
    seeds = range(7, 9)
    x, y = samples(seeds, dtype=torch.float32)
    x[1] *= 3e38
    with pytest.raises(DivergedError, match=r"the loss of the replica with seed 8 is .* at step .*clip_norm"):
        fit_replicas(
            Training(stop=Stop(steps=9)),
            build(WIDE, seeds, torch.float32), x, y, [], lambda *_: None, seeds=seeds,
        )  # fmt: skip


def test_only_plain_networks_and_objectives_are_stacked() -> None:
    x, _ = samples(range(2))
    networks = build(WIDE, range(2))
    assert can_stack(Training(), networks, list(x))
    assert not can_stack(Training(objective=Adversarial()), networks, list(x))
    assert not can_stack(Training(objective=Standard(sharpness_radius=0.1)), networks, list(x))
    assert not can_stack(Training(augmentation=(Noise(),)), networks, list(x))
    assert not can_stack(Training(), networks, [x[0], x[1, :5]])
    for layer in (nn.Dropout(), nn.BatchNorm1d(40), nn.Softplus(beta=2.0)):
        changed = [nn.Sequential(network[0], layer, network[2]) for network in networks]
        assert not can_stack(Training(), changed, list(x))
    networks[0][0].weight.requires_grad_(False)
    assert not can_stack(Training(), networks, list(x))


@pytest.mark.slow
def test_sixty_four_replicas_are_distributed_as_single_trainings() -> None:
    training = Training(stop=Stop(steps=300))

    def final(seeds: range, stacked: bool) -> np.ndarray:
        networks = build(WIDE, seeds, torch.float32)
        x, y = samples(seeds, dtype=torch.float32)
        if stacked:
            fit_replicas(training, networks, x, y, [], lambda *_: None, seeds=seeds)
        else:
            for seed, network, points, labels in zip(seeds, networks, x, y, strict=True):
                training.fit(network, points, labels, [], lambda *_: None, seed=seed)
        rows = []
        for network, points, labels in zip(networks, x, y, strict=True):
            with torch.no_grad():
                scores = network(points)
            squares = sum(float(parameter.detach().square().sum()) for parameter in network.parameters())
            rows.append([float(nn.functional.cross_entropy(scores, labels)), float(scores.std()), squares])
        return np.array(rows)

    replicas, singles, others = final(range(64), True), final(range(64), False), final(range(64, 128), False)
    for column, kind in itertools.product(range(3), (singles, others)):
        assert stats.ks_2samp(replicas[:, column], kind[:, column]).pvalue > 0.01
