"""The emulated device: every kind of fault is found on a function with that fault, and functions without one pass."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.device_emulation import EmulatedDevice


def add_a_tensor_of_the_host(x: Tensor) -> object:
    return x + torch.ones(3)


def write_into_a_tensor_of_the_host(x: Tensor) -> object:
    return torch.zeros(()).add_(x.sum())


def select_from_the_host(x: Tensor) -> object:
    return torch.arange(5)[x.argsort()]


def multiply_by_a_host_scalar_tensor(x: Tensor) -> object:
    return torch.cat([x, torch.tensor(2.0)[None]])


def differentiate_with_a_weight_of_the_host(x: Tensor) -> object:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(leaf * leaf, leaf, torch.ones(3))


def convert_to_numpy(x: Tensor) -> object:
    return x.numpy()


def convert_to_an_array(x: Tensor) -> object:
    return np.asarray(x)


def draw_on_the_device(x: Tensor) -> object:
    return torch.rand(3, generator=torch.Generator(), device=x.device)


def draw_like(x: Tensor) -> object:
    return torch.empty_like(x).normal_(generator=torch.Generator())


def add_double_precision(x: Tensor) -> object:
    return x + torch.zeros(3, dtype=torch.float64, device=x.device)


FAULTS: list[tuple[Callable[[Tensor], object], str, str]] = [
    (add_a_tensor_of_the_host, "mixed devices", "add"),
    (write_into_a_tensor_of_the_host, "mixed devices", "add_"),
    (select_from_the_host, "mixed devices", "index"),
    (multiply_by_a_host_scalar_tensor, "mixed devices", "cat"),
    (differentiate_with_a_weight_of_the_host, "mixed devices", "mul"),
    (convert_to_numpy, "numpy", "numpy"),
    (convert_to_an_array, "numpy", "__array__"),
    (draw_on_the_device, "generator", "rand"),
    (draw_like, "generator", "normal_"),
    (add_double_precision, "mixed precision", "add"),
]


@pytest.mark.parametrize(("function", "kind", "name"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_is_found_with_its_function_and_its_line(
    function: Callable[[Tensor], object], kind: str, name: str
) -> None:
    with EmulatedDevice() as device:
        function(torch.zeros(3, device=device.device))
    (found,) = device.violations
    first = function.__code__.co_firstlineno
    lines = {f"{__file__.rpartition('/')[2]}:{line} {function.__name__}" for line in range(first, first + 4)}
    assert (found.kind, found.function) == (kind, name) and found.site in lines


def test_double_precision_is_a_fault_where_the_device_lacks_it() -> None:
    with EmulatedDevice("mps") as device:
        torch.zeros(2, device="mps").double()
        torch.zeros(2, dtype=torch.float64)
    assert [fault.kind for fault in device.violations] == ["double precision"]


def test_what_an_accelerator_accepts_is_no_fault() -> None:
    with EmulatedDevice() as device:
        place = torch.device("cuda:0")
        x = torch.arange(6.0, device=place).reshape(3, 2)
        results = [
            x * torch.tensor(2.0),
            x[torch.tensor([0, 2])],
            torch.zeros(3, 2).to(x) + x,
            torch.randn(3, 2, generator=torch.Generator()).to(x.device) + x,
            x.masked_fill(x > 1, torch.tensor(0.0)),
            torch.zeros_like(x).copy_(torch.ones(3, 2)) + x,
            torch.as_tensor([1.0, 2.0], device=x.device) + x.new_tensor([1.0, 2.0]) + x.new_zeros(2),
            torch.cartesian_prod(x[0], x[1]) + torch.vmap(torch.sin)(x[:2]).repeat(2, 1),
            torch.linalg.svd(x).S,
        ]
        assert all(device.holds(result) for result in results)
        assert {result.device for result in results} == {place}
        x.cpu().numpy()
        assert torch.equal(x.to("cpu", torch.float64) + torch.ones(3, 2), x.cpu() + 1.0)
    assert not device.violations, device.describe()


def test_networks_gradients_and_copies_lie_where_their_weights_do() -> None:
    with EmulatedDevice() as device:
        network = nn.Sequential(nn.Conv1d(1, 2, 2), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(6, 2)).to("cuda")
        x = torch.randn(5, 1, 4).to(device.device).requires_grad_()
        loss = nn.functional.cross_entropy(network(x), torch.zeros(5, dtype=torch.long, device=x.device))
        loss.backward()
        copied = copy.deepcopy(network)
        tensors = [*network.parameters(), *network.buffers(), *copied.parameters(), *copied.buffers()]
        tensors += [x.grad, *(parameter.grad for parameter in network.parameters())]
        assert {tensor.device for tensor in tensors} == {device.device}
        assert {tensor.device.type for tensor in copied.cpu().parameters()} == {"cpu"}
    assert not device.violations, device.describe()


def test_results_are_those_of_the_cpu_bit_for_bit() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with EmulatedDevice() as device:
        moved = x.to(device.device)
        found = (moved @ moved.T).softmax(1).cpu()
    assert torch.equal(found, (x @ x.T).softmax(1))
    assert found.device.type == "cpu" and not torch.cuda.is_available()


def test_waiting_is_counted_by_function_and_line() -> None:
    with EmulatedDevice() as device:
        x = torch.arange(4.0, device="cuda")
        host = torch.arange(4.0)
        for _ in range(3):
            float(x.sum())
        x.tolist(), bool((x > 0).any()), torch.nonzero(x), x[x > 1]
        x[x > 1] = 0.0
        float(host.sum()), host.tolist(), host[host > 1]
    counts = {name: 0 for name, _ in device.synchronizations}
    for (name, _), count in device.synchronizations.items():
        counts[name] += count
    assert counts == {"_local_scalar_dense": 4, "tolist": 1, "nonzero": 1, "index by a mask": 1}
    assert device.describe().splitlines()[0].startswith("     3 wait: _local_scalar_dense in test_device_emulation.py:")
