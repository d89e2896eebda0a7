"""Level sets beside the plain way, a dense grid and scikit-image's marching cubes, in one run.

    python benchmarks/levelsets.py [--quick] [--only NAME ...] [--json FILE]

Every row has what dimple needs or reaches, what the peer or the bound has, and peer / ours. All on one thread, in
seconds of processor time, so that a busy machine tells nearly the same; the least of three for ours. Only `simulate`
takes the processes and threads that it takes by default, and is timed by the clock as well.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whole_runs
from torch import nn

from dimple.boundary import Boundary, restricted
from dimple.levelsets import Adaptive, Exact, Grid, Mesh
from dimple.levelsets.base import level_function
from dimple.levelsets.mesh_measures import components, distances, euler_number, mesh_distances
from dimple.probes import Margin
from dimple.scene import Scene, load_scene, shipped_scenes
from dimple.scene.display_slice import draw_in
from dimple.tensors import generator, in_chunks
from dimple.tracing.piecewise_linear import folds

CPU = torch.device("cpu")
LOW, HIGH = (-1.5,) * 3, (1.5,) * 3
DENSE = "dense + scikit-image"
# Points at a time of the plain way, so that its memory stays small.
SLAB = 1 << 22
Rows = Iterator[dict[str, Any]]


@cache
def trained(kind: str, activation: type[nn.Module], width: int = 128) -> nn.Sequential:
    """60 points with random labels on the unit sphere or on the plane z = 0, fitted for 1,500 steps."""
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


def snapshots(scene: Scene) -> list[nn.Module]:
    """The scene's network at every step that it keeps."""
    samples, states = scene.samples(), []
    network = scene.network.build(scene.manifold.ambient_dim, generator(scene.seed, "network"))

    def record(_step: int, so_far: nn.Module, _loss: float) -> None:
        states.append(copy.deepcopy(so_far).requires_grad_(False))

    steps = scene.snapshots.steps(scene.training.steps)
    scene.training.fit(network, samples.train.float(), samples.train_labels, steps, record)
    return states


def drawn(scene: Scene) -> tuple[list[Boundary], list[float], list[float]]:
    """The boundary at every step where the scene draws it, and the corners of the box."""
    samples, section = scene.samples(), None
    boundaries = [Boundary(network.double()) for network in snapshots(scene)]
    if scene.in_section:
        section = draw_in(scene.manifold, scene.seed, samples.train, boundaries[-1]).section
        boundaries = [restricted(boundary, section) for boundary in boundaries]
    low, high = (corner.tolist() for corner in scene.domain(samples, section))
    return boundaries, low, high


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """The least of several processor times, and the result."""
    best, result = np.inf, None
    for _ in range(repeats):
        started = time.process_time()
        result = work()
        best = min(best, time.process_time() - started)
    return best, result


def plain(network: nn.Module, cells: int) -> Mesh:
    """What a user would write: the network on a dense grid in chunks, then scikit-image."""
    from skimage.measure import marching_cubes

    axis = torch.linspace(LOW[0], HIGH[0], cells + 1)
    values = torch.empty((cells + 1,) * 3)
    with torch.no_grad():
        for slab in torch.arange(cells + 1).split(max(1, SLAB // (cells + 1) ** 2)):
            points = torch.stack(torch.meshgrid(axis[slab], axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
            gaps = in_chunks(lambda x: network(x) @ torch.tensor([-1.0, 1.0]), points, 4096)
            values[slab] = gaps.reshape(len(slab), cells + 1, cells + 1)
    step = (HIGH[0] - LOW[0]) / cells
    vertices, faces, _, _ = marching_cubes(values.numpy(), 0.0, spacing=(step,) * 3)
    return Mesh(vertices.astype(np.float64) + LOW[0], faces.astype(np.int64))


def row(case: str, ours: float, peer: float | None, peer_name: str, unit: str) -> dict[str, Any]:
    """One line of the table; the ratio is peer / ours."""
    ratio = None if peer is None or not ours else round(peer / ours, 3)
    shown = "" if ratio is None else ratio
    print(
        f"{case:62} {ours:12.5g} {'' if peer is None else f'{peer:12.5g}':>12} {unit:10} {shown}  {peer_name}",
        flush=True,
    )
    return {"case": case, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit, "ratio": ratio}


def rate(device: torch.device) -> Rows:
    """The rate of dense evaluation beside that of a plain matrix product."""
    network = copy.deepcopy(trained("sphere", nn.ReLU)).to(device)
    on_gpu = device.type == "cuda"
    x, a, b = torch.rand(1 << 16, 3), torch.randn(1 << 14, 128), torch.randn(128, 128)
    x, a, b = (part.to(device) for part in (x.repeat(64, 1) if on_gpu else x, a, b))
    flops = 2 * (3 * 128 + 128 * 128 + 128 * 2)
    level = level_function(Boundary(network), 1)

    def finished(work: Callable[[], Any]) -> None:
        work()
        if on_gpu:
            torch.cuda.synchronize()

    timer = wall if on_gpu else timed
    seconds, _ = timer(lambda: finished(lambda: level(x)), 10)
    product, _ = timer(lambda: finished(lambda: a @ b), 50)
    rates = len(x) * flops / seconds / 1e9, 2 * a.numel() * 128 / product / 1e9
    yield row(f"dense evaluation on {device.type}, 3-128-128-2", *rates, "matrix product", "GFLOP/s")
    yield row(f"share of the product's rate on {device.type}", rates[0] / rates[1], 0.6, "bound", "")


def wall(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least of several times by the clock, for work that another device does."""
    best = np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best, None


def adaptive(kind: str, activation: type[nn.Module], cells: int) -> Rows:
    """Time, evaluations, components and distance beside the dense grid."""
    network, bound = trained(kind, activation), 12 if cells <= 256 else 20
    boundary, name = Boundary(network), f"{kind} {activation.__name__} {cells}^3"
    seconds, found = timed(lambda: Adaptive(cells=cells).followed(boundary, 1, LOW, HIGH, CPU), 3)
    dense, peer = timed(lambda: plain(network, cells))
    ours = Grid(cells=cells).extract(boundary, 1, LOW, HIGH, CPU)
    largest, _ = mesh_distances(found.mesh, peer, 2000, generator(0, "samples"))
    yield row(f"adaptive {name} (bound: {bound} times)", seconds, dense, DENSE, "s")
    yield row(f"values for each crossed cell {name}", found.evaluations / found.cells, 4.0, "bound", "values")
    yield row(f"vertices farther than 1/2000 of their edge {name}", 100 * found.unsnapped, None, "", "%")
    yield row(f"components {name}", components(found.mesh)[0], components(ours)[0], "dense grid", "parts")
    yield row(f"Euler number {name}", euler_number(found.mesh), euler_number(ours), "dense grid", "")
    yield row(f"Hausdorff distance {name}", largest / (3 / cells), 1.0, "bound, from dense", "cells")


def exact(kind: str, width: int, bound: float) -> Rows:
    """Time, gaps and residual of the exact walk."""
    network = trained(kind, nn.ReLU, width)
    seconds, found = timed(lambda: Exact().polygons(Boundary(network), 1, LOW, HIGH), 5)
    left = float(folds(network, 1).level(torch.from_numpy(found.vertices)).abs().max())
    name = f"{kind} width {width}, {len(found.counts)} polygons"
    yield row(f"exact {name}", seconds, bound, "bound", "s")
    yield row(f"edges not met twice, {name}", found.open_edges + found.left_out, None, "", "edges")
    yield row(f"largest |f| at a corner, {name}", left, 1e-10, "bound", "")


def training_film(count: int) -> Rows:
    """All snapshots of sphere_in_3d, exact, and adaptive at 128^3, on one core."""
    scene = load_scene("sphere_in_3d", [f"snapshots.count={count}"])
    networks = snapshots(scene)
    low, high = (corner.tolist() for corner in scene.domain(scene.samples()))

    def every(levelset: Exact | Adaptive) -> None:
        mesh = None
        for network in networks:
            mesh = levelset.extract(Boundary(network), 1, low, high, CPU, mesh)

    name = f"sphere_in_3d, {len(networks)} snapshots"
    share = len(networks) / 60
    for kind, levelset, bound in (("exact", Exact(), 15.0), ("adaptive 128^3", Adaptive(cells=128), 20.0)):
        seconds, _ = timed(partial(every, levelset))
        yield row(f"{name}, {kind}", seconds, bound * share, "bound", "s")


def whole_run(count: int) -> Rows:
    """A scene from its file to film, page and report, beside a script of one's own that makes the film alone."""
    steps = len(load_scene("sphere_in_3d", [f"snapshots.count={count}"]).snapshots.steps(1000))
    for kind, ours, peer in zip(("by the clock", "of processors"), *whole_runs.lasted(count, steps), strict=True):
        yield row(f"simulate sphere_in_3d, {steps} snapshots, {kind}", ours, peer, "plain script", "s")


def scene_topology(name: str, count: int) -> Rows:
    """At how many snapshots of a shipped scene the adaptive mesh has the parts, holes and faces of the dense one."""
    scene = load_scene(name, [f"snapshots.count={count}"])
    boundaries, low, high = drawn(scene)
    cells, same = 256 if len(low) == 2 else 64, 0
    for boundary in boundaries:
        dense = Grid(cells=cells).extract(boundary, 1, low, high, CPU)
        found = Adaptive(cells=cells).extract(boundary, 1, low, high, CPU)
        shape = [(components(mesh)[0], euler_number(mesh), len(mesh.faces)) for mesh in (dense, found)]
        same += shape[0] == shape[1]
    yield row(f"topology as dense, {name}, {cells} cells", same, len(boundaries), "dense grid", "snapshots")


def mesh_margins(name: str) -> Rows:
    """The distance to the exact mesh beside the margin probe at the last snapshot of a shipped scene in space."""
    scene = load_scene(name, ["snapshots.count=2"])
    samples = scene.samples()
    network = snapshots(scene)[-1]
    low, high = (corner.numpy() for corner in scene.domain(samples))
    mesh = Exact().extract(Boundary(network), 1, low.tolist(), high.tolist(), CPU)
    x, y = torch.cat([samples.train, samples.test]), torch.cat([samples.train_labels, samples.test_labels])
    away = distances(mesh, x.numpy())
    # A nearer boundary point may lie outside the box that the mesh fills.
    inside = away < np.minimum(x.numpy() - low, high - x.numpy()).min(1)
    probed = Margin()(Boundary(network.double()), x, y).columns["margin"].abs().numpy()
    farther = (probed - away)[inside]
    gap = np.abs(farther)
    yield row(
        f"margins within 1e-5 of the exact mesh, {name}", int((gap < 1e-5).sum()), len(gap), "all points", "points"
    )
    yield row(f"the probe's excess over the exact mesh, {name}", float(farther.max()), 1e-5, "bound", "length")
    yield row(
        f"the exact mesh's excess over the probe, {name}", max(0.0, float(-farther.min())), 1e-5, "bound", "length"
    )


def cases(quick: bool) -> dict[str, list[Callable[[], Rows]]]:
    """What can be asked for by name."""
    every = [(kind, activation) for kind in ("sphere", "plane") for activation in (nn.ReLU, nn.Tanh)]
    shown = [name for name in shipped_scenes() if load_scene(name).drawable]
    scenes = ["sphere_in_3d", "circle_in_2d"] if quick else shown
    small = 128 if quick else 256
    found: dict[str, list[Callable[[], Rows]]] = {
        "rate": [partial(rate, CPU)] + [partial(rate, torch.device("cuda"))] * torch.cuda.is_available(),
        "exact": [partial(exact, kind, 128, 0.5) for kind in ("sphere", "plane")],
        "adaptive": [partial(adaptive, kind, activation, small) for kind, activation in every],
        "film": [partial(training_film, 10 if quick else 60)],
        "simulate": [partial(whole_run, 6 if quick else 48)],
        "topology": [partial(scene_topology, name, 4 if quick else 12) for name in scenes],
        "margins": [partial(mesh_margins, name) for name in scenes if name.endswith("3d") or "3d_" in name],
    }
    if not quick:
        found["exact"] += [partial(exact, kind, 256, 5.0) for kind in ("sphere", "plane")]
        found["large"] = [partial(adaptive, kind, activation, 512) for kind, activation in every]
    return found


def main() -> None:
    """All rows, or those asked for."""
    parser = argparse.ArgumentParser(description="Level sets beside a dense grid with scikit-image.")
    parser.add_argument("--quick", action="store_true", help="smaller grids and networks, a minute or two")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="rate, exact, adaptive, large, film, simulate, topology, margins"
    )
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    given = parser.parse_args()
    chosen = cases(given.quick)
    if unknown := set(given.only or ()) - set(chosen):
        parser.error(f"--only {unknown.pop()}: choose from {', '.join(chosen)}")
    torch.set_num_threads(1)
    # Compiled and cached before anything is timed.
    for activation in (nn.ReLU, nn.Tanh):
        Adaptive(cells=32).extract(Boundary(trained("sphere", activation)), 1, LOW, HIGH, CPU)
    Exact().extract(Boundary(trained("sphere", nn.ReLU)), 1, LOW, HIGH, CPU)
    rows = [line for name in given.only or chosen for work in chosen[name] for line in work()]
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
