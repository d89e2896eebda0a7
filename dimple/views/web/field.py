"""The moving boundary as bytes for a page: signed distances on a lattice, a byte each, differences in time, gzip.

The page takes its surface out of them, so that it can also show the moments between two snapshots. Measured on
plane_in_3d, 48 snapshots in 64^3 points: 2.8 MiB, where the exact triangles take 5.9 MiB and hold only the snapshots.
"""

import base64
import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Drawing, Frame, PointSet
from dimple.views.content.grid import Lattice, lattice_over
from dimple.views.content.manifold_depth import Feet

POINTS = {2: 256**2, 3: 64**3}
# The way to the manifold changes evenly, and is interpolated between fewer points.
PULL_POINTS = 32**3
# Distances are kept within so many cells of the boundary; it moves less than that between most snapshots.
BAND = 6.0
# The way to the manifold is kept up to this multiple of the relief at which colours are full.
PULL = 4.0
# Of the box's largest side.
FOOT_SPACING = 1 / 150


def moving_field(frames: Sequence[Frame]) -> tuple[dict[str, Any], str]:
    """The lattice in words, and the distances `(T, *reversed counts)` packed; 127 stands for `band` cells."""
    first = frames[0].drawing
    lattice = lattice_over(first.low, first.high, POINTS[first.ambient_dim])
    levels = np.stack([_levels(frame.drawing, lattice) for frame in frames])
    changes = levels.copy()
    changes[1:] -= levels[:-1]
    return _words(lattice) | {"band": BAND}, packed(changes)


def pull_field(frame: Frame) -> tuple[dict[str, Any], str] | None:
    """The vector from each point of a coarser lattice to the nearest place of the manifold, a byte a component.

    Its part along the boundary's normal is the relief of the boundary. The lattice comes in words with `limit`, the
    length that 127 stands for, and the vectors `(nz, ny, nx, 3)` packed. None where the drawing has no surface of a
    manifold.
    """
    drawing = frame.drawing
    layer, boundary = drawing.layer("manifold"), drawing.layer("boundary")
    if layer is None or boundary is None or boundary.relief is None:
        return None
    lattice = lattice_over(drawing.low, drawing.high, PULL_POINTS)
    axes = [
        start + lattice.spacing * np.arange(count) for start, count in zip(lattice.origin, lattice.counts, strict=True)
    ]
    z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
    side = drawing.side
    offsets = Feet(layer.mesh, FOOT_SPACING * side).offsets(np.stack([x, y, z], axis=-1).reshape(-1, 3))
    limit = PULL * frame.relief_scale
    length = np.linalg.norm(offsets, axis=1, keepdims=True)
    offsets *= np.minimum(1.0, limit / np.where(length > 0, length, 1.0))
    return _words(lattice) | {"limit": limit}, packed(np.rint(offsets / limit * 127 + 128).astype(np.uint8))


def packed(array: NDArray[Any]) -> str:
    """The bytes of an array, gzipped, in letters; the same array always gives the same letters.

    Example:
        >>> list(gzip.decompress(base64.b64decode(packed(np.arange(3, dtype=np.uint8)))))
        [0, 1, 2]
    """
    return base64.b64encode(gzip.compress(np.ascontiguousarray(array).tobytes(), 7, mtime=0)).decode()


def _words(lattice: Lattice) -> dict[str, Any]:
    return {"origin": lattice.origin, "spacing": lattice.spacing, "counts": lattice.counts}


def _levels(drawing: Drawing, lattice: Lattice) -> NDArray[np.int8]:
    boundary = drawing.layer("boundary")
    assert boundary is not None
    # Here, because numba takes a second to load.
    from dimple.views.content.signed_distance import signed_distance

    distance = signed_distance(boundary.mesh, lattice, common_side(drawing.points), most=BAND)
    return np.asarray(np.rint(np.clip(distance / BAND, -1.0, 1.0) * 127), dtype=np.int8)


def common_side(points: PointSet) -> float:
    """The side of a picture without a boundary: that of the class which most points are put into."""
    predicted = points.classes if points.predictions is None else points.predictions
    return 1.0 if (predicted == 1).mean() > 0.5 else -1.0
