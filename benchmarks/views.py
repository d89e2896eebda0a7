"""Stepping through a run in the window, beside what one writes with pyvista: add_mesh under one name, every time.

    python benchmarks/views.py [--quick] [--json FILE]

Every row has what dimple needs, what the peer needs, and peer / ours. The rows "without rendering" are the Python of a
step in milliseconds of processor time: ours with caption, slider and markers, the peer's with the mesh alone. Those
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
from dimple.views.content.frame import Drawing, Fact, Frame, Layer, Perturbations, PointSet, Timeline
from dimple.views.content.manifold_depth import vertex_normals
from dimple.views.style.colors import relief_colours
from dimple.views.vtk.opengl import require_rendering
from dimple.views.window.animation import Show
from dimple.views.window.colorings import GRADIENT, Paint
from dimple.views.window.window import SIZE, Viewer

PEER = "pyvista add_mesh(name=)"
BOX = (-1.2,) * 3, (1.2,) * 3


def bumpy_sphere(triangles: int, phase: float) -> Mesh:
    """A sphere with bumps that grow and turn, of about so many triangles."""
    rows = max(4, round((triangles / 4) ** 0.5))
    polar, around = np.linspace(0.05, np.pi - 0.05, rows + 1), np.linspace(0, 2 * np.pi, 2 * rows, endpoint=False)
    theta, phi = (grid.ravel() for grid in np.meshgrid(polar, around, indexing="ij"))
    radius = 0.8 + 0.2 * phase * np.sin(5 * theta) * np.sin(7 * phi + 3 * phase)
    places = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    row, column = (grid.ravel() for grid in np.meshgrid(np.arange(rows), np.arange(2 * rows), indexing="ij"))
    a, b = row * 2 * rows + column, row * 2 * rows + (column + 1) % (2 * rows)
    faces = np.concatenate([np.stack([a, a + 2 * rows, b], 1), np.stack([b, a + 2 * rows, b + 2 * rows], 1)])
    return Mesh(radius[:, None] * places, faces.astype(np.int64))


class Nobody:
    """Answers at once, so that a pick costs what the window makes of it."""

    def nearest(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        """The same step everywhere."""
        steps = np.tile([[0.0, 0.0, 0.1]], (60 if points is None else len(points), 1))
        return Perturbations(steps, 0 * steps, steps)

    def gradient_norms(self, step: int, points: np.ndarray) -> np.ndarray:
        """Something that varies."""
        return 1 + np.abs(points).sum(1)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """From the sphere without its bumps."""
        return np.abs(np.linalg.norm(points, axis=1) - 0.8)


def show(snapshots: int, triangles: int) -> Show:
    """A run whose boundaries have so many triangles each."""
    at = np.arange(60)
    places = 0.8 * np.stack([np.cos(at), np.sin(at) * np.cos(2 * at), np.sin(at) * np.sin(2 * at)], axis=1)
    points = PointSet(places, (at % 2).astype(np.int64), ((at // 3) % 2).astype(np.int64))
    steps = np.arange(snapshots, dtype=np.int64)
    facts = tuple(Fact(name, "0.123", "0.456") for name in ("train accuracy", "boundary to manifold", "dimple depth"))
    frames = []
    for index in range(snapshots):
        mesh = bumpy_sphere(triangles, index / max(snapshots - 1, 1))
        relief = np.linalg.norm(mesh.vertices, axis=1) - 0.8
        drawing = Drawing((Layer(mesh, "boundary", relief),), points, *BOX)
        frames.append(Frame("bumpy sphere", index, index, drawing, facts, Timeline(steps, ()), 0.1))
    return Show(frames, Path("bumpy"), {}, Nobody())


def plain(shown: Show) -> tuple[Callable[[int], None], Callable[[], None]]:
    """What a user would write: every snapshot's mesh made beforehand, and added under one name when it is shown."""
    import pyvista as pv

    plotter = pv.Plotter(off_screen=True, window_size=list(SIZE))
    plotter.disable_anti_aliasing()
    meshes = []
    for frame in shown.frames:
        layer = frame.drawing.layer("boundary")
        assert layer is not None and layer.relief is not None
        mesh = pv.PolyData.from_regular_faces(layer.mesh.vertices.astype(np.float32), layer.mesh.faces)
        mesh.point_data["Normals"] = vertex_normals(layer.mesh).astype(np.float32)
        mesh.point_data["colour"] = relief_colours(layer.relief, 0.1)
        meshes.append(mesh)

    def step(index: int) -> None:
        plotter.add_mesh(
            meshes[index], scalars="colour", rgb=True, smooth_shading=True, name="boundary", reset_camera=False,
            render=False,
        )  # fmt: skip

    def render() -> None:
        assert plotter.render_window is not None
        plotter.render_window.Render()

    step(0)
    plotter.camera.zoom(1.2)
    render()
    return step, render


def milliseconds(work: Callable[[int], None], count: int, rounds: int, clock: Callable[[], float]) -> list[float]:
    """The time of each call, the least over the rounds, after one round that is not counted."""
    rows = []
    for _ in range(rounds + 1):
        spent = []
        for index in range(count):
            started = clock()
            work(index)
            spent.append(1000 * (clock() - started))
        rows.append(spent)
    return [min(times) for times in zip(*rows[1:], strict=True)]


def row(case: str, ours: float, peer: float | None, unit: str = "ms") -> dict[str, Any]:
    """One line of the table; the ratio is peer / ours."""
    ratio = None if peer is None else round(peer / ours, 2)
    print(f"{case:64} {ours:9.3f} {'' if peer is None else f'{peer:9.3f}':>9} {unit:3} {ratio or ''}")
    name = "" if peer is None else PEER
    return {"case": case, "ours": ours, "peer": peer, "peer_name": name, "unit": unit, "ratio": ratio}


def main() -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="6 snapshots of 10,000 triangles")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    require_rendering()
    snapshots, triangles, rounds = (6, 10_000, 1) if options.quick else (60, 100_000, 3)
    shown = show(snapshots, triangles)
    name = f"{snapshots} snapshots of {len(shown.frames[0].drawing.layers[0].mesh.faces):,} triangles"

    started = time.process_time()
    viewer = Viewer([shown], off_screen=True)
    opening = time.process_time() - started
    window = viewer.plotter.render_window
    window.Render()
    step, render = plain(shown)

    ours = milliseconds(viewer.show, snapshots, rounds, time.process_time)
    peer = milliseconds(step, snapshots, rounds, time.process_time)
    rows = [
        row(f"{name}, a step without rendering, median", statistics.median(ours), statistics.median(peer)),
        row(f"{name}, a step without rendering, worst", max(ours), max(peer)),
    ]
    viewer.exhibit.panels[0].pick(7)
    picked = milliseconds(viewer.show, snapshots, rounds, time.process_time)
    rows.append(row(f"{name}, the same with a picked point", statistics.median(picked), None))
    viewer.exhibit.panels[0].pick(None)

    def seen(index: int) -> None:
        viewer.show(index)
        window.Render()

    def seen_plain(index: int) -> None:
        step(index)
        render()

    few = min(snapshots, 10)
    ours, peer = (milliseconds(work, few, 1, time.perf_counter) for work in (seen, seen_plain))
    rows.append(row(f"{name}, a step with rendering, median", statistics.median(ours), statistics.median(peer)))
    started = time.process_time()
    paint = Paint(GRADIENT, viewer.exhibit.reels)
    list(paint.prepare())
    rows.append(row(f"{name}, colours of a quantity that is known", time.process_time() - started, None, "s"))
    (switch,) = milliseconds(lambda _: paint.apply(), 1, rounds, time.process_time)
    rows.append(row(f"{name}, a prepared quantity put on", switch, None))
    rows.append(row(f"{name}, opening", opening, None, "s"))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
