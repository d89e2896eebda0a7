"""Catastrophic overfitting: planted accuracies, and a network on digits that overfits to its single step."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from dimple.networks import MLP
from dimple.tensors import Box, generator
from dimple.training import Adam, Stop, Training
from dimple.training.objectives import Adversarial, Batch, Mislabeled, Trades
from dimple.training.overfitting import OverfittingCheck


def make_check() -> OverfittingCheck:
    data = Batch(torch.randn(100, 3), torch.zeros(100, dtype=torch.long), lambda: generator(0, "check"))
    check = OverfittingCheck.of(Adversarial(norm="linf", eps=0.3, steps=1), data)
    assert check is not None and len(check.data.x) == 64
    return check


@pytest.mark.parametrize(
    ("accuracies", "warned_at"),
    [
        # Pairs of accuracies under the single step and under several.
        ([(0.2, 0.1), (0.6, 0.5), (0.7, 0.4), (0.9, 0.2), (0.95, 0.0)], 3),
        ([(0.6, 0.5), (0.7, 0.6), (0.75, 0.65)], None),
        # Accuracy is lost as such.
        ([(0.6, 0.5), (0.2, 0.1), (0.1, 0.0)], None),
        # There was none to lose.
        ([(0.5, 0.0), (0.9, 0.0), (0.9, 0.05), (0.9, 0.0)], None),
    ],
)
def test_the_warning_comes_at_the_planted_step_and_once(
    accuracies: list[tuple[float, float]], warned_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = make_check()
    sentences = {}
    for step, pair in enumerate(accuracies):
        values = iter(pair)
        monkeypatch.setattr(check, "_accuracy", lambda *_, values=values: next(values))
        if sentence := check.warning(nn.Linear(3, 2), step):
            sentences[step] = sentence
    assert list(sentences) == ([] if warned_at is None else [warned_at])
    for sentence in sentences.values():
        assert sentence.startswith("catastrophic overfitting by step 3: of 64 training samples 90% are right")
        assert "20% under 10 steps, after 50% before; use several steps" in sentence


def test_only_training_with_a_single_step_is_checked() -> None:
    data = make_check().data
    assert OverfittingCheck.of(Trades(steps=1), data) is not None
    assert OverfittingCheck.of(Adversarial(steps=7), data) is None
    assert OverfittingCheck.of(Mislabeled(steps=1), data) is None


def warnings_on_digits(objective: Adversarial) -> list[str]:
    digits = load_digits()
    x, y = torch.from_numpy((digits.data / 16).astype(np.float32)), torch.from_numpy(digits.target)
    hidden = MLP(widths=(128, 128)).build(64, generator(0, "network"))
    last = MLP(widths=(128,)).build(128, generator(0, "last"))[0]
    network = nn.Sequential(*hidden[:4], nn.Linear(128, 10))
    with torch.no_grad():
        network[4].weight.copy_(last.weight[:10])
        network[4].bias.zero_()
    sentences: list[str] = []
    training = Training(objective=objective, optimizer=Adam(lr=3e-3), batch_size=64, stop=Stop(epochs=20))
    training.fit(network, x, y, [], lambda *_: None, bounds=Box(), warn=sentences.append)
    return sentences


def test_a_network_on_digits_overfits_to_a_large_single_step() -> None:
    (sentence,) = warnings_on_digits(Adversarial(norm="linf", eps=0.3, steps=1, random_start=False))
    assert "catastrophic overfitting" in sentence


def test_a_small_single_step_gives_no_warning() -> None:
    assert warnings_on_digits(Adversarial(norm="linf", eps=0.1, steps=1, random_start=True)) == []
