"""The inner loop of the exact walk, compiled by numba: around one convex polygon, from fold to fold.

Imported only where a walk begins: numba takes a second to load, and compiles once into a cache beside this file.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dimple.jit import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A polygon with more corners than this is a fault of rounding.
MOST_CORNERS = 128
# What is nearer than this share of the box is one point.
POINT = 1e-12


class Region(NamedTuple):
    """One activation region as the tracer sees it.

    Attributes:
        first: `(4, w)` the first layer's units as maps of (x, y, z, 1).
        rest: `(4, U - w)` the other layers' units.
        signs: `(U,)` +1 where a unit is positive, -1 where it is not, 0 where it has no fold.
        level: `(4,)` the gap, scaled to unit gradient.
        walls: `(6, 4)` the box, positive inside; numbered U to U + 5.
        size: the diagonal of the box.
        threshold: the least speed towards a fold that counts.
    """

    first: Floats
    rest: Floats
    signs: Floats
    level: Floats
    walls: Floats
    size: float
    threshold: float


@compiled
def plane(region: Region, fold: int, out: Floats) -> None:
    """The fold or wall as a map of (x, y, z, 1), positive inside, scaled to unit normal."""
    width, units = region.first.shape[1], len(region.signs)
    for i in range(4):
        if fold < width:
            out[i] = region.first[i, fold] * region.signs[fold]
        elif fold < units:
            out[i] = region.rest[i, fold - width] * region.signs[fold]
        else:
            out[i] = region.walls[fold - units, i]
    length = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    for i in range(4):
        out[i] /= length


@compiled
def cross(a: Floats, b: Floats, out: Floats) -> None:
    """`a x b` of the first three entries."""
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@compiled
def times_to(maps: Floats, signs: Floats, point: Floats, direction: Floats, threshold: float, out: Floats) -> None:
    """When each unit of one block of maps falls to zero on the way; infinite where it does not."""
    x, y, z = point[0], point[1], point[2]
    u, v, w = direction[0], direction[1], direction[2]
    for k in range(maps.shape[1]):
        value = (maps[0, k] * x + maps[1, k] * y + maps[2, k] * z + maps[3, k]) * signs[k]
        speed = (maps[0, k] * u + maps[1, k] * v + maps[2, k] * w) * signs[k]
        out[k] = -value / speed if speed < -threshold else np.inf


@compiled
def first_hit(region: Region, point: Floats, direction: Floats, along: int, times: Floats) -> tuple[int, float]:
    """The first fold or wall on the way along one of them, and when; -1 for none."""
    width, units = region.first.shape[1], len(region.signs)
    times_to(region.first, region.signs[:width], point, direction, region.threshold, times[:width])
    times_to(region.rest, region.signs[width:], point, direction, region.threshold, times[width:units])
    for k in range(6):
        value = region.walls[k, k // 2] * point[k // 2] + region.walls[k, 3]
        speed = region.walls[k, k // 2] * direction[k // 2]
        times[units + k] = -value / speed if speed < -1e-14 else np.inf
    if along >= 0:
        times[along] = np.inf
    hit, time = -1, np.inf
    for k in range(units + 6):
        if times[k] < time:
            hit, time = k, times[k]
    return hit, max(time, 0.0)


@compiled
def sharpest(region: Region, direction: Floats, hit: int, times: Floats, row: Floats, turned: Floats) -> int:
    """Of the folds that are met together, the one after which the way turns most: the others lie beyond it."""
    latest = max(times[hit], 0.0) + POINT * region.size
    best, choice = 2.0, hit
    for k in range(len(times)):
        if times[k] <= latest:
            plane(region, k, row)
            cross(row, region.level, turned)
            along = turned[0] * direction[0] + turned[1] * direction[1] + turned[2] * direction[2]
            along /= np.sqrt(turned[0] ** 2 + turned[1] ** 2 + turned[2] ** 2)
            if along < best:
                best, choice = along, k
    return choice


@compiled
def settle(point: Floats, a: Floats, b: Floats, c: Floats, size: float, spare: Floats) -> None:
    """One Newton step onto three planes at once, so that no error gathers along the walk."""
    cross(b, c, spare[0])
    cross(c, a, spare[1])
    cross(a, b, spare[2])
    volume = a[0] * spare[0, 0] + a[1] * spare[0, 1] + a[2] * spare[0, 2]
    if abs(volume) < 1e-7:
        return
    off_a = a[0] * point[0] + a[1] * point[1] + a[2] * point[2] + a[3]
    off_b = b[0] * point[0] + b[1] * point[1] + b[2] * point[2] + b[3]
    off_c = c[0] * point[0] + c[1] * point[1] + c[2] * point[2] + c[3]
    for i in range(3):
        step = (off_a * spare[0, i] + off_b * spare[1, i] + off_c * spare[2, i]) / volume
        if abs(step) < 1e-6 * size:
            point[i] -= step


@compiled
def holds(region: Region, point: Floats) -> bool:
    """Whether the region, with its walls, holds the point to rounding."""
    width, slack = region.first.shape[1], -1e-13 * region.size
    for k in range(len(region.signs)):
        maps, column = (region.first, k) if k < width else (region.rest, k - width)
        value = maps[0, column] * point[0] + maps[1, column] * point[1] + maps[2, column] * point[2] + maps[3, column]
        if value * region.signs[k] < slack:
            return False
    nearest = np.inf
    for k in range(6):
        nearest = min(nearest, region.walls[k, k // 2] * point[k // 2] + region.walls[k, 3])
    return nearest >= slack


@compiled
def rim(region: Region, point: Floats, times: Floats) -> int:
    """Move from near a piece into it and on to its rim; the fold or wall that is met there, -1 if there is no piece."""
    level = region.level
    point -= (level[0] * point[0] + level[1] * point[1] + level[2] * point[2] + level[3]) * level[:3]
    if not holds(region, point):
        return -1
    direction = np.zeros(3)
    least = np.argmin(np.abs(region.level[:3]))
    axis = np.zeros(3)
    axis[least] = 1.0
    cross(axis, region.level, direction)
    direction /= np.sqrt((direction**2).sum())
    hit, time = first_hit(region, point, direction, -1, times)
    if hit >= 0:
        point += time * direction
    return hit


@compiled
def edge_direction(fold: Floats, level: Floats, direction: Floats) -> bool:
    """Set `direction` to that of a fold's meeting with the piece, the piece on its left; False if they are parallel."""
    cross(fold, level, direction)
    length = np.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    if not length > 0.0:
        return False
    direction /= length
    return True


@compiled
def follow(
    region: Region, entry: Floats, edges: Ints, corners: Floats, folds: Ints, times: Floats, rows: Floats
) -> int:
    """Trace one polygon into `corners` and `folds`; returns their number, 0 if the trace did not close."""
    point, direction = entry[1].copy(), np.empty(3)
    along, last, count = edges[1], edges[2], 0
    if along < 0:
        along = rim(region, point, times)
        if along < 0:
            return 0
        last = along
    else:
        corners[0], corners[1] = entry[0], entry[1]
        folds[0], folds[1] = edges[0], along
        count = 2
    plane(region, along, rows[0])
    trusted = edges[1] < 0
    for _ in range(MOST_CORNERS):
        if not edge_direction(rows[0], region.level, direction):
            return 0
        hit, time = first_hit(region, point, direction, along, times)
        if hit < 0:
            return 0
        if not trusted and time < POINT * region.size:
            # A third fold meets the entry here, and the far side may go on along that one: look again from the start.
            trusted, along, count = True, edges[0], 1
            point[:] = entry[0]
            plane(region, along, rows[0])
            continue
        trusted = True
        hit = sharpest(region, direction, hit, times, rows[1], rows[2])
        point += time * direction
        plane(region, hit, rows[1])
        settle(point, region.level, rows[0], rows[1], region.size, rows[2:])
        # Where three folds meet in a point, the way home has another name than expected.
        if hit != last and count > 0 and np.abs(point - corners[0]).max() < POINT * region.size:
            return count
        corners[count], folds[count] = point, hit
        count += 1
        if hit == last:
            return count
        along = hit
        rows[0] = rows[1]
    return 0


@compiled
def trace_all(  # noqa: PLR0917 - compiled code takes arrays, not objects
    first: Floats,
    rest: Floats,
    group: Ints,
    patterns: Bools,
    slopes: Floats,
    walls: Floats,
    entry: Floats,
    edges: Ints,
    size: float,
    threshold: float,
    levels: Floats,
    corners: Floats,
    folds: Ints,
    counts: Ints,
) -> int:
    """Trace the polygons of B pieces, counter-clockwise seen from where the level is positive.

    Args:
        first: `(4, w)` the first layer's units as maps of (x, y, z, 1); everyone's.
        rest: `(G, 4, U - w)` the other units' maps, of the group that a piece belongs to, `group` `(B,)`.
        patterns: `(B, U)` which units are positive.
        slopes: `(3, U)` the weight of each unit in the level where it is not positive, and where it is: 0 for all but
            the last layer's; then 1 for units that fold, 0 for those that do not.
        walls: `(6, 4)` the box.
        entry: `(B, 2, 3)` the two corners of the edge that a piece is entered by; for a seed, a point of it twice.
        edges: `(B, 3)` the fold of that edge, the one after it, the one before it; -1 for a seed.
        levels: `(B, 4)` holds the level's constant, and is filled with the level on each piece.
        corners: `(M, 3)` and `folds` `(M,)`: filled with each corner and the fold that the edge after it lies on.
        counts: `(B,)` filled with the number of corners of each piece, 0 where the trace did not close.

    Returns:
        The number of corners written.
    """
    width, units = first.shape[1], patterns.shape[1]
    times, rows, level, signs, readout = (
        np.empty(units + 6),
        np.empty((5, 4)),
        np.empty(4),
        np.empty(units),
        np.empty(units),
    )
    total = 0
    for b in range(len(patterns)):
        maps = rest[group[b]]
        for k in range(units):
            signs[k] = slopes[2, k] if patterns[b, k] else -slopes[2, k]
            readout[k] = slopes[1, k] if patterns[b, k] else slopes[0, k]
        block, weights = (maps, readout[width:]) if units > width else (first, readout)
        for i in range(4):
            levels[b, i] += (block[i] * weights).sum()
        steep = np.sqrt(levels[b, 0] ** 2 + levels[b, 1] ** 2 + levels[b, 2] ** 2)
        counts[b] = 0
        if not steep > 0.0:
            continue
        level[:] = levels[b] / steep
        region = Region(first, maps, signs, level, walls, size, threshold)
        counts[b] = follow(region, entry[b], edges[b], corners[total:], folds[total:], times, rows)
        total += counts[b]
    return total
