"""Training on the adversarial samples of a first network: closed forms of linear networks, and planted features."""

import dataclasses
from typing import Literal

import pytest
import torch
from torch import nn

from dimple.data import load_images
from dimple.errors import SceneError
from dimple.networks import MLP, build_model
from dimple.tensors import Box, generator
from dimple.training import Adam, Stop, Training
from dimple.training.objectives import Batch, Mislabeled, Objective
from dimple.training.objectives.mislabeled import redraw_weights
from dimple.training.schedules import Schedule

KINDS: tuple[Literal["random", "next"], ...] = ("random", "next")


def make_batch(classes: int = 2, n: int = 5, count: int = 600) -> Batch:
    stream = generator(0, "points")
    x = torch.randn(count, n, generator=stream, dtype=torch.float64)
    return Batch(x, torch.randint(0, classes, (count,), generator=stream), lambda: generator(0, "preparation"))


def linear(classes: int = 2, n: int = 5) -> nn.Linear:
    layer = nn.Linear(n, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(classes, n, generator=generator(0, "weight"), dtype=torch.float64))
        layer.bias.zero_()
    return layer


def prepare(objective: Mislabeled, data: Batch, classes: int = 2) -> tuple[nn.Linear, Batch]:
    """The first network, which is given, and the samples that the second one is trained on."""
    first = linear(classes)

    def train_first(
        network: nn.Module, own: Objective, stop: Stop | None, schedule: Schedule | None = None
    ) -> nn.Module:
        assert own == objective.first and stop == objective.first_stop
        return first

    return first, objective.prepare(linear(classes), data, train_first)


@pytest.mark.parametrize("steps", [1, 30])
def test_of_a_linear_network_each_sample_moves_by_eps_along_the_weight_of_its_target(steps: int) -> None:
    data = make_batch()
    objective = Mislabeled(eps=0.4, steps=steps, targets="next")
    first, prepared = prepare(objective, data)
    assert torch.equal(prepared.y, 1 - data.y)
    weight = (first.weight[1] - first.weight[0]).detach()
    direction = torch.where(prepared.y[:, None] == 1, weight, -weight) / weight.norm()
    torch.testing.assert_close(prepared.x, data.x + 0.4 * direction)


def test_random_targets_are_uniform_and_independent_of_the_class() -> None:
    data = make_batch(classes=3, count=6000)
    _, prepared = prepare(Mislabeled(steps=1), data, classes=3)
    table = torch.zeros(3, 3).index_put_((data.y, prepared.y), torch.ones(6000), accumulate=True)
    expected = table.sum(1, keepdim=True) * table.sum(0) / 6000
    # The 99.9 % quantile of chi-square with four degrees of freedom.
    assert float(((table - expected) ** 2 / expected).sum()) < 18.5
    assert float((table.sum(0) / 6000 - 1 / 3).abs().max()) < 0.02


def test_targets_that_are_next_are_the_class_plus_one() -> None:
    data = make_batch(classes=3)
    _, prepared = prepare(Mislabeled(steps=1, targets="next"), data, classes=3)
    assert torch.equal(prepared.y, (data.y + 1) % 3)


def test_errors_are_the_samples_that_the_first_network_gets_wrong_unperturbed() -> None:
    data = make_batch(classes=3)
    first, prepared = prepare(Mislabeled(start="errors"), data, classes=3)
    predicted = first(data.x).argmax(1)
    wrong = predicted != data.y
    assert torch.equal(prepared.x, data.x[wrong]) and torch.equal(prepared.y, predicted[wrong])
    right = dataclasses.replace(data, y=predicted)
    with pytest.raises(SceneError, match="start is errors, and the first network makes none on 600 samples"):
        prepare(Mislabeled(start="errors"), right, classes=3)


@pytest.mark.parametrize("bounds", [None, Box(-1.0, 3.0)])
def test_noise_is_uniform_in_the_bounds_or_in_the_box_of_the_data(bounds: Box | None) -> None:
    data = dataclasses.replace(make_batch(), bounds=bounds)
    _, prepared = prepare(Mislabeled(start="noise", eps=1e-9, steps=1), data)
    low, high = (data.x.amin(0), data.x.amax(0)) if bounds is None else (torch.full((5,), -1.0), torch.full((5,), 3.0))
    unit = (prepared.x - low) / (high - low)
    assert -1e-6 < float(unit.min()) < 0.01 and 0.99 < float(unit.max()) < 1 + 1e-6
    torch.testing.assert_close(unit.mean(0), torch.full((5,), 0.5, dtype=torch.float64), atol=0.06, rtol=0)
    with pytest.raises(SceneError, match="start is noise, which has no class"):
        Mislabeled(start="noise", targets="next")


def test_noise_has_the_precision_of_the_samples() -> None:
    data = dataclasses.replace(make_batch(), bounds=Box([0.0, -1.0, 0.0, 0.0, 0.0], [1.0, 2.0, 1.0, 1.0, 1.0]))
    data = dataclasses.replace(data, x=data.x.float())
    first = linear().float()
    objective = Mislabeled(start="noise", eps=0.1, steps=1)
    assert objective.prepare(first, data, lambda *_: first).x.dtype == torch.float32


def planted_features(count: int, purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
    """One coordinate that is far from zero and right nine times in ten, and many small ones that are always right."""
    stream = generator(0, purpose)
    y = torch.randint(0, 2, (count,), generator=stream)
    sign = 2.0 * y - 1
    robust = sign * torch.where(torch.rand(count, generator=stream) < 0.9, 1.0, -1.0)
    small = 0.1 * sign[:, None] + 0.02 * torch.randn(count, 8, generator=stream)
    return torch.cat([robust[:, None], small], 1), y


def accuracy_on_clean_samples(objective: Mislabeled, seed: int = 0) -> float:
    """The accuracy of the second network on samples with their own labels, none of which it has seen."""
    x, y = planted_features(400, "train")
    network = MLP(widths=(16,)).build(9, generator(0, "network"))
    training = Training(objective=objective, optimizer=Adam(lr=0.01), stop=Stop(steps=150))
    training.fit(network, x, y, [], lambda *_: None, seed=seed)
    test_x, test_y = planted_features(2000, "test")
    return float((network(test_x).argmax(1) == test_y).double().mean())


def test_labels_that_are_independent_of_the_samples_teach_the_small_features() -> None:
    """A perturbation of size 1 turns all small features, whose planted size is .1, to the target."""
    assert accuracy_on_clean_samples(Mislabeled(eps=1.0, steps=20)) > 0.95
    unperturbed = [accuracy_on_clean_samples(Mislabeled(eps=1e-6, steps=20), seed) for seed in range(6)]
    assert sum(unperturbed) / 6 < 0.75


def test_opposite_labels_teach_the_small_features_against_the_large_one() -> None:
    assert accuracy_on_clean_samples(Mislabeled(eps=1e-6, steps=20, targets="next")) < 0.1
    assert accuracy_on_clean_samples(Mislabeled(eps=1.0, steps=20, targets="next")) > 0.5


def test_noise_with_perturbations_teaches_the_first_network() -> None:
    assert accuracy_on_clean_samples(Mislabeled(start="noise", eps=1.0, steps=20)) > 0.85


def test_errors_alone_teach_what_the_first_network_has_learned() -> None:
    """The first network stops while it knows the large feature alone: its errors are those of this feature."""
    objective = Mislabeled(start="errors", first_stop=Stop(accuracy=0.85))
    assert accuracy_on_clean_samples(objective) < 0.95


@pytest.mark.slow
def test_on_digits_random_targets_teach_more_than_next_ones_and_these_more_than_chance() -> None:
    """The order that Ilyas et al. report for CIFAR-10: 63 % for random targets, 44 % for deterministic ones."""
    images = load_images("digits", "train").batch(torch.arange(1000))
    unseen, classes = load_images("digits", "test").batch(torch.arange(300))

    def accuracy(objective: Mislabeled) -> float:
        network = build_model("digits_convnet", generator(0, "network"))
        training = Training(objective=objective, optimizer=Adam(lr=3e-3), batch_size=128, stop=Stop(steps=300))
        training.fit(network, *images, [], lambda *_: None, bounds=Box())
        return float((network(unseen).argmax(1) == classes).double().mean())

    at_random, in_turn = (accuracy(Mislabeled(eps=1.5, steps=50, targets=kind)) for kind in KINDS)
    assert at_random > in_turn + 0.05 > 0.5
    assert accuracy(Mislabeled(eps=1e-6, steps=1)) < 0.25
    assert 0.3 < accuracy(Mislabeled(start="errors", first_stop=Stop(steps=20))) < at_random


def test_the_first_network_has_other_weights_of_the_same_distribution() -> None:
    network = MLP(widths=(64, 64), first_layer_weight_scale=(1.0, 5.0), initial_logit_bias=2.0).build(
        2, generator(0, "network")
    )
    other = redraw_weights(network, generator(0, "first"))
    for name, weight in network.named_parameters():
        redrawn = other.get_parameter(name)
        assert torch.equal(redrawn.sort(0).values, weight.sort(0).values)
        assert torch.equal(redrawn, weight) == (weight.dim() == 1)
