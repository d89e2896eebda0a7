"""Level sets beside the plain way, a dense grid and scikit-image's marching cubes, in one run.

    python benchmarks/levelsets.py [--quick] [--json FILE]

Every row has what dimple needs, what the peer needs, and peer / ours. All on one thread, in seconds of
processor time, so that a busy machine tells nearly the same.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dimple.boundary import Adaptive, Boundary, Exact, Grid, Mesh, folds
from dimple.boundary.chain import CHUNK
from dimple.boundary.levelset import level_function
from dimple.boundary.measures import components, mesh_distances
from dimple.scene import load_scene
from dimple.tensors import generator, in_chunks

CPU = torch.device("cpu")
LOW, HIGH = (-1.5,) * 3, (1.5,) * 3


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
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    with torch.no_grad():
        values = in_chunks(lambda x: network(x) @ torch.tensor([-1.0, 1.0]), points, 4096)
    step = (HIGH[0] - LOW[0]) / cells
    vertices, faces, _, _ = marching_cubes(values.reshape((cells + 1,) * 3).numpy(), 0.0, spacing=(step,) * 3)
    return Mesh(vertices.astype(np.float64) + LOW[0], faces.astype(np.int64))


def row(case: str, ours: float, peer: float | None, peer_name: str, unit: str) -> dict[str, Any]:
    """One line of the table; the ratio is peer / ours."""
    ratio = None if peer is None else round(peer / ours, 3) if ours else None
    print(f"{case:58} {ours:12.5g} {'' if peer is None else f'{peer:12.5g}':>12} {unit:10} {ratio or ''}  {peer_name}")
    return {"case": case, "ours": ours, "peer": peer, "peer_name": peer_name, "unit": unit, "ratio": ratio}


def rate(network: nn.Module) -> list[dict[str, Any]]:
    """The rate of dense evaluation beside that of a plain matrix product."""
    x, a, b = torch.rand(64 * CHUNK, 3), torch.randn(16384, 128), torch.randn(128, 128)
    flops = 2 * (3 * 128 + 128 * 128 + 128 * 2)
    level = level_function(Boundary(network), 1)
    seconds, _ = timed(lambda: level(x), 5)
    product, _ = timed(lambda: a @ b, 20)
    return [
        row(
            "dense evaluation, 3-128-128-2",
            len(x) * flops / seconds / 1e9,
            2 * a.numel() * 128 / product / 1e9,
            "matrix product",
            "GFLOP/s",
        )
    ]


def adaptive(kind: str, activation: type[nn.Module], cells: int) -> list[dict[str, Any]]:
    """Time, evaluations, components and distance beside the dense grid."""
    network = trained(kind, activation)
    boundary, name = Boundary(network), f"{kind} {activation.__name__} {cells}^3"
    seconds, mesh = timed(lambda: Adaptive(cells=cells, snap=False).extract(boundary, 1, LOW, HIGH, CPU), 3)
    asked = boundary.forwards / 3
    snapped, _ = timed(lambda: Adaptive(cells=cells).extract(boundary, 1, LOW, HIGH, CPU), 1)
    dense, peer = timed(lambda: plain(network, cells))
    ours = Grid(cells=cells).extract(boundary, 1, LOW, HIGH, CPU)
    largest, _ = mesh_distances(mesh, peer, 2000, generator(0, "samples"))
    peer_name = "dense + scikit-image"
    return [
        row(f"adaptive {name}", seconds, dense, peer_name, "s"),
        row(f"adaptive and snapped {name}", snapped, dense, peer_name, "s"),
        row(f"values for each crossed cell {name}", asked / (len(mesh.faces) / 2), 4.0, "bound", "values"),
        row(f"components {name}", components(mesh)[0], components(ours)[0], "dense grid", "parts"),
        row(f"Hausdorff distance {name}", largest / (3 / cells), 1.0, "bound", "cells"),
    ]


def exact(kind: str, width: int, bound: float) -> list[dict[str, Any]]:
    """Time, gaps and residual of the exact walk."""
    network = trained(kind, nn.ReLU, width)
    seconds, found = timed(lambda: Exact().polygons(Boundary(network), 1, LOW, HIGH), 3)
    left = float(folds(network, 1).level(torch.from_numpy(found.vertices)).abs().max())
    name = f"{kind} width {width}, {len(found.counts)} polygons"
    return [
        row(f"exact {name}", seconds, bound, "bound", "s"),
        row(f"edges not met twice, {name}", found.open_edges + found.left_out, None, "", "edges"),
        row(f"largest |f| at a corner, {name}", left, 1e-10, "bound", ""),
    ]


def training_film(snapshots: int) -> list[dict[str, Any]]:
    """All snapshots of sphere_in_3d, exact, and adaptive at 128^3, on one core."""
    scene = load_scene("sphere_in_3d", [f"snapshots.count={snapshots}"])
    samples = scene.samples()
    low, high = (corner.tolist() for corner in scene.domain(samples))
    network = scene.network.build(3, generator(scene.seed, "network"))
    states: list[dict[str, torch.Tensor]] = []

    def record(_step: int, trained_so_far: nn.Module, _loss: float) -> None:
        states.append({name: value.clone() for name, value in trained_so_far.state_dict().items()})

    steps = scene.snapshots.steps(scene.training.steps)
    scene.training.fit(network, samples.train.float(), samples.train_labels, steps, record)
    network.requires_grad_(False)

    def every(levelset: Exact | Adaptive) -> None:
        mesh = None
        for state in states:
            network.load_state_dict(state)
            mesh = levelset.extract(Boundary(network), 1, low, high, CPU, mesh)

    exactly, _ = timed(lambda: every(Exact()))
    followed, _ = timed(lambda: every(Adaptive(cells=128)))
    return [
        row(f"sphere_in_3d, {len(states)} snapshots, exact", exactly, 30.0, "bound (one core)", "s"),
        row(f"sphere_in_3d, {len(states)} snapshots, adaptive 128^3", followed, 40.0, "bound (one core)", "s"),
    ]


def main() -> None:
    """All rows."""
    parser = argparse.ArgumentParser(description="Level sets beside a dense grid with scikit-image.")
    parser.add_argument("--quick", action="store_true", help="smaller grids and networks, a minute or two")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # Compiled and cached before anything is timed.
    warm = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).requires_grad_(False)
    Exact().polygons(Boundary(warm), 1, LOW, HIGH)
    Adaptive(cells=16).extract(Boundary(warm), 1, LOW, HIGH, CPU)
    rows = rate(trained("sphere", nn.ReLU))
    for kind in ("sphere", "plane"):
        rows += exact(kind, 128, 0.5)
        for activation in (nn.ReLU, nn.Tanh):
            rows += adaptive(kind, activation, 128 if given.quick else 256)
    if not given.quick:
        rows += exact("sphere", 256, 5.0)
        rows += adaptive("sphere", nn.ReLU, 512)
    rows += training_film(10 if given.quick else 60)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
