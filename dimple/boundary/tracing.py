"""The inner loop of the exact walk, compiled: around one convex polygon, from fold to fold."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A polygon with more corners than this is one that the level set only grazes, or a fault of rounding.
MOST_CORNERS = 128


@functools.cache
def tracer() -> Any:
    """`trace_all`, compiled; the machine code is kept beside the package, or in the user's cache, for the next start."""
    import numba

    numba_inline = numba.njit(inline="never", cache=False)
    del numba_inline
    try:
        return numba.njit(cache=True, nogil=True)(trace_all)
    except RuntimeError:
        # Neither folder can be written: compile in memory.
        return numba.njit(nogil=True)(trace_all)


def trace_all(
    first: NDArray[np.float64],
    rest: NDArray[np.float64],
    group: NDArray[np.int64],
    signs: NDArray[np.float64],
    gaps: NDArray[np.float64],
    walls: NDArray[np.float64],
    entry: NDArray[np.float64],
    edges: NDArray[np.int64],
    size: float,
    threshold: float,
    corners: NDArray[np.float64],
    folds: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Trace the polygons of B pieces, counter-clockwise seen from where the level is positive.

    Args:
        first: `(4, w)` the first layer's units as maps of (x, y, z, 1); everyone's.
        rest: `(G, 4, U - w)` the other units' maps, of the group `group` `(B,)` that a piece belongs to.
        signs: `(B, U)` +1 where a unit is positive, -1 where it is not, 0 where it has no fold.
        gaps: `(B, 4)` the level on each piece.
        walls: `(6, 4)` the box, positive inside; numbered U to U + 5 after the units.
        entry: `(B, 2, 3)` the two corners of the edge that a piece is entered by; a seed has a point inside it, twice.
        edges: `(B, 3)` the fold of that edge, the one after it, the one before it; -1 for a seed.
        size: the diagonal of the box; threshold: the least speed towards a fold that counts.
        corners: `(M, 3)` and `folds` `(M,)`: filled with each corner and the fold that the edge after it lies on.
        counts: `(B,)` filled with the number of corners of each piece, 0 where the trace did not close.

    Returns:
        The number of corners written.
    """
    width, units = first.shape[1], signs.shape[1]
    times = np.empty(units)
    direction, gradient = np.empty(3), np.empty(3)
    rows = np.empty((2, 4))
    point, start = np.empty(3), np.empty(3)
    total = 0
    for b in range(signs.shape[0]):
        counts[b] = 0
        begin = total
        steep = np.sqrt(gaps[b, 0] ** 2 + gaps[b, 1] ** 2 + gaps[b, 2] ** 2)
        if not steep > 0.0:
            continue
        for i in range(3):
            gradient[i] = gaps[b, i] / steep
            start[i] = entry[b, 0, i]
            point[i] = entry[b, 1, i]
        seed = edges[b, 0] < 0
        known = not seed
        before, along, last = edges[b, 0], edges[b, 1], edges[b, 2]
        if seed:
            # Any direction within the piece leads to its rim.
            least = 0
            for i in range(1, 3):
                if abs(gradient[i]) < abs(gradient[least]):
                    least = i
            for i in range(3):
                rows[0, i] = 1.0 if i == least else 0.0
        else:
            for j in range(2):
                for i in range(3):
                    corners[total, i] = start[i] if j == 0 else point[i]
                folds[total] = before if j == 0 else along
                total += 1
        closed = False
        for _ in range(MOST_CORNERS):
            # The edge runs in the fold's plane and in the piece's, with the piece on its left.
            if along >= 0:
                _fold(first, rest, group[b], signs[b], walls, along, rows[0])
            direction[0] = rows[0, 1] * gradient[2] - rows[0, 2] * gradient[1]
            direction[1] = rows[0, 2] * gradient[0] - rows[0, 0] * gradient[2]
            direction[2] = rows[0, 0] * gradient[1] - rows[0, 1] * gradient[0]
            length = np.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
            if not length > 0.0:
                break
            for i in range(3):
                direction[i] /= length
            x, y, z = point
            u, v, w = direction
            for k in range(width):
                value = first[0, k] * x + first[1, k] * y + first[2, k] * z + first[3, k]
                speed = (first[0, k] * u + first[1, k] * v + first[2, k] * w) * signs[b, k]
                times[k] = -value * signs[b, k] / speed if speed < -threshold else np.inf
            maps = rest[group[b]]
            for k in range(units - width):
                value = maps[0, k] * x + maps[1, k] * y + maps[2, k] * z + maps[3, k]
                speed = (maps[0, k] * u + maps[1, k] * v + maps[2, k] * w) * signs[b, width + k]
                times[width + k] = -value * signs[b, width + k] / speed if speed < -threshold else np.inf
            if 0 <= along < units:
                times[along] = np.inf
            if 0 <= before < units:
                times[before] = np.inf
            hit, time = -1, np.inf
            for k in range(units):
                if times[k] < time:
                    hit, time = k, times[k]
            for k in range(6):
                if units + k in (along, before):
                    continue
                axis = k // 2
                value = walls[k, axis] * point[axis] + walls[k, 3]
                speed = walls[k, axis] * direction[axis]
                if speed < -1e-15 and -value / speed < time:
                    hit, time = units + k, -value / speed
            if hit < 0:
                break
            time = max(time, 0.0)
            for i in range(3):
                point[i] += time * direction[i]
            if along >= 0:
                _fold(first, rest, group[b], signs[b], walls, hit, rows[1])
                _meet(point, gradient, gaps[b, 3] / steep, rows, size)
            if not known:
                # The rim is reached: follow it once around; the first corner that counts is the next one.
                known = True
                before, along, last = hit, hit, hit
                for i in range(3):
                    start[i] = np.inf
                continue
            home = hit == last
            if not home and abs(point[0] - start[0]) + abs(point[1] - start[1]) + abs(point[2] - start[2]) < 1e-12 * size:
                # Where three folds meet in a point, the way home has another name.
                closed = True
                break
            for i in range(3):
                corners[total, i] = point[i]
            folds[total] = hit
            total += 1
            if home:
                closed = True
                break
            before, along = along, hit
        if closed:
            counts[b] = total - begin
        else:
            total = begin
    return total
