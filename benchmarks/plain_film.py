"""The film of sphere_in_3d as a plain script: the same network and steps, dense grids, marching cubes, pyvista.

    python benchmarks/plain_film.py OUT.mp4 [--snapshots N] [--cells N]

The comparison for `dimple simulate scenes/sphere_in_3d.yaml`. It takes no measurements and writes no page or report.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import pyvista as pv  # noqa: TID253
import torch
from skimage.measure import marching_cubes
from torch import nn

RADIUS = 0.3
BOX = 0.5
POINTS = 60
STEPS = 1000
BATCH = 1 << 18


def make_sphere() -> tuple[torch.Tensor, torch.Tensor]:
    """Return points on the sphere along a spiral, with alternating labels."""
    k = torch.arange(POINTS)
    z = 1 - (2 * k + 1) / POINTS
    angle = k * torch.pi * (3 - 5**0.5)
    ring_radius = (1 - z**2).sqrt()
    return RADIUS * torch.stack([ring_radius * angle.cos(), ring_radius * angle.sin(), z], dim=1), k % 2


def train(x: torch.Tensor, y: torch.Tensor, steps: set[int]) -> list[tuple[int, nn.Module]]:
    """Return the network at the options steps."""
    network = nn.Sequential(nn.Linear(3, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    with torch.no_grad():
        network[0].weight *= 2
        network[0].bias *= 0.5
        network[4].bias += torch.tensor([-1.0, 1.0])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    snapshots = []
    for step in range(STEPS + 1):
        if step in steps:
            snapshots.append((step, copy.deepcopy(network)))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    return snapshots


def extract_boundary(network: nn.Module, grid: torch.Tensor, cells: int) -> pv.PolyData | None:
    """Return the zero set of the difference of the scores; None if it is empty."""
    with torch.no_grad():
        scores = torch.cat([network(chunk) for chunk in grid.split(BATCH)])
    values = (scores[:, 1] - scores[:, 0]).reshape((cells,) * 3).numpy()
    if not values.min() < 0 < values.max():
        return None
    vertices, faces, _, _ = marching_cubes(values, 0.0, spacing=(2 * BOX / (cells - 1),) * 3)
    return pv.PolyData(vertices - BOX, np.insert(faces, 0, 3, axis=1))


def main() -> None:
    """Train the network, extract its boundaries and write the film."""
    parser = argparse.ArgumentParser(description="The film of sphere_in_3d without dimple.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--snapshots", type=int, default=41)
    parser.add_argument("--cells", type=int, default=128)
    options = parser.parse_args()
    torch.manual_seed(0)  # noqa: TID251
    x, y = make_sphere()
    steps = {0, *np.unique(np.geomspace(1, STEPS, 2 * options.snapshots).astype(int)).tolist()}
    selected = np.linspace(0, len(steps) - 1, options.snapshots).round().astype(int)
    snapshots = train(x, y, set(np.array(sorted(steps))[selected].tolist()))
    axis = torch.linspace(-BOX, BOX, options.cells)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    plotter = pv.Plotter(off_screen=True, window_size=[1280, 720])
    plotter.open_movie(str(options.out), framerate=10)
    for step, network in snapshots:
        plotter.clear()
        plotter.add_mesh(pv.Sphere(radius=RADIUS), color="lightgray", opacity=0.3)
        mesh = extract_boundary(network, grid, options.cells)
        if mesh is not None:
            plotter.add_mesh(mesh, color="lightblue", smooth_shading=True)
        for label, color in ((0, "blue"), (1, "orange")):
            plotter.add_points(x[y == label].numpy(), color=color, render_points_as_spheres=True, point_size=12)
        plotter.add_text(f"step {step}")
        plotter.write_frame()
    plotter.close()


if __name__ == "__main__":
    main()
