"""Wrappers that make a classifier of a network."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dimple.errors import ModelError, UsageError
from dimple.networks import NormalizedModel, add_second_logit, freeze, unwrap
from dimple.tensors import generator


def test_normalization_equals_an_affine_layer() -> None:
    """A linear layer of (x - m) / s is the layer with weights w / s and bias b - w m / s."""
    stream = generator(0, "normalise")
    x = torch.rand(5, 3, 2, 2, generator=stream, dtype=torch.float64)
    mean = (0.2, 0.5, 0.9)
    std = (0.1, 0.25, 2.0)
    layer = nn.Linear(12, 4, dtype=torch.float64)
    m = torch.tensor(mean, dtype=torch.float64).repeat_interleave(4)
    s = torch.tensor(std, dtype=torch.float64).repeat_interleave(4)
    expected = x.flatten(1) @ (layer.weight / s).T + layer.bias - (layer.weight * m / s).sum(1)
    scores = NormalizedModel(mean, std, nn.Sequential(nn.Flatten(), layer)).double()(x)
    torch.testing.assert_close(scores, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (0.0,)), ((0.5,), (-1.0,)), ((0.5, 0.5), (1.0,)), ((0.5,), (float("nan"),))]
)
def test_an_invalid_normalization_is_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="one pair a channel"):
        NormalizedModel(mean, std, nn.Flatten())


@pytest.mark.parametrize("squeezed", [True, False])
def test_the_difference_of_the_two_scores_is_the_logit(squeezed: bool) -> None:
    layer = nn.Linear(3, 1)
    module = nn.Sequential(layer, nn.Flatten(0)) if squeezed else layer
    x = torch.randn(7, 3, generator=generator(0, "points"))
    scores = add_second_logit(module)(x)
    assert scores.shape == (7, 2)
    assert torch.equal(scores[:, 1] - scores[:, 0], layer(x)[:, 0])


def test_unwrap_finds_the_network_in_nested_wrappers() -> None:
    core = nn.Linear(4, 1)
    assert unwrap(add_second_logit(NormalizedModel((0.0,), (1.0,), core))) is core
    assert unwrap(core) is core


def test_a_frozen_copy_is_independent_of_the_original() -> None:
    original = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    original[0].weight.requires_grad_(False)
    states = [(p.requires_grad, p.grad) for p in original.parameters()]
    copy = freeze(original)
    x = torch.randn(4, 3, generator=generator(0, "points"))
    assert torch.equal(copy(x), copy(x))
    assert not copy.training
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert original.training
    assert all(module.training for module in original)
    assert [(p.requires_grad, p.grad) for p in original.parameters()] == states
    with torch.no_grad():
        original[0].weight.zero_()
    assert bool(copy[0].weight.abs().sum() > 0)


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    class Locked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

    with pytest.raises(ModelError, match="Locked cannot be copied"):
        freeze(Locked())


class Remembering(nn.Module):
    """A network that stores results of its last forward pass, as for a picture of its activations."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("scores", None)
        self.activations: dict[str, list[Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.scores = self.layer(x)
        self.activations["layer"] = [self.scores.tanh()]
        return self.scores


def test_a_module_that_stores_results_of_a_forward_pass_is_copied_without_their_gradient() -> None:
    original = Remembering()
    x = torch.randn(4, 3, generator=generator(0, "points"))
    expected = original(x)
    copy = freeze(original)
    assert copy.activations["layer"][0].grad_fn is None
    assert torch.equal(copy(x), expected)
    assert original.activations["layer"][0].grad_fn is not None


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("weight_norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_a_module_with_weight_normalization_is_copied(weight_norm: Callable[[nn.Module], nn.Module]) -> None:
    original = weight_norm(nn.Linear(3, 2))
    x = torch.randn(4, 3, generator=generator(0, "points"))
    copy = freeze(original)
    assert torch.equal(copy(x), original(x))
    assert not any(parameter.requires_grad for parameter in copy.parameters())


def test_a_compiled_network_is_measured_as_the_network_that_it_was_made_of() -> None:
    layer = nn.Linear(3, 2)
    inner = nn.Sequential(torch.compile(layer, backend="eager"), nn.ReLU())
    for compiled in (inner, torch.compile(nn.Sequential(layer, nn.ReLU()), backend="eager")):
        frozen = freeze(compiled)
        assert frozen.state_dict().keys() == {"0.weight", "0.bias"}
        x = torch.randn(4, 3, generator=generator(0, "points"))
        assert torch.equal(frozen(x), layer(x).relu())
    assert "0._orig_mod.weight" in inner.state_dict()
