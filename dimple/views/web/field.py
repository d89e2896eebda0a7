"""The moving boundary as bytes for a page: signed distances on a grid, one byte each, differences in time, gzip.

The page extracts its surface from them, so that it can also show times between two snapshots. Measured on plane_in_3d,
48 snapshots of 64^3 points: 2.8 MiB, where the exact triangles take 5.9 MiB and hold only the snapshots.
"""

import base64
import gzip
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Drawing, Frame, PointSet
from dimple.views.content.grid import UniformGrid, build_uniform_grid
from dimple.views.content.manifold_depth import ManifoldProximity

GRID_POINTS = {2: 256**2, 3: 64**3}
# The vector to the manifold varies smoothly, and is interpolated between fewer points.
OFFSET_GRID_POINTS = 32**3
# Distances are stored up to this number of cells from the boundary, which moves less between most snapshots.
NARROW_BAND_CELLS = 6.0
# Vectors to the manifold are stored up to this multiple of the depth at which colors are saturated.
OFFSET_LIMIT_RATIO = 4.0
# As a fraction of the largest side of the box.
MAX_MANIFOLD_EDGE = 1 / 150


def encode_distance_field(frames: Sequence[Frame]) -> tuple[dict[str, Any], str]:
    """Return the grid as plain values, and packed distances `(T, *reversed counts)`; 127 stands for `band` cells."""
    first = frames[0].drawing
    grid = build_uniform_grid(first.low, first.high, GRID_POINTS[first.ambient_dim])
    levels = np.stack([_quantize_distances(frame.drawing, grid) for frame in frames])
    changes = levels.copy()
    changes[1:] -= levels[:-1]
    return _grid_data(grid) | {"band": NARROW_BAND_CELLS}, pack_array(changes)


def encode_offset_field(frame: Frame) -> tuple[dict[str, Any], str] | None:
    """Return the vectors from the points of a coarser grid to the closest points of the manifold, a byte a component.

    The component along the normal of the boundary is the depth of the manifold. The grid comes as plain values with
    `limit`, the length that 127 stands for, and the vectors `(nz, ny, nx, 3)` packed. None where the drawing has no
    manifold surface.
    """
    drawing = frame.drawing
    layer = drawing.layer("manifold")
    boundary = drawing.layer("boundary")
    if layer is None or boundary is None or boundary.manifold_depth is None:
        return None
    grid = build_uniform_grid(drawing.low, drawing.high, OFFSET_GRID_POINTS)
    axes = [start + grid.spacing * np.arange(count) for start, count in zip(grid.origin, grid.counts, strict=True)]
    z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
    side = drawing.longest_side
    offsets = ManifoldProximity(layer.mesh, MAX_MANIFOLD_EDGE * side).compute_offsets(
        np.stack([x, y, z], axis=-1).reshape(-1, 3)
    )
    limit = OFFSET_LIMIT_RATIO * frame.depth_scale
    length = np.linalg.norm(offsets, axis=1, keepdims=True)
    offsets *= np.minimum(1.0, limit / np.where(length > 0, length, 1.0))
    return _grid_data(grid) | {"limit": limit}, pack_array(np.rint(offsets / limit * 127 + 128).astype(np.uint8))


def pack_array(array: NDArray[Any]) -> str:
    """Return the bytes of an array as base64 of gzip; the same array always gives the same text.

    Example:
        >>> list(gzip.decompress(base64.b64decode(pack_array(np.arange(3, dtype=np.uint8)))))
        [0, 1, 2]
    """
    return base64.b64encode(gzip.compress(np.ascontiguousarray(array).tobytes(), 7, mtime=0)).decode()


def _grid_data(grid: UniformGrid) -> dict[str, Any]:
    return {"origin": grid.origin, "spacing": grid.spacing, "counts": grid.counts}


def _quantize_distances(drawing: Drawing, grid: UniformGrid) -> NDArray[np.int8]:
    boundary = drawing.layer("boundary")
    assert boundary is not None
    # Imported here because numba takes a second to load.
    from dimple.views.content.signed_distance import compute_signed_distance

    distance = compute_signed_distance(
        boundary.mesh, grid, majority_side(drawing.points), max_accurate_distance=NARROW_BAND_CELLS
    )
    return np.asarray(np.rint(np.clip(distance / NARROW_BAND_CELLS, -1.0, 1.0) * 127), dtype=np.int8)


def majority_side(points: PointSet) -> float:
    """Return the side of a picture without a boundary: that of the most common predicted class."""
    predicted = points.labels if points.predictions is None else points.predictions
    return 1.0 if (predicted == 1).mean() > 0.5 else -1.0
