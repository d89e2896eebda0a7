"""The package on an emulated accelerator: no tensor is made in the wrong place, and no loop waits for it needlessly."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple import measure
from dimple.boundary import Boundary
from dimple.experiment import ProbeConfig, probe, simulate
from dimple.levelsets import LEVEL_SETS, check_completeness, class_regions, extract_pairwise_boundaries
from dimple.networks import MLP, ConvNet
from dimple.probes import (
    PROBES,
    Margin,
    Probe,
    Speed,
    SubspaceMargin,
    find_boundary_points,
    gradient_descent_direction,
    spectra,
    transfer,
)
from dimple.probes.subspaces import dct_bands
from dimple.progress import silent_progress
from dimple.scene import load_scene
from dimple.tangents import ClassPCA, GlobalPCA, LocalPCA, RandomSubspace
from dimple.tensors import Box, generator, vector_norm
from dimple.training import Averaging, Stop, Training
from dimple.training import loop as training_loop
from dimple.training.objectives import OBJECTIVES
from dimple.training.optimizers import OPTIMIZERS
from dimple.workers import Task
from tests.device_emulation import EmulatedDevice
from tests.engines import killing_network

POINT_DIM = 6
IMAGE = (1, 8, 8)


@pytest.fixture
def device() -> Iterator[EmulatedDevice]:
    """An emulated device; at the end of the test no fault may have been seen."""
    with EmulatedDevice("cuda") as emulated:
        yield emulated
    assert not emulated.violations, emulated.describe()


def points(device: EmulatedDevice, count: int = 6) -> tuple[nn.Module, Tensor, Tensor]:
    """A network of points on the device, with samples and their labels."""
    network = MLP(widths=(4, 4), first_layer_weight_scale=2.0).build(POINT_DIM, generator(0, "network"))
    x = torch.randn(count, POINT_DIM, generator=generator(0, "points"))
    return network.to(device.device), x.to(device.device), (x[:, 0] > 0).long().to(device.device)


def images(device: EmulatedDevice, count: int = 3) -> tuple[nn.Module, Tensor, Tensor]:
    """A convolutional network of three classes on the device, with images and their labels."""
    network = ConvNet(channels=(2,), hidden=4).build(IMAGE, generator(0, "network"), classes=3)
    x = torch.rand(count, *IMAGE, generator=generator(0, "images"))
    return network.to(device.device), x.to(device.device), torch.arange(count).to(device.device)


def lies_on(device: EmulatedDevice, tensors: dict[str, Tensor]) -> bool:
    return all(device.holds(tensor) for tensor in tensors.values())


class Memory:
    """A cache in memory, as a run folder is one on disk."""

    def __init__(self) -> None:
        self.kept: dict[str, training_loop.Arrays] = {}

    def read_cache(self, name: str) -> training_loop.Arrays | None:
        return self.kept.get(name)

    def write_cache(self, name: str, arrays: training_loop.Arrays) -> None:
        self.kept[name] = {key: np.array(value) for key, value in arrays.items()}


@pytest.mark.parametrize("restrict", ["none", "on"])
@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_every_objective_trains_on_the_device(kind: str, restrict: str, device: EmulatedDevice) -> None:
    network, x, y = points(device)
    has_restriction = "restrict" in OBJECTIVES[kind].__dataclass_fields__  # type: ignore[attr-defined]
    if restrict == "on" and not has_restriction:
        return
    objective = OBJECTIVES[kind](**({"restrict": restrict} if has_restriction else {}))  # type: ignore[call-arg]
    training = Training(objective=objective, batch_size=4, averaging=Averaging(), clip_norm=1.0, stop=Stop(steps=2))
    trained = []
    training.fit(
        network,
        x,
        y,
        [0, 2],
        lambda step, net, loss: trained.append(net),
        tangents=RandomSubspace(dim=2, seed=0, draw=0),
    )
    assert lies_on(device, dict(trained[-1].named_parameters()))
    assert lies_on(device, {name: value.grad for name, value in network.named_parameters()})


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9, "nesterov": True}], ids=["plain", "momentum"])
@pytest.mark.parametrize("kind", sorted(OPTIMIZERS))
def test_every_optimizer_updates_on_the_device(kind: str, settings: dict[str, object], device: EmulatedDevice) -> None:
    network, x, y = images(device)
    optimizer = OPTIMIZERS[kind](weight_decay=0.1, **(settings if kind == "sgd" else {}))  # type: ignore[call-arg]
    stop = Stop(steps=3, accuracy=1.0, loss=1e-9, min_margin=1e3)
    Training(optimizer=optimizer, stop=stop).fit(network, x, y, [3], lambda *_: None, bounds=Box())


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_a_training_continues_from_its_cache_on_the_device(
    kind: str, device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_loop, "SECONDS_BETWEEN_STATES", 0.0)
    training = Training(objective=OBJECTIVES[kind](), batch_size=4, averaging=Averaging(), stop=Stop(steps=2))
    ends = []
    cache = Memory()
    for _ in range(2):
        network, x, y = points(device)
        training.fit(network, x, y, [2], lambda step, net, loss: ends.append(net), cache=cache)
    first, second = (dict(net.named_parameters()) for net in ends)
    assert lies_on(device, second)
    assert all(torch.equal(first[name].cpu(), second[name].cpu()) for name in first)


# Probes that take thousands of operations for each sample.
SLOW = ("exact", "robust")


def probe_of(kind: str) -> Probe:
    small = {
        "exact": {"nodes": 2},
        "offset": {"null_draws": 2},
        "onoff": {"null_draws": 2, "max_passes": 10},
        "robust": {"steps": 4, "max_passes": 20},
    }
    return PROBES[kind](**small.get(kind, {}))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(PROBES))
def test_every_probe_measures_points_on_the_device(kind: str, device: EmulatedDevice) -> None:
    network, x, y = points(device, 1 if kind in SLOW else 6)
    result = probe_of(kind)(Boundary(network), x, y, RandomSubspace(dim=2, seed=0, draw=0))
    assert lies_on(device, result.columns | result.details)


@pytest.mark.parametrize("kind", sorted(PROBES))
def test_every_probe_measures_images_within_bounds_on_the_device(kind: str, device: EmulatedDevice) -> None:
    network, x, y = images(device, 1 if kind in SLOW else 3)
    result = probe_of(kind)(Boundary(network, Box()), x, y, RandomSubspace(dim=2, seed=0, draw=0))
    assert lies_on(device, result.columns | result.details)


@pytest.mark.parametrize(
    ("method", "norm"),
    [("closest", "l1"), ("closest", "linf"), ("deepfool", "l2"), ("pgd", "linf"), ("fab", "l1"), ("lbfgs", "l2")],
)
def test_every_search_runs_on_the_device(method: str, norm: str, device: EmulatedDevice) -> None:
    network, x, y = points(device, 2)
    margin = Margin(method=method, norm=norm, restarts=2)  # type: ignore[arg-type]
    assert lies_on(device, margin(Boundary(network, Box(-5, 5)), x, y).columns)


@pytest.mark.parametrize("name", ["cuda", None])
def test_a_network_in_memory_is_measured_on_the_device(name: str | None, device: EmulatedDevice) -> None:
    network, x, y = images(device)
    probes = [Margin(max_passes=10), probe_of("onoff"), "certified"]
    found = measure(
        network.eval(), x.cpu().numpy(), y.cpu().numpy(), probes, bounds=(0, 1), preprocessing=(0.1, 0.3), device=name,
        reference=torch.rand(60, *IMAGE, generator=generator(1, "reference")), tangents="local_pca",
    )  # fmt: skip
    assert np.isfinite(found["margin"]).all() and lies_on(device, found.table)


def test_tangent_spaces_are_estimated_on_the_device(device: EmulatedDevice) -> None:
    _, x, y = points(device, 40)
    fields = [LocalPCA(x, 2, 10), LocalPCA(x, None, 10), GlobalPCA(x, None), ClassPCA(x, y, 2)]
    for field in fields:
        assert device.holds(field.tangent_basis(x[:5]))


@pytest.mark.parametrize("kind", sorted(LEVEL_SETS))
def test_every_level_set_is_extracted_on_the_device(kind: str, device: EmulatedDevice) -> None:
    network = MLP(widths=(4,), first_layer_weight_scale=2.0).build(2, generator(0, "network")).to(device.device)
    level_set = LEVEL_SETS[kind](**({} if kind == "none" else {"resolution": 16}))  # type: ignore[arg-type]
    mesh = level_set.extract(Boundary(network), 1, (-2, -2), (2, 2), device.device)
    assert kind == "none" or len(mesh.faces)


def test_level_sets_of_images_and_of_several_classes_are_extracted_on_the_device(device: EmulatedDevice) -> None:
    network = MLP(widths=(4,)).build(2, generator(0, "network"), classes=3).to(device.device)
    boundary = Boundary(network)
    for kind in ("exact", "dense"):
        extract_pairwise_boundaries(boundary, (-2, -2), (2, 2), LEVEL_SETS[kind](resolution=8), device.device)  # type: ignore[call-arg]
    class_regions(boundary, (-2, -2), (2, 2), 8, device.device)
    check_completeness(boundary, 1, (-2, -2), (2, 2), 8, device.device)


def test_statistics_of_networks_and_their_training_run_on_the_device(device: EmulatedDevice) -> None:
    network, x, y = points(device)
    boundary = Boundary(network.eval())
    spectra(boundary, x)
    models = {"a": boundary, "b": boundary}
    transfer(models, x, y, find_boundary_points(models, x, Margin(max_passes=10)), noise_draws=2)
    Speed(null_draws=2)(boundary, x, y, gradient_descent_direction(network, x, y))
    images_network, images_x, images_y = images(device, 2)
    bands = dct_bands(IMAGE, size=4)
    SubspaceMargin(bands, null_draws=2, max_passes=6)(Boundary(images_network, Box()), images_x, images_y)


def test_norms_on_the_device_are_those_on_the_cpu(device: EmulatedDevice) -> None:
    rows = torch.tensor([[3.0, -4.0], [3e30, -4e30], [3e-30, 4e-30], [0.0, 0.0], [torch.inf, 1.0], [torch.nan, 1.0]])
    assert vector_norm(rows.to(device.device)).cpu().nan_to_num().equal(vector_norm(rows).nan_to_num())
    leaf = rows[:4].to(device.device).requires_grad_()
    (gradient,) = torch.autograd.grad(vector_norm(leaf).sum(), leaf)
    assert torch.isfinite(gradient).all() and gradient[0].cpu().equal(torch.tensor([0.6, -0.8]))


SHORT = ["training.stop={steps: 4}", "snapshots.count=2"]
FEW_POINTS = ["data.test_points=4", "data.heldout_points=4", "data.sampling.count=10", "levelset.resolution=16"]
SCENES = {
    "circle_in_2d": [
        *FEW_POINTS,
        "probes=[{kind: margin, max_passes: 10}, {kind: offset, limit: 0.5, null_draws: 2}]",
    ],
    "sphere_in_10d": [*FEW_POINTS, "probes=[{kind: margin, max_passes: 10}]"],
    "digits": [
        "data={kind: digits, subset: 60, test: 20, measured: 4}",
        "probes=[{kind: onoff, null_draws: 2, max_passes: 4}]",
        "tangents={kind: global_pca, dim: 4}",
        "network.widths=[8]",
        "slice.resolution=8",
    ],
}


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_scene_is_simulated_on_the_device(name: str, device: EmulatedDevice, tmp_path: Path) -> None:
    run = simulate(load_scene(name, [*SHORT, *SCENES[name]]), tmp_path / "run", device="cuda", film=name == "digits")
    assert run.info["device"].startswith("cuda:0") and run.info["status"] == "complete"


class Elsewhere:
    """An engine that runs the tasks of other processes in this one."""

    runs_here = False
    worth_seconds = 0.0

    def run_unordered(self, tasks: Iterable[Task[Any]], advance: Any, _lost: Any) -> Iterator[Any]:
        for task in tasks:
            yield task(advance)


def test_another_process_measures_a_shard_on_the_device_of_its_settings(device: EmulatedDevice, tmp_path: Path) -> None:
    config = ProbeConfig(
        model=f"{killing_network.NAME}:Killing", weights="none", data=killing_network.write_images(tmp_path),
        samples=40, probes=("margin",), max_passes=5.0,
    )  # fmt: skip
    here = probe(config, tmp_path / "here", device="cuda", progress=silent_progress)
    elsewhere = probe(
        config,
        tmp_path / "elsewhere",
        device="cuda",
        progress=silent_progress,
        engine=Elsewhere(),  # type: ignore[arg-type]
    )
    assert elsewhere.info["device"].startswith("cuda:0") and device.transfers
    tables = [(run.path / "measurements.parquet").read_bytes() for run in (here, elsewhere)]
    assert tables[0] == tables[1]


def network_calls(network: nn.Module) -> list[int]:
    """A list that grows by one entry each time the network is applied."""
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    return calls


# One wait for the loss of each step. Mislabeled trains twice; two objectives search the boundary in each step.
WAITS_PER_STEP = {"mislabeled": 2, "boundary_aware": 215, "hard_negative": 130}


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_a_training_step_waits_for_the_device_no_more_than_it_did(kind: str, device: EmulatedDevice) -> None:
    network, x, y = points(device)
    steps = 2
    training = Training(objective=OBJECTIVES[kind](), batch_size=4, clip_norm=1.0, stop=Stop(steps=steps))
    training.fit(network, x, y, [], lambda *_: None)
    assert device.synchronizations.total() <= WAITS_PER_STEP.get(kind, 1) * (steps + 1), device.describe()


@pytest.mark.parametrize(("method", "largest"), [("closest", 5.0), ("deepfool", 5.0), ("pgd", 0.7), ("fab", 0.95)])
def test_a_pass_of_a_search_waits_for_the_device_no_more_than_it_did(
    method: str, largest: float, device: EmulatedDevice
) -> None:
    network, x, y = points(device)
    calls = network_calls(network)
    Margin(method=method)(Boundary(network), x, y)  # type: ignore[arg-type]
    assert device.synchronizations.total() <= largest * len(calls), device.describe()
