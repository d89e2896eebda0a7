"""Compiled inner loop of analytic marching: trace one convex polygon from hyperplane to hyperplane.

Hyperplanes are numbered: 0 to U - 1 are the zero sets of the U hidden units, U to U + 5 are the planes of the box.
Affine maps are columns `(4,)` that multiply (x, y, z, 1).

This module is imported only when an extraction begins, because numba takes a second to load. The compiled code is
cached next to this file.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dimple.jit import jit_compile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A trace that finds more corners than this has failed by rounding.
MAX_CORNERS = 128
# Points nearer to each other than this fraction of the box diagonal are one point.
COINCIDENCE_TOLERANCE = 1e-12
# A seed may lie outside the box by this fraction of its diagonal: the error of its position.
SEED_TOLERANCE = 1e-9


class ActivationRegion(NamedTuple):
    """One activation region of the network, with the level function that is affine in it.

    Attributes:
        first_layer_maps: `(4, w)` the units of the first layer as affine maps.
        later_unit_maps: `(4, U - w)` the units of the other layers as affine maps.
        signs: `(U,)` +1 where a unit is positive, -1 where it is not, 0 where it is linear everywhere.
        level_map: `(4,)` the logit margin as an affine map, scaled to unit gradient.
        box_planes: `(6, 4)` the planes of the box as affine maps, positive inside.
        box_diagonal: the length of the diagonal of the box.
        min_speed: smallest rate of change along a ray at which a unit counts as approaching zero.
    """

    first_layer_maps: Floats
    later_unit_maps: Floats
    signs: Floats
    level_map: Floats
    box_planes: Floats
    box_diagonal: float
    min_speed: float


@jit_compile
def compute_hyperplane(region: ActivationRegion, hyperplane: int, out: Floats) -> None:
    """Fill `out` `(4,)` with a hyperplane as an affine map, positive inside the region, scaled to unit normal."""
    width = region.first_layer_maps.shape[1]
    units = len(region.signs)
    for i in range(4):
        if hyperplane < width:
            out[i] = region.first_layer_maps[i, hyperplane] * region.signs[hyperplane]
        elif hyperplane < units:
            out[i] = region.later_unit_maps[i, hyperplane - width] * region.signs[hyperplane]
        else:
            out[i] = region.box_planes[hyperplane - units, i]
    length = np.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    for i in range(4):
        out[i] /= length


@jit_compile
def cross(a: Floats, b: Floats, out: Floats) -> None:
    """Fill the first three entries of `out` with the cross product of the first three of `a` and `b`."""
    out[0] = a[1] * b[2] - a[2] * b[1]
    out[1] = a[2] * b[0] - a[0] * b[2]
    out[2] = a[0] * b[1] - a[1] * b[0]


@jit_compile
def compute_hit_times(
    maps: Floats, signs: Floats, point: Floats, direction: Floats, min_speed: float, out: Floats
) -> None:
    """Fill `out` with the time at which each unit of `maps` falls to zero along a ray; infinite where it does not."""
    x = point[0]
    y = point[1]
    z = point[2]
    u = direction[0]
    v = direction[1]
    w = direction[2]
    for k in range(maps.shape[1]):
        value = (maps[0, k] * x + maps[1, k] * y + maps[2, k] * z + maps[3, k]) * signs[k]
        speed = (maps[0, k] * u + maps[1, k] * v + maps[2, k] * w) * signs[k]
        out[k] = -value / speed if speed < -min_speed else np.inf


@jit_compile
def find_first_hit(
    region: ActivationRegion, point: Floats, direction: Floats, current_hyperplane: int, times: Floats
) -> tuple[int, float]:
    """Return the first hyperplane that a ray within `current_hyperplane` meets, and the time; -1 if it meets none.

    `times` `(U + 6,)` is filled with the times of all hyperplanes.
    """
    width = region.first_layer_maps.shape[1]
    units = len(region.signs)
    compute_hit_times(region.first_layer_maps, region.signs[:width], point, direction, region.min_speed, times[:width])
    compute_hit_times(
        region.later_unit_maps, region.signs[width:], point, direction, region.min_speed, times[width:units]
    )
    for k in range(6):
        value = region.box_planes[k, k // 2] * point[k // 2] + region.box_planes[k, 3]
        speed = region.box_planes[k, k // 2] * direction[k // 2]
        times[units + k] = -value / speed if speed < -1e-14 else np.inf
    if current_hyperplane >= 0:
        times[current_hyperplane] = np.inf
    hit = -1
    time = np.inf
    for k in range(units + 6):
        if times[k] < time:
            hit = k
            time = times[k]
    return hit, max(time, 0.0)


@jit_compile
def choose_sharpest_turn(
    region: ActivationRegion, direction: Floats, hit: int, times: Floats, row: Floats, turned_direction: Floats
) -> int:
    """Return, of the hyperplanes met at the same time, the one at which the polygon's outline turns most.

    The other hyperplanes only touch the polygon in this corner.
    """
    latest = max(times[hit], 0.0) + COINCIDENCE_TOLERANCE * region.box_diagonal
    smallest_cosine = 2.0
    choice = hit
    for k in range(len(times)):
        if times[k] <= latest:
            compute_hyperplane(region, k, row)
            cross(row, region.level_map, turned_direction)
            cosine = (
                turned_direction[0] * direction[0]
                + turned_direction[1] * direction[1]
                + turned_direction[2] * direction[2]
            )
            cosine /= np.sqrt(turned_direction[0] ** 2 + turned_direction[1] ** 2 + turned_direction[2] ** 2)
            if cosine < smallest_cosine:
                smallest_cosine = cosine
                choice = k
    return choice


@jit_compile
def correct_to_intersection(
    point: Floats, a: Floats, b: Floats, c: Floats, box_diagonal: float, workspace: Floats
) -> None:
    """Move a point by one Newton step onto three planes at once, so that errors do not add up along the trace."""
    cross(b, c, workspace[0])
    cross(c, a, workspace[1])
    cross(a, b, workspace[2])
    volume = a[0] * workspace[0, 0] + a[1] * workspace[0, 1] + a[2] * workspace[0, 2]
    if abs(volume) < 1e-7:
        return
    off_a = a[0] * point[0] + a[1] * point[1] + a[2] * point[2] + a[3]
    off_b = b[0] * point[0] + b[1] * point[1] + b[2] * point[2] + b[3]
    off_c = c[0] * point[0] + c[1] * point[1] + c[2] * point[2] + c[3]
    for i in range(3):
        step = (off_a * workspace[0, i] + off_b * workspace[1, i] + off_c * workspace[2, i]) / volume
        if abs(step) < 1e-6 * box_diagonal:
            point[i] -= step


@jit_compile
def contains_point(region: ActivationRegion, point: Floats) -> bool:
    """Return whether the part of the region inside the box holds a seed, up to rounding and the error of the seed."""
    width = region.first_layer_maps.shape[1]
    slack = -1e-13 * region.box_diagonal
    for k in range(len(region.signs)):
        maps = region.first_layer_maps if k < width else region.later_unit_maps
        column = k if k < width else k - width
        value = maps[0, column] * point[0] + maps[1, column] * point[1] + maps[2, column] * point[2] + maps[3, column]
        if value * region.signs[k] < slack:
            return False
    nearest = np.inf
    for k in range(6):
        nearest = min(nearest, region.box_planes[k, k // 2] * point[k // 2] + region.box_planes[k, 3])
    return nearest >= -SEED_TOLERANCE * region.box_diagonal


@jit_compile
def move_to_polygon_edge(region: ActivationRegion, point: Floats, times: Floats) -> int:
    """Move a point near the polygon onto its plane, then within the plane to an edge; return the edge's hyperplane.

    The result is -1 where the region has no polygon at the point.
    """
    level = region.level_map
    point -= (level[0] * point[0] + level[1] * point[1] + level[2] * point[2] + level[3]) * level[:3]
    if not contains_point(region, point):
        return -1
    direction = np.zeros(3)
    least = np.argmin(np.abs(region.level_map[:3]))
    axis = np.zeros(3)
    axis[least] = 1.0
    cross(axis, region.level_map, direction)
    direction /= np.sqrt((direction**2).sum())
    hit, time = find_first_hit(region, point, direction, -1, times)
    if hit >= 0:
        point += time * direction
    return hit


@jit_compile
def compute_edge_direction(hyperplane: Floats, level_map: Floats, direction: Floats) -> bool:
    """Fill `direction` with that of the polygon's edge in a hyperplane, the polygon on its left.

    Returns:
        False if the polygon is parallel to the hyperplane.
    """
    cross(hyperplane, level_map, direction)
    length = np.sqrt(direction[0] ** 2 + direction[1] ** 2 + direction[2] ** 2)
    if not length > 0.0:
        return False
    direction /= length
    return True


@jit_compile
def trace_polygon(
    region: ActivationRegion,
    entry_edge: Floats,
    entry_hyperplanes: Ints,
    corners: Floats,
    edge_hyperplanes: Ints,
    times: Floats,
    workspace: Floats,
) -> int:
    """Trace one polygon into `corners` and `edge_hyperplanes`; return its corner count, 0 if the trace does not close.

    The arguments are those of `trace_polygons` for one polygon, with `times` `(U + 6,)` and `workspace` `(5, 4)`.
    """
    point = entry_edge[1].copy()
    direction = np.empty(3)
    current = entry_hyperplanes[1]
    last = entry_hyperplanes[2]
    count = 0
    if current < 0:
        current = move_to_polygon_edge(region, point, times)
        if current < 0:
            return 0
        last = current
    else:
        corners[:2] = entry_edge
        edge_hyperplanes[0] = entry_hyperplanes[0]
        edge_hyperplanes[1] = current
        count = 2
    compute_hyperplane(region, current, workspace[0])
    trusted = entry_hyperplanes[1] < 0
    for _ in range(MAX_CORNERS):
        if not compute_edge_direction(workspace[0], region.level_map, direction):
            return 0
        hit, time = find_first_hit(region, point, direction, current, times)
        if hit < 0:
            return 0
        if not trusted and time < COINCIDENCE_TOLERANCE * region.box_diagonal:
            # A third hyperplane passes through this end of the entry edge, and the next edge may lie in it instead:
            # start again from the other end.
            trusted = True
            current = entry_hyperplanes[0]
            count = 1
            point[:] = entry_edge[0]
            compute_hyperplane(region, current, workspace[0])
            continue
        trusted = True
        hit = choose_sharpest_turn(region, direction, hit, times, workspace[1], workspace[2])
        point += time * direction
        compute_hyperplane(region, hit, workspace[1])
        correct_to_intersection(point, region.level_map, workspace[0], workspace[1], region.box_diagonal, workspace[2:])
        # Where three hyperplanes meet in one point, the last edge may lie in another one than expected.
        if hit != last and count > 0 and np.abs(point - corners[0]).max() < COINCIDENCE_TOLERANCE * region.box_diagonal:
            return count
        corners[count] = point
        edge_hyperplanes[count] = hit
        count += 1
        if hit == last:
            return count
        current = hit
        workspace[0] = workspace[1]
    return 0


@jit_compile
def trace_polygons(  # noqa: PLR0917 - compiled code takes arrays, not objects
    first_layer_maps: Floats,
    later_unit_maps: Floats,
    group_indices: Ints,
    activation_patterns: Bools,
    readout_slopes: Floats,
    box_planes: Floats,
    entry_edges: Floats,
    entry_hyperplanes: Ints,
    box_diagonal: float,
    min_speed: float,
    level_maps: Floats,
    corners: Floats,
    edge_hyperplanes: Ints,
    corner_counts: Ints,
) -> int:
    """Trace the polygons of B activation regions, counter-clockwise seen from where the level is positive.

    Args:
        first_layer_maps: `(4, w)` the units of the first layer as affine maps, the same in all regions.
        later_unit_maps: `(G, 4, U - w)` the other units as affine maps, for each group of regions that share them.
        group_indices: `(B,)` the group of each region.
        activation_patterns: `(B, U)` which units are positive.
        readout_slopes: `(3, U)` the weight of each unit in the level where it is not positive, and where it is: 0 for
            all but the last layer; then 1 for units that change their slope, 0 for linear ones.
        box_planes: `(6, 4)` the planes of the box as affine maps.
        entry_edges: `(B, 2, 3)` the ends of the edge by which each polygon is entered; of a seed, its point twice.
        entry_hyperplanes: `(B, 3)` the hyperplane of that edge, of the edge after it, of the edge before it; -1 for a
            seed.
        box_diagonal: the length of the diagonal of the box.
        min_speed: as in `ActivationRegion`.
        level_maps: `(B, 4)` the constant of the level in the last column, zero elsewhere; filled with the level in
            each region.
        corners: `(M, 3)` filled with the corners, polygon after polygon.
        edge_hyperplanes: `(M,)` filled with the hyperplane of the edge that begins at each corner.
        corner_counts: `(B,)` filled with the number of corners of each polygon, 0 where the trace does not close.

    Returns:
        The number of corners written.
    """
    width = first_layer_maps.shape[1]
    units = activation_patterns.shape[1]
    times = np.empty(units + 6)
    workspace = np.empty((5, 4))
    level = np.empty(4)
    signs = np.empty(units)
    readout = np.empty(units)
    total = 0
    for b in range(len(activation_patterns)):
        maps = later_unit_maps[group_indices[b]]
        for k in range(units):
            signs[k] = readout_slopes[2, k] if activation_patterns[b, k] else -readout_slopes[2, k]
            readout[k] = readout_slopes[1, k] if activation_patterns[b, k] else readout_slopes[0, k]
        block = maps if units > width else first_layer_maps
        weights = readout[width:] if units > width else readout
        for i in range(4):
            level_maps[b, i] += (block[i] * weights).sum()
        gradient_norm = np.sqrt(level_maps[b, 0] ** 2 + level_maps[b, 1] ** 2 + level_maps[b, 2] ** 2)
        corner_counts[b] = 0
        if not gradient_norm > 0.0:
            continue
        level[:] = level_maps[b] / gradient_norm
        region = ActivationRegion(first_layer_maps, maps, signs, level, box_planes, box_diagonal, min_speed)
        corner_counts[b] = trace_polygon(
            region, entry_edges[b], entry_hyperplanes[b], corners[total:], edge_hyperplanes[total:], times, workspace
        )
        total += corner_counts[b]
    return total
