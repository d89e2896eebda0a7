"""Level sets and the plain method, a dense grid with marching cubes of scikit-image, measured in one run.

    python benchmarks/levelsets.py [--quick] [--only NAME ...] [--json FILE]

Every row has the value of dimple, that of the peer or the bound, and peer / ours. All cases run on one thread and are
measured in processor seconds, which vary little on a busy machine; for dimple the minimum of several runs. Only
`simulate` uses its default processes and threads, and is measured in wall time too.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import full_runs
import numpy as np
import torch
from mesh_measures import distances_to_mesh, euler_number, hausdorff_and_mean_distance
from torch import nn

from dimple.boundary import Boundary, restrict_to_slice
from dimple.levelsets import Adaptive, Dense, Exact, Mesh
from dimple.levelsets.base import level_function
from dimple.levelsets.mesh import components
from dimple.probes import Margin
from dimple.scene import Scene, load_scene, shipped_scenes
from dimple.scene.display_slice import build_display_slice
from dimple.tensors import apply_in_chunks, generator
from dimple.tracing.piecewise_linear import read_piecewise_linear

CPU = torch.device("cpu")
LOW = (-1.5,) * 3
HIGH = (1.5,) * 3
DENSE = "dense + scikit-image"
# Points in a batch of the plain method, so that its memory stays small.
MAX_SLAB_POINTS = 1 << 22
Rows = Iterator[dict[str, Any]]


@cache
def train_network(kind: str, activation: type[nn.Module], width: int = 128) -> nn.Sequential:
    """Return a network trained for 1,500 steps on 60 randomly labeled points of the unit sphere or the plane z = 0."""
    stream = generator(0, "levelsets", kind)
    x = torch.randn(60, 3, generator=stream)
    flat = torch.cat([2 * torch.rand(60, 2, generator=stream) - 1, torch.zeros(60, 1)], dim=1)
    x = x / x.norm(dim=1, keepdim=True) if kind == "sphere" else flat
    y = (torch.rand(60, generator=stream) < 0.5).long()
    layers: list[nn.Module] = []
    for fan_in, fan_out in ((3, width), (width, width), (width, 2)):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_((2 * torch.rand(parameter.shape, generator=stream) - 1) / fan_in**0.5)
        layers += [layer, activation()]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(1500):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def train_snapshots(scene: Scene) -> list[nn.Module]:
    """Return the network of a scene at each of its snapshots."""
    samples = scene.samples()
    states = []
    network = scene.network.build(scene.manifold.ambient_dim, generator(scene.seed, "network"))

    def record(_step: int, trained: nn.Module, _loss: float) -> None:
        states.append(copy.deepcopy(trained).requires_grad_(False))

    steps = scene.snapshots.steps(scene.training.last_step(len(samples.train)))
    scene.training.fit(network, samples.train.float(), samples.train_labels, steps, record)
    return states


def load_boundaries(scene: Scene) -> tuple[list[Boundary], list[float], list[float]]:
    """Return the displayed boundary at each snapshot, and the lower and upper corner of the box."""
    samples = scene.samples()
    affine_slice = None
    boundaries = [Boundary(network.double()) for network in train_snapshots(scene)]
    if scene.has_display_slice:
        affine_slice = build_display_slice(scene.manifold, scene.seed, samples.train, boundaries[-1]).affine_slice
        boundaries = [restrict_to_slice(boundary, affine_slice) for boundary in boundaries]
    low, high = (corner.tolist() for corner in scene.display_bounds(samples, affine_slice))
    return boundaries, low, high


def measure_processor_time(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Return the minimum of several processor times, and the result."""
    best = np.inf
    result = None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def extract_dense_mesh(network: nn.Module, cells: int) -> Mesh:
    """Return the mesh of the plain method: the network on a dense grid in chunks, then scikit-image."""
    from skimage.measure import marching_cubes

    axis = torch.linspace(LOW[0], HIGH[0], cells + 1)
    values = torch.empty((cells + 1,) * 3)
    with torch.no_grad():
        for slab in torch.arange(cells + 1).split(max(1, MAX_SLAB_POINTS // (cells + 1) ** 2)):
            points = torch.stack(torch.meshgrid(axis[slab], axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
            margins = apply_in_chunks(lambda x: network(x) @ torch.tensor([-1.0, 1.0]), points, 4096)
            values[slab] = margins.reshape(len(slab), cells + 1, cells + 1)
    step = (HIGH[0] - LOW[0]) / cells
    vertices, faces, _, _ = marching_cubes(values.numpy(), 0.0, spacing=(step,) * 3)
    return Mesh(vertices.astype(np.float64) + LOW[0], faces.astype(np.int64))


def make_row(case: str, ours: float, peer: float | None, peer_name: str, unit: str) -> dict[str, Any]:
    """Print and return one line of the table; the ratio is peer / ours."""
    ratio = None if peer is None or not ours else round(peer / ours, 3)
    peer_text = "" if peer is None else f"{peer:12.5g}"
    ratio_text = "" if ratio is None else ratio
    print(f"{case:62} {ours:12.5g} {peer_text:>12} {unit:10} {ratio_text}  {peer_name}", flush=True)
    return {"case": case, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit, "ratio": ratio}


def measure_rate(device: torch.device) -> Rows:
    """Measure the rate of dense evaluation and that of a plain matrix product."""
    network = copy.deepcopy(train_network("sphere", nn.ReLU)).to(device)
    on_gpu = device.type == "cuda"
    x = torch.rand(1 << 16, 3)
    a = torch.randn(1 << 14, 128).to(device)
    b = torch.randn(128, 128).to(device)
    x = (x.repeat(64, 1) if on_gpu else x).to(device)
    flops = 2 * (3 * 128 + 128 * 128 + 128 * 2)
    level = level_function(Boundary(network), 1)

    def run_and_wait(work: Callable[[], Any]) -> None:
        work()
        if on_gpu:
            torch.cuda.synchronize()

    measure_time = measure_wall_time if on_gpu else measure_processor_time
    seconds, _ = measure_time(lambda: run_and_wait(lambda: level(x)), 10)
    product, _ = measure_time(lambda: run_and_wait(lambda: a @ b), 50)
    dense_rate = len(x) * flops / seconds / 1e9
    product_rate = 2 * a.numel() * 128 / product / 1e9
    yield make_row(
        f"dense evaluation on {device.type}, 3-128-128-2", dense_rate, product_rate, "matrix product", "GFLOP/s"
    )
    yield make_row(f"share of the product's rate on {device.type}", dense_rate / product_rate, 0.6, "bound", "")


def measure_wall_time(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the minimum of several wall times, for work on another device."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best, None


def measure_adaptive(kind: str, activation: type[nn.Module], cells: int) -> Rows:
    """Measure time, evaluations, components and distance, with the dense grid as the peer."""
    network = train_network(kind, activation)
    bound = 12 if cells <= 256 else 20
    boundary = Boundary(network)
    name = f"{kind} {activation.__name__} {cells}^3"
    seconds, found = measure_processor_time(
        lambda: Adaptive(resolution=cells).extract_with_statistics(boundary, 1, LOW, HIGH, CPU), 3
    )
    dense_seconds, peer = measure_processor_time(lambda: extract_dense_mesh(network, cells))
    dense = Dense(resolution=cells).extract(boundary, 1, LOW, HIGH, CPU)
    largest, _ = hausdorff_and_mean_distance(found.mesh, peer, 2000, generator(0, "samples"))
    yield make_row(f"adaptive {name} (bound: {bound} times)", seconds, dense_seconds, DENSE, "s")
    yield make_row(
        f"values for each crossed cell {name}", found.evaluations / found.num_crossed_cells, 4.0, "bound", "values"
    )
    yield make_row(f"vertices farther than 1/2000 of their edge {name}", 100 * found.unrefined_fraction, None, "", "%")
    yield make_row(f"components {name}", components(found.mesh)[0], components(dense)[0], "dense grid", "parts")
    yield make_row(f"Euler number {name}", euler_number(found.mesh), euler_number(dense), "dense grid", "")
    yield make_row(f"Hausdorff distance {name}", largest / (3 / cells), 1.0, "bound, from dense", "cells")


def measure_exact(kind: str, width: int, bound: float) -> Rows:
    """Measure time, open edges and residual of the exact mesh."""
    network = train_network(kind, nn.ReLU, width)
    seconds, found = measure_processor_time(lambda: Exact().extract_polygons(Boundary(network), 1, LOW, HIGH), 5)
    residual = float(
        read_piecewise_linear(network, torch.zeros(found.vertices.shape[1]), 1)
        .logit_margin(torch.from_numpy(found.vertices))
        .abs()
        .max()
    )
    name = f"{kind} width {width}, {len(found.corner_counts)} polygons"
    yield make_row(f"exact {name}", seconds, bound, "bound", "s")
    yield make_row(
        f"edges not met twice, {name}", found.num_open_edges + found.num_unclosed_polygons, None, "", "edges"
    )
    yield make_row(f"largest |f| at a corner, {name}", residual, 1e-10, "bound", "")


def measure_training_film(count: int) -> Rows:
    """Measure all snapshots of sphere_in_3d, exact and adaptive at 128^3, on one core."""
    scene = load_scene("sphere_in_3d", [f"snapshots.count={count}"])
    networks = train_snapshots(scene)
    low, high = (corner.tolist() for corner in scene.display_bounds(scene.samples()))

    def extract_all(levelset: Exact | Adaptive) -> None:
        mesh = None
        for network in networks:
            mesh = levelset.extract(Boundary(network), 1, low, high, CPU, mesh)

    name = f"sphere_in_3d, {len(networks)} snapshots"
    for kind, levelset, bound in (("exact", Exact(), 15.0), ("adaptive 128^3", Adaptive(resolution=128), 20.0)):
        seconds, _ = measure_processor_time(partial(extract_all, levelset))
        yield make_row(f"{name}, {kind}", seconds, bound * (len(networks) / 60), "bound", "s")


def measure_full_run(count: int) -> Rows:
    """Measure a scene from file to film, page and report, with a plain script that writes only the film as the peer."""
    steps = len(load_scene("sphere_in_3d", [f"snapshots.count={count}"]).snapshots.steps(1000))
    for kind, ours, peer in zip(
        ("by the clock", "of processors"), *full_runs.measure_full_runs(count, steps), strict=True
    ):
        yield make_row(f"simulate sphere_in_3d, {steps} snapshots, {kind}", ours, peer, "plain script", "s")


def measure_topology(name: str, count: int) -> Rows:
    """Count the snapshots of a shipped scene whose adaptive mesh has the topology and faces of the dense one."""
    scene = load_scene(name, [f"snapshots.count={count}"])
    boundaries, low, high = load_boundaries(scene)
    cells = 256 if len(low) == 2 else 64
    num_same = 0
    for boundary in boundaries:
        dense = Dense(resolution=cells).extract(boundary, 1, low, high, CPU)
        found = Adaptive(resolution=cells).extract(boundary, 1, low, high, CPU)
        shape = [(components(mesh)[0], euler_number(mesh), len(mesh.faces)) for mesh in (dense, found)]
        num_same += shape[0] == shape[1]
    yield make_row(f"topology as dense, {name}, {cells} cells", num_same, len(boundaries), "dense grid", "snapshots")


def measure_mesh_margins(name: str) -> Rows:
    """Compare the margin probe with the distance to the exact mesh at the last snapshot of a shipped scene in space."""
    scene = load_scene(name, ["snapshots.count=2"])
    samples = scene.samples()
    network = train_snapshots(scene)[-1]
    low, high = (corner.numpy() for corner in scene.display_bounds(samples))
    mesh = Exact().extract(Boundary(network), 1, low.tolist(), high.tolist(), CPU)
    x = torch.cat([samples.train, samples.test])
    y = torch.cat([samples.train_labels, samples.test_labels])
    distances = distances_to_mesh(mesh, x.numpy())
    # The closest boundary point may lie outside the box of the mesh.
    is_comparable = distances < np.minimum(x.numpy() - low, high - x.numpy()).min(1)
    margins = Margin()(Boundary(network.double()), x, y).columns["margin"].abs().numpy()
    excess = (margins - distances)[is_comparable]
    difference = np.abs(excess)
    yield make_row(
        f"margins within 1e-5 of the exact mesh, {name}",
        int((difference < 1e-5).sum()),
        len(difference),
        "all points",
        "points",
    )
    yield make_row(f"the probe's excess over the exact mesh, {name}", float(excess.max()), 1e-5, "bound", "length")
    yield make_row(
        f"the exact mesh's excess over the probe, {name}", max(0.0, float(-excess.min())), 1e-5, "bound", "length"
    )


def build_cases(quick: bool) -> dict[str, list[Callable[[], Rows]]]:
    """Return the measurements of each case by name."""
    networks = [(kind, activation) for kind in ("sphere", "plane") for activation in (nn.ReLU, nn.Tanh)]
    drawable = [name for name in shipped_scenes() if load_scene(name).is_drawable]
    scenes = ["sphere_in_3d", "circle_in_2d"] if quick else drawable
    resolution = 128 if quick else 256
    devices = [CPU, torch.device("cuda")] if torch.cuda.is_available() else [CPU]
    measurements: dict[str, list[Callable[[], Rows]]] = {
        "rate": [partial(measure_rate, device) for device in devices],
        "exact": [partial(measure_exact, kind, 128, 0.5) for kind in ("sphere", "plane")],
        "adaptive": [partial(measure_adaptive, kind, activation, resolution) for kind, activation in networks],
        "film": [partial(measure_training_film, 10 if quick else 60)],
        "simulate": [partial(measure_full_run, 6 if quick else 48)],
        "topology": [partial(measure_topology, name, 4 if quick else 12) for name in scenes],
        "margins": [partial(measure_mesh_margins, name) for name in scenes if name.endswith("3d") or "3d_" in name],
    }
    if not quick:
        measurements["exact"] += [partial(measure_exact, kind, 256, 5.0) for kind in ("sphere", "plane")]
        measurements["large"] = [partial(measure_adaptive, kind, activation, 512) for kind, activation in networks]
    return measurements


def main() -> None:
    """Measure all cases, or those of --only."""
    parser = argparse.ArgumentParser(description="Level sets compared with a dense grid and scikit-image.")
    parser.add_argument("--quick", action="store_true", help="smaller grids and networks, a minute or two")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="rate, exact, adaptive, large, film, simulate, topology, margins"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    measurements = build_cases(options.quick)
    if unknown := set(options.only or ()) - set(measurements):
        parser.error(f"--only {unknown.pop()}: choose from {', '.join(measurements)}")
    torch.set_num_threads(1)
    # Compile and cache before anything is timed.
    for activation in (nn.ReLU, nn.Tanh):
        Adaptive(resolution=32).extract(Boundary(train_network("sphere", activation)), 1, LOW, HIGH, CPU)
    Exact().extract(Boundary(train_network("sphere", nn.ReLU)), 1, LOW, HIGH, CPU)
    rows = [line for name in options.only or measurements for measure in measurements[name] for line in measure()]
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
