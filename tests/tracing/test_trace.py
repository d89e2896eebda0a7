"""Tests of the reader of networks: it follows what torch runs, and refuses every operation without a proven rule."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from dimple.errors import ModelError
from dimple.protocols import Classifier
from dimple.tensors import generator
from dimple.tracing.affine_graph import trace_affine_graph


def check(classifier: Classifier, *shape: int) -> None:
    """Compare the scores of the graph with those of the classifier, which is evaluated in double precision."""
    if isinstance(classifier, nn.Module):
        classifier.eval().requires_grad_(False)
    graph = trace_affine_graph(classifier, torch.zeros(shape))
    exact = copy.deepcopy(classifier).double() if isinstance(classifier, nn.Module) else classifier
    for scale in (0.3, 1.0, 5.0):
        x = scale * torch.randn(20, *shape, generator=generator(0, "samples")).double()
        expected = torch.cat([exact(row).flatten(1) for row in x.clone().split(1)])
        torch.testing.assert_close(graph.scores(x.flatten(1)), expected, rtol=1e-10, atol=1e-10)


class Shared(nn.Module):
    """A network that uses one layer three times, and its weight once more as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x).relu()
        return functional.linear(self.layer(self.layer(x).relu()) + x, self.layer.weight.T)


class SwitchedOff(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x.relu()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def hooked() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    network[0].register_forward_hook(lambda module, inputs, output: output.relu())
    return network


def write_into_slices(x: Tensor) -> Tensor:
    out = x.new_zeros(len(x), 3)
    out[:, 0] = x[:, 0].relu()
    out[:, 1:] = x[:, 1:3]
    out[:, 1] += out[:, 0]
    return out


def write_into_views(x: Tensor) -> Tensor:
    doubled = 2 * x
    view = doubled[:, 1:]
    doubled.mul_(3)
    positive = view.relu()
    positive[:, 0] = 0
    doubled.view(-1, 2)[1].neg_()
    return torch.cat([positive, doubled, view], dim=1)


def in_double_inside(x: Tensor) -> Tensor:
    return (x.double() @ torch.ones(4, 2, dtype=torch.float64)).abs().to(x.dtype)


READABLE: dict[str, tuple[Classifier, tuple[int, ...]]] = {
    "tied layers": (Shared(), (4,)),
    "hook": (hooked(), (4,)),
    "weight norm": (nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2)), (4,)),
    "spectral norm": (nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2)), (4,)),
    "autograd function": (SwitchedOff.apply, (4,)),
    "slices written": (write_into_slices, (4,)),
    "views written": (write_into_views, (4,)),
    "in place": (lambda x: x.clone().relu_() + x, (4,)),
    "double inside": (in_double_inside, (4,)),
    "straight through": (lambda x: x[:, :2].abs() + (3 * x[:, 2:] - x[:, :2]).detach() + x[:, 1:3].data, (4,)),
    "float64": (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double(), (4,)),
    "prelu": (nn.Sequential(nn.Linear(4, 3), nn.PReLU(init=1.7), nn.LeakyReLU(3.0), nn.Linear(3, 2)), (4,)),
    "tanhshrink": (nn.Sequential(nn.Linear(4, 3), nn.Tanhshrink(), nn.Dropout(), nn.Linear(3, 2)), (4,)),
    "maxima": (
        lambda x: torch.cat([x.max(1)[0][:, None], x.amin(1, True), torch.maximum(x, -x), torch.minimum(x, 1 - x)], 1),
        (5,),
    ),
    "swapped clamp": (lambda x: x.clamp(2.0, 1.0) + x.clamp(max=0.5), (4,)),
    "groups": (
        nn.Sequential(nn.Conv2d(4, 4, 3, groups=2, padding="same"), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, stride=2),
                      nn.BatchNorm2d(2), nn.Flatten()), (4, 5, 5),
    ),
    "padding": (
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.ReLU(inplace=True),
                      nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.AvgPool2d(3, 2, 1), nn.Flatten()),
        (1, 6, 5),
    ),
    "upsampling": (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU(), nn.Flatten()), (1, 3, 3)),
    "max pool": (nn.Sequential(nn.MaxPool2d(3, 2), nn.Flatten()), (2, 7, 6)),
    "max pool, padded": (nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Flatten()), (2, 7, 6)),
    "max pool, ceil": (nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.Flatten()), (2, 7, 5)),
    "max pool, dilated": (
        nn.Sequential(nn.MaxPool2d((1, 3), (2, 1), (0, 1), (1, 2), ceil_mode=True), nn.Flatten()), (1, 7, 6),
    ),
    "max pool, adaptive": (nn.Sequential(nn.AdaptiveMaxPool2d((2, 3)), nn.Flatten()), (2, 7, 5)),
    "max pool of sequences": (nn.Sequential(nn.MaxPool1d(3, 2, 1), nn.Flatten()), (2, 7)),
    "max pool of volumes": (nn.Sequential(nn.MaxPool3d(2, 1, 1), nn.Flatten()), (1, 3, 4, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", READABLE)
def test_what_torch_runs_is_read(name: str) -> None:
    check(READABLE[name][0], *READABLE[name][1])


def test_weights_in_half_precision_are_read_exactly() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    check(network.half(), 4)
    check(network.bfloat16(), 4)


class Counting(nn.Module):
    """A module that changes its buffer in every pass, and whose scores depend on it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.copy_(x)
        return x + self.seen


def replace_data(x: Tensor) -> Tensor:
    copy_of_x = x.clone()
    copy_of_x.data = x.abs()
    return copy_of_x


def caught(x: Tensor) -> Tensor:
    try:
        return x if float(x.sum()) > 0 else -x
    except ModelError:
        return x


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "branch": (lambda x: x if x.sum() > 0 else -x, "_local_scalar_dense turns the sample into a number"),
    "caught": (caught, "_local_scalar_dense turns the sample into a number"),
    "item": (lambda x: x * x[0, 0].item(), "_local_scalar_dense turns the sample into a number"),
    "equal": (lambda x: x if torch.equal(x, x) else -x, "equal turns the sample into a number"),
    "numpy": (lambda x: x + torch.from_numpy(np.sort(x.detach().numpy())), "numpy"),
    "tolist": (lambda x: x * torch.tensor(x.tolist()), "tolist"),
    "memory": (lambda x: x.clone().apply_(abs), "memory"),
    "data replaced": (replace_data, "replaces the memory"),
    "where": (lambda x: torch.where(x > 0, x, 0 * x), "operation gt"),
    "mask": (lambda x: x * (x > 0), "operation gt"),
    "index": (lambda x: x[:, x.argmax(1)], "operation argmax"),
    "floor": (torch.floor, "operation floor"),
    "round": (torch.round, "operation round"),
    "sign": (torch.sign, "operation sign"),
    "integer": (lambda x: x.long().float(), "operation _to_copy"),
    "remainder": (lambda x: x % 1.0, "operation remainder"),
    "floor division": (lambda x: torch.div(x, 2.0, rounding_mode="floor"), "operation div"),
    "reciprocal": (lambda x: 1 / x, "operation reciprocal"),
    "product": (lambda x: x * x, "operation mul"),
    "outer product": (lambda x: (x[:, :, None] @ x[:, None]).flatten(1), "operation bmm"),
    "sort": (lambda x: x.sort(1)[0], "operation sort"),
    "norm": (functional.normalize, "operation linalg_vector_norm"),
    "softmax": (nn.Softmax(1), "operation _softmax"),
    "layer norm": (nn.LayerNorm(4), "operation native_layer_norm"),
    "threshold": (nn.Threshold(0.1, 20.0), "operation threshold"),
    "hard shrink": (nn.Hardshrink(), "operation hardshrink"),
    "gelu": (nn.GELU("tanh"), "operation gelu"),
    "softplus": (nn.Softplus(threshold=1.0), "operation softplus"),
    "clamp": (lambda x: x.clamp(torch.zeros(4), torch.ones(4)), "operation clamp"),
    "random": (lambda x: x + torch.rand(4), "rand draws random numbers"),
    "dropout": (nn.Dropout().train(), "draws random numbers"),
    "batch norm": (nn.BatchNorm1d(4).train(), "Expected more than 1 value per channel when training"),
    "batch statistics": (
        nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.BatchNorm2d(1), nn.Flatten()), "operation native_batch_norm",
    ),
    "side effect": (Counting().eval(), "copy_ writes the sample into a tensor that exists before it"),
    "named": (lambda x: torch.searchsorted(torch.ones(1, 4), x, sorter=x.long()), "a named argument"),
    "out": (lambda x: torch.add(x, 1.0, out=torch.empty(1, 4)), "add"),
    "shape in place": (lambda x: x.clone().unsqueeze_(0).squeeze(0), "unsqueeze_ changes the shape of a tensor"),
    "outside": (nn.Sequential(nn.Linear(4, 4), nn.Softsign()), "operation div"),
    "constant": (lambda x: torch.ones(len(x), 2), "do not depend on the sample"),
    "wrong shape": (nn.Linear(5, 2), "mat1 and mat2 shapes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_without_a_rule_is_refused_by_its_name(name: str) -> None:
    classifier, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        trace_affine_graph(classifier, torch.zeros(4))
