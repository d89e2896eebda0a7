"""Times of a step through a run in the window, and in plain pyvista with add_mesh under one name at every step.

    python benchmarks/views.py [--quick] [--json FILE]

Every row has the time of dimple, that of the peer, and peer / ours. Rows "without rendering" are the Python part of a
step in milliseconds of processor time: dimple with caption, slider and markers, the peer with the mesh alone. The rows
"with rendering" are wall time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dimple.levelsets import Mesh
from dimple.views.content.frame import Drawing, Fact, Frame, MeshLayer, Perturbations, PointSet, Timeline
from dimple.views.content.manifold_depth import vertex_normals
from dimple.views.style.colors import depth_colors
from dimple.views.vtk.opengl import require_rendering
from dimple.views.window.animation import RunView
from dimple.views.window.colorings import GRADIENT_NORM, Coloring
from dimple.views.window.window import WINDOW_SIZE, Viewer

PEER = "pyvista add_mesh(name=)"
BOX = (-1.2,) * 3, (1.2,) * 3


def make_bumpy_sphere(triangles: int, phase: float) -> Mesh:
    """Return a sphere with bumps that grow and turn, with about `triangles` triangles."""
    rows = max(4, round((triangles / 4) ** 0.5))
    polar = np.linspace(0.05, np.pi - 0.05, rows + 1)
    azimuth = np.linspace(0, 2 * np.pi, 2 * rows, endpoint=False)
    theta, phi = (grid.ravel() for grid in np.meshgrid(polar, azimuth, indexing="ij"))
    radius = 0.8 + 0.2 * phase * np.sin(5 * theta) * np.sin(7 * phi + 3 * phase)
    directions = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    row, column = (grid.ravel() for grid in np.meshgrid(np.arange(rows), np.arange(2 * rows), indexing="ij"))
    a = row * 2 * rows + column
    b = row * 2 * rows + (column + 1) % (2 * rows)
    faces = np.concatenate([np.stack([a, a + 2 * rows, b], 1), np.stack([b, a + 2 * rows, b + 2 * rows], 1)])
    return Mesh(radius[:, None] * directions, faces.astype(np.int64))


class InstantEvaluator:
    """Evaluator that takes no time, so that only the window is measured."""

    def perturbations(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        """Return the same perturbation everywhere."""
        steps = np.tile([[0.0, 0.0, 0.1]], (60 if points is None else len(points), 1))
        return Perturbations(steps, 0 * steps, steps)

    def gradient_norms(self, step: int, points: np.ndarray) -> np.ndarray:
        """Return values that vary."""
        return 1 + np.abs(points).sum(1)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return distances from the sphere without its bumps."""
        return np.abs(np.linalg.norm(points, axis=1) - 0.8)


def make_run(snapshots: int, triangles: int) -> RunView:
    """Return a run whose boundaries have `triangles` triangles each."""
    k = np.arange(60)
    positions = 0.8 * np.stack([np.cos(k), np.sin(k) * np.cos(2 * k), np.sin(k) * np.sin(2 * k)], axis=1)
    points = PointSet(positions, (k % 2).astype(np.int64), ((k // 3) % 2).astype(np.int64))
    steps = np.arange(snapshots, dtype=np.int64)
    facts = tuple(Fact(name, "0.123", "0.456") for name in ("train accuracy", "boundary to manifold", "dimple depth"))
    frames = []
    for index in range(snapshots):
        mesh = make_bumpy_sphere(triangles, index / max(snapshots - 1, 1))
        manifold_depth = np.linalg.norm(mesh.vertices, axis=1) - 0.8
        drawing = Drawing((MeshLayer(mesh, "boundary", manifold_depth),), points, *BOX)
        frames.append(Frame("bumpy sphere", index, index, drawing, facts, Timeline(steps, ()), 0.1))
    return RunView(frames, Path("bumpy"), {}, InstantEvaluator())


def make_plain_viewer(run: RunView) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return functions of the peer that show a snapshot and render; the meshes are made before the first call."""
    import pyvista as pv

    plotter = pv.Plotter(off_screen=True, window_size=list(WINDOW_SIZE))
    plotter.disable_anti_aliasing()
    meshes = []
    for frame in run.frames:
        layer = frame.drawing.layer("boundary")
        assert layer is not None and layer.manifold_depth is not None
        mesh = pv.PolyData.from_regular_faces(layer.mesh.vertices.astype(np.float32), layer.mesh.faces)
        mesh.point_data["Normals"] = vertex_normals(layer.mesh).astype(np.float32)
        mesh.point_data["color"] = depth_colors(layer.manifold_depth, 0.1)
        meshes.append(mesh)

    def step(index: int) -> None:
        plotter.add_mesh(
            meshes[index], scalars="color", rgb=True, smooth_shading=True, name="boundary", reset_camera=False,
            render=False,
        )  # fmt: skip

    def render() -> None:
        assert plotter.render_window is not None
        plotter.render_window.Render()

    step(0)
    plotter.camera.zoom(1.2)
    render()
    return step, render


def measure_milliseconds(
    work: Callable[[int], None], count: int, rounds: int, clock: Callable[[], float]
) -> list[float]:
    """Return the minimum time of each call over the rounds, after one round that is not counted."""
    rows = []
    for _ in range(rounds + 1):
        times = []
        for index in range(count):
            start = clock()
            work(index)
            times.append(1000 * (clock() - start))
        rows.append(times)
    return [min(times) for times in zip(*rows[1:], strict=True)]


def make_row(case: str, ours: float, peer: float | None, unit: str = "ms") -> dict[str, Any]:
    """Print and return one line of the table; the ratio is peer / ours."""
    ratio = None if peer is None else round(peer / ours, 2)
    print(f"{case:64} {ours:9.3f} {'' if peer is None else f'{peer:9.3f}':>9} {unit:3} {ratio or ''}")
    name = "" if peer is None else PEER
    return {"case": case, "ours": ours, "peer": peer, "peer_name": name, "unit": unit, "ratio": ratio}


def measure_coloring(viewer: Viewer, name: str, rounds: int) -> list[dict[str, Any]]:
    """Measure the preparation of a coloring by a quantity, and the change to the prepared coloring."""
    start = time.process_time()
    coloring = Coloring(GRADIENT_NORM, viewer.multi_view.animations)
    list(coloring.measure_snapshots())
    seconds = time.process_time() - start
    (change,) = measure_milliseconds(lambda _: coloring.apply(), 1, rounds, time.process_time)
    return [
        make_row(f"{name}, colours of a quantity that is known", seconds, None, "s"),
        make_row(f"{name}, a prepared quantity put on", change, None),
    ]


def main() -> None:
    """Measure, print the table and write the rows of --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 snapshots of 10,000 triangles")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    require_rendering()
    snapshots = 6 if options.quick else 60
    triangles = 10_000 if options.quick else 100_000
    rounds = 1 if options.quick else 3
    run = make_run(snapshots, triangles)
    name = f"{snapshots} snapshots of {len(run.frames[0].drawing.layers[0].mesh.faces):,} triangles"

    start = time.process_time()
    viewer = Viewer([run], off_screen=True)
    opening = time.process_time() - start
    window = viewer.plotter.render_window
    window.Render()
    step, render = make_plain_viewer(run)

    dimple = measure_milliseconds(viewer.show_index, snapshots, rounds, time.process_time)
    peer = measure_milliseconds(step, snapshots, rounds, time.process_time)
    rows = [
        make_row(f"{name}, a step without rendering, median", statistics.median(dimple), statistics.median(peer)),
        make_row(f"{name}, a step without rendering, worst", max(dimple), max(peer)),
    ]
    viewer.multi_view.panels[0].pick(7)
    picked = measure_milliseconds(viewer.show_index, snapshots, rounds, time.process_time)
    rows.append(make_row(f"{name}, the same with a picked point", statistics.median(picked), None))
    viewer.multi_view.panels[0].pick(None)

    def step_and_render(index: int) -> None:
        viewer.show_index(index)
        window.Render()

    def step_and_render_peer(index: int) -> None:
        step(index)
        render()

    num_rendered = min(snapshots, 10)
    dimple, peer = (
        measure_milliseconds(work, num_rendered, 1, time.perf_counter)
        for work in (step_and_render, step_and_render_peer)
    )
    rows.append(make_row(f"{name}, a step with rendering, median", statistics.median(dimple), statistics.median(peer)))
    rows += measure_coloring(viewer, name, rounds)
    rows.append(make_row(f"{name}, opening", opening, None, "s"))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
