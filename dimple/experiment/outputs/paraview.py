"""Arrays of a run for ParaView: quantities on its boundary and at its points, snapshot by snapshot."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.experiment.outputs.view import RunEvaluator
from dimple.experiment.run import Run
from dimple.levelsets.mesh import Mesh
from dimple.tracing.piecewise_linear import is_piecewise_linear, read_piecewise_linear
from dimple.views.content.frame import Frame
from dimple.views.content.point_table import build_point_table
from dimple.views.paraview.export import ParaViewSnapshot
from dimple.views.window.animation import Animation, RunView
from dimple.views.window.colorings import available_quantities

LINEAR_REGION = "linear region"
PERTURBATION = "perturbation"
PERTURBATION_ON = "perturbation on the manifold"
PERTURBATION_OFF = "perturbation off the manifold"


def build_paraview_snapshots(run: Run, frames: Sequence[Frame], advance: Callable[[], None]) -> list[ParaViewSnapshot]:
    """Return the arrays of every snapshot of a run with a boundary in R^2 or R^3.

    The vertices of the boundary carry the quantities that the window can color it by. Its faces carry the linear region
    of the network, where the network is piecewise linear. The points carry the measured columns, and the shortest
    perturbations to the boundary as vectors, zero where none was found. A slice has no linear regions and no
    perturbations, because its run does not hold the network.

    Args:
        frames: all frames of the run.
        advance: called after each snapshot.
    """
    evaluator = None if run.kind == "slice" else RunEvaluator(run)
    animation = Animation(RunView(frames, run.path, run.columns("points"), evaluator))
    columns = build_point_table(frames, animation.run.point_table)
    starts = np.cumsum([0, *[len(frame.drawing.points.labels) for frame in frames]])
    snapshots = []
    for index, frame in enumerate(frames):
        layer = frame.drawing.layer("boundary")
        assert layer is not None
        rows = slice(starts[index], starts[index + 1])
        point_arrays = {
            name: values[rows]
            for name, values in columns.items()
            if values.dtype.kind in "fib" and name not in ("step", "label", "prediction")
        }
        vertex_arrays = {
            quantity.name: quantity.measure(animation, index) if len(layer.mesh.vertices) else np.zeros(0)
            for quantity in available_quantities(animation)
            if quantity.measure is not None
        }
        face_arrays: dict[str, NDArray[Any]] = {}
        if evaluator is not None:
            face_arrays = _linear_regions(evaluator, frame, layer.mesh)
            point_arrays |= _perturbations(evaluator, frame)
        points = frame.drawing.points
        snapshots.append(ParaViewSnapshot(frame.step, layer, vertex_arrays, face_arrays, points, point_arrays))
        advance()
    return snapshots


def _linear_regions(evaluator: RunEvaluator, frame: Frame, mesh: Mesh) -> dict[str, NDArray[Any]]:
    """Return the number of the linear region of each face, from 0; empty for a network that is not piecewise linear."""
    network = evaluator.load_network(frame.step)
    sample = torch.zeros(mesh.ambient_dim)
    if not is_piecewise_linear(network, sample):
        return {}
    if len(mesh.faces) == 0:
        return {LINEAR_REGION: np.zeros(0, dtype=np.int64)}
    centers = torch.from_numpy(mesh.vertices[mesh.faces].mean(axis=1)).double()
    patterns = read_piecewise_linear(network, sample, 1).activation_patterns(centers).numpy()
    return {LINEAR_REGION: np.unique(np.packbits(patterns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)}


def _perturbations(evaluator: RunEvaluator, frame: Frame) -> dict[str, NDArray[Any]]:
    found = evaluator.perturbations(frame.step)
    return {
        name: np.nan_to_num(vectors)
        for name, vectors in (
            (PERTURBATION, found.total),
            (PERTURBATION_ON, found.on_manifold),
            (PERTURBATION_OFF, found.off_manifold),
        )
    }
