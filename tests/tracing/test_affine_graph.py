"""Tests of the affine graph: it has the scores of every readable network, and other networks raise an error."""

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.networks import NormalizedModel, ResNet, add_second_logit, build_model, freeze
from dimple.protocols import Classifier
from dimple.tensors import generator
from dimple.tracing.affine_graph import trace_affine_graph
from tests.oracles import Abs

ACTIVATIONS = [
    nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.2), Abs(), nn.Hardtanh(), nn.ReLU6(), nn.Tanh(), nn.Sigmoid(),
    nn.GELU(), nn.Softplus(beta=2), nn.SiLU(), nn.Identity(),
]  # fmt: skip


def check(classifier: Classifier, x: Tensor) -> None:
    graph = trace_affine_graph(classifier, x[0])
    torch.testing.assert_close(graph.scores(x.flatten(1)).float(), classifier(x).detach().float(), rtol=1e-4, atol=1e-5)


def samples(*shape: int) -> Tensor:
    return torch.rand(5, *shape, generator=generator(0, "samples"))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_every_activation_is_read(activation: nn.Module) -> None:
    network = nn.Sequential(
        nn.Linear(6, 9), activation, nn.BatchNorm1d(9), nn.Linear(9, 4), activation, nn.Linear(4, 3)
    )
    network.eval()(samples(6))
    check(freeze(network), samples(6))


@pytest.mark.parametrize(("name", "shape"), [("mnist_convnet", (1, 28, 28)), ("cifar_convnet", (3, 32, 32))])
def test_convolutions_and_normalized_inputs_are_read(name: str, shape: tuple[int, ...]) -> None:
    check(freeze(build_model(name)), samples(*shape))


def test_a_residual_network_is_read() -> None:
    residual = ResNet(8).build((3, 8, 8), generator(0, "network"), 10)
    network = freeze(NormalizedModel((0.5,) * 3, (0.2,) * 3, residual))
    check(network, samples(3, 8, 8))


def wrapped() -> dict[str, tuple[Classifier, tuple[int, ...]]]:
    inner = freeze(nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 1)))
    affine_slice = AffineSlice(torch.zeros(3, 2, 2), torch.eye(12)[:, :3])
    return {
        "one logit": (add_second_logit(inner), (3, 2, 2)),
        "a slice": (restrict_to_slice(Boundary(add_second_logit(inner)), affine_slice).model, (3,)),
        "a function": (lambda x: torch.stack([x.flatten(1).sum(1).relu(), x[:, 0, 0, 0]], dim=1), (3, 2, 2)),
    }


@pytest.mark.parametrize("kind", wrapped())
def test_wrappers_and_functions_are_read_through(kind: str) -> None:
    classifier, shape = wrapped()[kind]
    check(classifier, samples(*shape))
