"""A run as ParaView takes it: all that can be told of its boundary and of its points, snapshot by snapshot."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.experiment.outputs.view import Answers
from dimple.levelsets.mesh import Mesh
from dimple.runs import Run
from dimple.tracing.piecewise_linear import folds, is_folded
from dimple.views.content.frame import Frame
from dimple.views.content.from_slice import is_section
from dimple.views.content.point_table import point_columns
from dimple.views.paraview.export import Moment
from dimple.views.window.animation import Reel, Show
from dimple.views.window.colorings import quantities_of

PIECE = "linear piece"
WHOLE, ON, OFF = "perturbation", "perturbation on the manifold", "perturbation off the manifold"


def moments_of(run: Run, frames: Sequence[Frame], advance: Callable[[], None]) -> list[Moment]:
    """Every snapshot of a run with a boundary in R^2 or R^3.

    At the corners of the boundary stand the quantities that the window colours it by; of its faces which linear piece
    of a network of ReLU type they belong to; at the points what was measured there, and the shortest steps to the
    boundary as vectors, zero where none was found. A section knows less: the network is somebody else's.

    Args:
        frames: all of the run.
        advance: called after each snapshot.
    """
    answers = None if is_section(run) else Answers(run)
    reel = Reel(Show(frames, run.path, run.points(), answers))
    columns = point_columns(frames, reel.show.points)
    starts = np.cumsum([0, *[len(frame.drawing.points.classes) for frame in frames]])
    moments = []
    for index, frame in enumerate(frames):
        layer = frame.drawing.layer("boundary")
        assert layer is not None
        part = slice(starts[index], starts[index + 1])
        here = {name: values[part] for name, values in columns.items() if values.dtype.kind in "fib"}
        here = {name: values for name, values in here.items() if name not in ("step", "label", "prediction")}
        corners = {
            quantity.name: quantity.measure(reel, index) if len(layer.mesh.vertices) else np.zeros(0)
            for quantity in quantities_of(reel)
            if quantity.measure is not None
        }
        faces: dict[str, NDArray[Any]] = {}
        if answers is not None:
            faces = _pieces(answers, frame, layer.mesh)
            here |= _steps(answers, frame)
        moments.append(Moment(frame.step, layer, corners, faces, frame.drawing.points, here))
        advance()
    return moments


def _pieces(answers: Answers, frame: Frame, mesh: Mesh) -> dict[str, NDArray[Any]]:
    """Which linear piece of the network each face lies in, numbered from 0; nothing for networks without pieces."""
    network = answers.network(frame.step)
    if not is_folded(network):
        return {}
    if len(mesh.faces) == 0:
        return {PIECE: np.zeros(0, dtype=np.int64)}
    middles = torch.from_numpy(mesh.vertices[mesh.faces].mean(axis=1)).double()
    patterns = folds(network, 1).patterns(middles).numpy()
    return {PIECE: np.unique(np.packbits(patterns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)}


def _steps(answers: Answers, frame: Frame) -> dict[str, NDArray[Any]]:
    found = answers.nearest(frame.step)
    return {name: np.nan_to_num(vectors) for name, vectors in ((WHOLE, found.whole), (ON, found.on), (OFF, found.off))}
