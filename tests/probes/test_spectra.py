"""Operator norms against dense singular values and Fourier transforms, and Lipschitz bounds against pairs of inputs."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.boundary import Boundary
from dimple.errors import ModelError, ShapeError
from dimple.linalg.operator_norm import circular_convolution_norm, operator_norm
from dimple.networks import ResNet, add_second_logit
from dimple.probes import spectra
from dimple.tensors import generator
from dimple.tracing.trace import UnprovenOperationError
from dimple.verification.lipschitz import lipschitz_bound
from tests.oracles import randomize_weights

pytestmark = pytest.mark.usefixtures("double")


def dense_norm(layer: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> float:
    like = torch.zeros(1, *shape)
    jacobian = torch.autograd.functional.jacobian(layer, like)
    return float(torch.linalg.matrix_norm(jacobian.reshape(-1, like.numel()), ord=2))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(12, 7), (12,)),
        (nn.Conv2d(2, 3, 3, padding=1), (2, 7, 6)),
        (nn.Conv2d(2, 4, 4, stride=2, padding=1, groups=2), (2, 8, 8)),
        (nn.Conv2d(1, 2, 3, stride=2, padding=2, dilation=2, bias=False), (1, 9, 7)),
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), (2, 6, 6)),
        (nn.Conv2d(2, 3, 3, padding=1, stride=2, padding_mode="circular"), (2, 6, 8)),
        (nn.Conv2d(2, 3, 3, padding="valid", padding_mode="circular"), (2, 6, 6)),
        (nn.Conv2d(1, 2, 5, padding=2, padding_mode="circular"), (1, 4, 4)),
        (nn.Conv1d(3, 2, 5, stride=3), (3, 20)),
        (nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1), (3, 4, 4)),
        (nn.BatchNorm2d(3), (3, 4, 4)),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, nn.Module) else "",
)
def test_the_norm_of_every_layer_is_its_largest_singular_value(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = randomize_weights(layer)
    exact = dense_norm(layer, shape)
    assert operator_norm(layer, torch.zeros(1, *shape)) == pytest.approx(exact, rel=1e-6)
    flat = Boundary(lambda x: layer(x).flatten(1))
    flat.model = nn.Sequential(layer, nn.Flatten()).eval()
    found = spectra(flat, torch.rand(2, *shape, generator=generator(1, "x")), ascent_steps=0, null_draws=1)
    assert found.layers[0].norm == pytest.approx(exact, rel=1e-5)
    assert found.lipschitz_upper_bound == pytest.approx(found.lipschitz_lower_bound, rel=1e-5)
    jacobian = torch.autograd.functional.jacobian(layer, torch.zeros(1, *shape))
    if not math.isnan(found.layers[0].frobenius):
        assert found.layers[0].frobenius == pytest.approx(float(jacobian.norm()), rel=1e-9)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(6, 6), (6, 12)])
def test_the_fourier_transform_agrees_with_products_on_a_torus(stride: int, size: tuple[int, int]) -> None:
    layer = randomize_weights(nn.Conv2d(2, 3, 3, stride=stride, padding=1, padding_mode="circular"))
    by_products = operator_norm(layer, torch.zeros(1, 2, *size))
    assert isinstance(layer, nn.Conv2d)
    assert circular_convolution_norm(layer.weight, size, stride) == pytest.approx(by_products, rel=1e-4)


def test_a_kernel_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="multiple of the stride"):
        circular_convolution_norm(torch.ones(1, 1, 3, 3), (8, 8), stride=3)


class Functional(nn.Module):
    """A network of functional operations of many kinds, with two branches."""

    def forward(self, x: Tensor) -> Tensor:
        left = functional.avg_pool2d(functional.gelu(2 * x[:, :, 1:3, ::2]), (2, 1))
        right = functional.max_pool2d(functional.pad(x.abs(), (1, 1, 1, 1)), 3, 2)
        joined = torch.cat([left.flatten(1) / 3, torch.sigmoid(right).flatten(1)], dim=1)
        return functional.elu(joined, alpha=1.5) - functional.leaky_relu(joined.mean(1, keepdim=True), 0.3)


NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "chain": (nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 3)), (5,)),
    "pools": (
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                      nn.Linear(12, 2)), (1, 9, 9),
    ),
    "residual": (ResNet(8).build((3, 8, 8), generator(0, "network"), 3), (3, 8, 8)),
    "one logit": (add_second_logit(nn.Sequential(nn.Linear(4, 6), nn.SiLU(), nn.Linear(6, 1))), (4,)),
    "functional": (Functional(), (2, 6, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_no_pair_of_inputs_exceeds_the_lipschitz_bound(name: str) -> None:
    network, shape = NETWORKS[name]
    network = randomize_weights(network)
    stream = generator(2, "pairs")
    x = torch.randn(200, *shape, generator=stream)
    found = spectra(Boundary(network), x[:20], null_draws=1)
    assert found.unbounded_operations == ()
    assert 0 < found.lipschitz_lower_bound <= found.lipschitz_upper_bound < math.inf
    assert float(found.jacobian_norms.max()) <= found.lipschitz_lower_bound
    for size in (1e-3, 1.0, 30.0):
        other = x + size * torch.randn(x.shape, generator=stream)
        rate = (network(x) - network(other)).norm(dim=1) / (x - other).flatten(1).norm(dim=1)
        assert float(rate.max()) <= found.lipschitz_upper_bound * (1 + 1e-9)


def test_the_bound_is_the_product_over_layers_with_one_plus_the_branch_of_a_block() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return x + functional.relu(self.inner(x))

    block = Block()
    network = randomize_weights(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), block, nn.Linear(4, 3)))
    first = dense_norm(network.get_submodule("0"), (6,))
    inner = dense_norm(network.get_submodule("2.inner"), (4,))
    last = dense_norm(network.get_submodule("3"), (4,))
    found = spectra(Boundary(network), torch.ones(1, 6), null_draws=1)
    assert found.lipschitz_upper_bound == pytest.approx(first * (1 + inner) * last)
    assert [layer.name for layer in found.layers] == ["0", "2.inner", "3"]


def test_a_shuffled_layer_has_a_smaller_norm() -> None:
    # A matrix of rank one has a single singular value; the same entries in another order have many.
    layer = nn.Linear(40, 40, bias=False).eval().requires_grad_(False)
    a, b = (torch.randn(40, generator=generator(seed, "factor")) for seed in (0, 1))
    layer.weight.copy_(torch.outer(a, b))
    found = spectra(Boundary(layer), torch.ones(1, 40)).layers[0]
    assert found.norm == pytest.approx(float(a.norm() * b.norm()))
    assert found.stable_rank == pytest.approx(1.0)
    assert found.norm_null < found.norm / 2


UNBOUNDED: dict[str, Callable[[Tensor], Tensor]] = {
    "native_layer_norm": nn.LayerNorm(4).eval(),
    "mul": lambda x: x * x,
    "_local_scalar_dense": lambda x: x if float(x.sum()) > 0 else -x,
    "gt": lambda x: (x > 0).double(),
}


@pytest.mark.parametrize("culprit", UNBOUNDED)
def test_operations_without_a_bound_are_named(culprit: str) -> None:
    with pytest.raises(UnprovenOperationError) as refused:
        lipschitz_bound(UNBOUNDED[culprit], torch.ones(4))
    assert refused.value.operation == culprit
    if isinstance(UNBOUNDED[culprit], nn.Module):
        found = spectra(
            Boundary(UNBOUNDED[culprit]), torch.randn(3, 4, generator=generator(0, "x")).float(), null_draws=0
        )
        assert math.isinf(found.lipschitz_upper_bound) and found.unbounded_operations == (culprit,)


def test_a_network_in_training_mode_is_refused() -> None:
    with pytest.raises(ModelError, match=r"eval\(\)"):
        spectra(Boundary(nn.Linear(2, 2)), torch.zeros(1, 2))


def test_certified_margins_are_lower_bounds() -> None:
    from dimple.probes import Margin

    network = randomize_weights(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)))
    x = torch.randn(20, 5, generator=generator(3, "x"))
    boundary = Boundary(network)
    y = boundary.predict(x)
    certified = boundary.logit_margin(x, y) / (math.sqrt(2) * spectra(boundary, x, null_draws=0).lipschitz_upper_bound)
    assert bool((certified <= Margin(restarts=3)(boundary, x, y).columns["margin"]).all())
