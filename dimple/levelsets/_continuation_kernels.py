"""Compiled inner loops of the adaptive level set, which follow the surface from cell to cell.

The points of the grid are stored in cubic blocks. `block_table` holds the number of each block, -1 where none is
allocated. `values` `(blocks, POINTS_PER_BLOCK)` holds the level at every point, nan where it has not been evaluated,
infinity where it has no answer; a cell with such a corner is not crossed. A level of zero counts as positive.
`visited`, of the same shape, holds flags. `cell_counts` `(3,)` is the number of cells along each axis. A cell is named
by its corner with the smallest coordinates.

This module is imported only when an extraction begins, because numba takes a second to load.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.jit import jit_compile

Ints = NDArray[np.int64]
Int32s = NDArray[np.int32]
Float32s = NDArray[np.float32]
UInt8s = NDArray[np.uint8]

# A block has 2^LOG2_BLOCK_SIDE points along each axis.
LOG2_BLOCK_SIDE = 3
POINTS_PER_BLOCK = 1 << 3 * LOG2_BLOCK_SIDE
# Flags of a point: the cell that begins there has been visited; its unknown neighbors have been listed.
CELL_VISITED = 1
POINT_EXPLORED = 2
# A corner is uncertain where its level is smaller than this multiple of the largest second difference near it.
MAX_LEVEL_TO_BEND_RATIO = 1.0


@jit_compile
def locate_point(block_table: Int32s, x: int, y: int, z: int) -> tuple[int, int]:
    """Return the block that holds a grid point, and the index of the point in it."""
    mask = (1 << LOG2_BLOCK_SIDE) - 1
    inner = ((x & mask) << 2 * LOG2_BLOCK_SIDE) | ((y & mask) << LOG2_BLOCK_SIDE) | (z & mask)
    return block_table[x >> LOG2_BLOCK_SIDE, y >> LOG2_BLOCK_SIDE, z >> LOG2_BLOCK_SIDE], inner


@jit_compile
def gather_corner_levels(cell: Ints, block_table: Int32s, values: Float32s, levels: Float32s) -> bool:
    """Fill `levels` `(8,)` with the levels at the corners of a cell, x slowest; return whether all have an answer."""
    x = cell[0]
    y = cell[1]
    z = cell[2]
    block, inner = locate_point(block_table, x, y, z)
    last = (1 << LOG2_BLOCK_SIDE) - 1
    in_one_block = x & last != last and y & last != last and z & last != last
    for corner in range(8):
        dx = corner >> 2
        dy = corner >> 1 & 1
        dz = corner & 1
        if in_one_block:
            levels[corner] = values[block, inner + (dx << 2 * LOG2_BLOCK_SIDE) + (dy << LOG2_BLOCK_SIDE) + dz]
        else:
            other_block, other_inner = locate_point(block_table, x + dx, y + dy, z + dz)
            levels[corner] = values[other_block, other_inner]
    return bool(np.isfinite(levels).all())


@jit_compile
def allocate_blocks(cells: Ints, block_table: Int32s, num_blocks: int, cell_counts: Ints) -> int:
    """Number the blocks of the cells `(C, 3)` and of their neighbors in `block_table`; return the new block count."""
    for c in range(len(cells)):
        for dx in range(-1, 2, 2):
            for dy in range(-1, 2, 2):
                for dz in range(-1, 2, 2):
                    x = min(max(cells[c, 0] + dx, 0), cell_counts[0]) >> LOG2_BLOCK_SIDE
                    y = min(max(cells[c, 1] + dy, 0), cell_counts[1]) >> LOG2_BLOCK_SIDE
                    z = min(max(cells[c, 2] + dz, 0), cell_counts[2]) >> LOG2_BLOCK_SIDE
                    if block_table[x, y, z] < 0:
                        block_table[x, y, z] = num_blocks
                        num_blocks += 1
    return num_blocks


@jit_compile
def find_unevaluated_corners(cells: Ints, block_table: Int32s, values: Float32s) -> Ints:
    """Return the corners of the cells that have no value, each once, and mark them with an infinite value."""
    found = np.empty((len(cells) * 8, 3), dtype=np.int64)
    count = 0
    for c in range(len(cells)):
        for corner in range(8):
            x = cells[c, 0] + (corner >> 2)
            y = cells[c, 1] + (corner >> 1 & 1)
            z = cells[c, 2] + (corner & 1)
            block, inner = locate_point(block_table, x, y, z)
            if np.isnan(values[block, inner]):
                values[block, inner] = np.inf
                found[count] = x, y, z
                count += 1
    return found[:count].copy()


@jit_compile
def store_values(points: Ints, new_values: Float32s, block_table: Int32s, values: Float32s) -> None:
    """Write the levels of grid points `(N, 3)` into `values`."""
    for p in range(len(points)):
        block, inner = locate_point(block_table, points[p, 0], points[p, 1], points[p, 2])
        values[block, inner] = new_values[p]


@jit_compile
def find_unvisited_cells(start: Ints, axis: Ints, block_table: Int32s, visited: UInt8s, cell_counts: Ints) -> Ints:
    """Return the cells that share the given edges and have not been visited, and mark them as visited."""
    found = np.empty((len(start) * 4, 3), dtype=np.int64)
    count = 0
    for e in range(len(start)):
        first = (axis[e] + 1) % 3
        second = (axis[e] + 2) % 3
        for corner in range(4):
            found[count] = start[e]
            found[count, first] -= corner >> 1
            found[count, second] -= corner & 1
            x, y, z = found[count]
            if min(x, y, z) < 0 or x >= cell_counts[0] or y >= cell_counts[1] or z >= cell_counts[2]:
                continue
            block, inner = locate_point(block_table, x, y, z)
            if visited[block, inner] & CELL_VISITED == 0:
                visited[block, inner] |= CELL_VISITED
                count += 1
    return found[:count].copy()


@jit_compile
def has_unvisited_neighbor(start: Ints, axis: int, block_table: Int32s, visited: UInt8s, cell_counts: Ints) -> bool:
    """Return whether one of the four cells that share an edge has not been visited."""
    for corner in range(4):
        one = corner >> 1
        two = corner & 1
        x = start[0] - (one if axis > 0 else 0)
        y = start[1] - (one if axis == 0 else two if axis == 2 else 0)
        z = start[2] - (two if axis < 2 else 0)
        if min(x, y, z) >= 0 and x < cell_counts[0] and y < cell_counts[1] and z < cell_counts[2]:
            block, inner = locate_point(block_table, x, y, z)
            if block < 0 or visited[block, inner] & CELL_VISITED == 0:
                return True
    return False


@jit_compile
def find_sign_changes(
    cells: Ints, block_table: Int32s, visited: UInt8s, values: Float32s, cell_counts: Ints
) -> tuple[Ints, Ints]:
    """Return the edges of the cells on which the sign changes and that have an unvisited cell next to them.

    Returns:
        The start `(E, 3)` of each edge, which is its end with the smaller coordinates, and its axis `(E,)`.
    """
    start = np.empty((len(cells) * 12, 3), dtype=np.int64)
    axis = np.empty(len(cells) * 12, dtype=np.int64)
    count = 0
    levels = np.empty(8, dtype=np.float32)
    for c in range(len(cells)):
        if not gather_corner_levels(cells[c], block_table, values, levels):
            continue
        for a in range(3):
            step = 4 >> a
            for corner in range(8):
                if corner & step == 0 and (levels[corner] >= 0) != (levels[corner + step] >= 0):
                    compute_corner(cells[c], corner, start[count])
                    axis[count] = a
                    count += has_unvisited_neighbor(start[count], a, block_table, visited, cell_counts)
    return start[:count].copy(), axis[:count].copy()


@jit_compile
def lookup_neighbor_level(point: Ints, axis: int, step: int, block_table: Int32s, values: Float32s) -> float:
    """Return the level at the point `step` away along an axis; nan where it has not been evaluated."""
    x = point[0] + step * (axis == 0)
    y = point[1] + step * (axis == 1)
    z = point[2] + step * (axis == 2)
    side = 1 << LOG2_BLOCK_SIDE
    if (
        min(x, y, z) < 0
        or x >= side * block_table.shape[0]
        or y >= side * block_table.shape[1]
        or z >= side * block_table.shape[2]
    ):
        return np.nan
    block, inner = locate_point(block_table, x, y, z)
    return float(values[block, inner]) if block >= 0 else np.nan


@jit_compile
def max_second_difference(point: Ints, block_table: Int32s, values: Float32s) -> float:
    """Return the largest absolute second difference of the known levels along the three axes through a point."""
    block, inner = locate_point(block_table, point[0], point[1], point[2])
    largest = 0.0
    here = values[block, inner]
    last = (1 << LOG2_BLOCK_SIDE) - 1
    for axis in range(3):
        shift = LOG2_BLOCK_SIDE * (2 - axis)
        if 0 < inner >> shift & last < last:
            before = float(values[block, inner - (1 << shift)])
            after = float(values[block, inner + (1 << shift)])
        else:
            before = lookup_neighbor_level(point, axis, -1, block_table, values)
            after = lookup_neighbor_level(point, axis, 1, block_table, values)
        bend = abs(before - 2 * here + after)
        if bend < np.inf:
            largest = max(largest, bend)
    return largest


@jit_compile
def compute_corner(cell: Ints, corner: int, point: Ints) -> None:
    """Fill `point` `(3,)` with one of the corners of a cell."""
    for axis in range(3):
        point[axis] = cell[axis] + (corner >> (2 - axis) & 1)


@jit_compile
def find_uncertain_corners(
    cells: Ints, block_table: Int32s, visited: UInt8s, values: Float32s, cell_counts: Ints
) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """Find the corners whose level is smaller than the second differences there, and their unknown neighbors.

    Next to such a corner another sheet of the level set can pass within one step, without an edge in common.

    Returns:
        Corners `(N, 3)`; of each the axis `(N,)` and the step `(N,)`, 1 or -1, to the unknown neighbor; its level.
    """
    corners = np.empty((64, 3), dtype=np.int64)
    directions = np.empty((64, 2), dtype=np.int64)
    levels = np.empty((64, 1))
    count = 0
    point = np.empty(3, dtype=np.int64)
    bends = np.full(values.shape, np.nan, dtype=np.float32)
    blocks = np.empty(8, dtype=np.int64)
    inners = np.empty(8, dtype=np.int64)
    for c in range(len(cells)):
        max_bend = 0.0
        for corner in range(8):
            compute_corner(cells[c], corner, point)
            block, inner = locate_point(block_table, point[0], point[1], point[2])
            if np.isnan(bends[block, inner]):
                bends[block, inner] = max_second_difference(point, block_table, values)
            max_bend = max(max_bend, bends[block, inner])
            blocks[corner] = block
            inners[corner] = inner
        for corner in range(8):
            block = blocks[corner]
            inner = inners[corner]
            if (
                abs(values[block, inner]) >= MAX_LEVEL_TO_BEND_RATIO * max_bend
                or visited[block, inner] & POINT_EXPLORED
            ):
                continue
            compute_corner(cells[c], corner, point)
            visited[block, inner] |= POINT_EXPLORED
            for direction in range(6):
                axis = direction >> 1
                step = 2 * (direction & 1) - 1
                if 0 <= point[axis] + step <= cell_counts[axis] and np.isnan(
                    lookup_neighbor_level(point, axis, step, block_table, values)
                ):
                    if count == len(corners):
                        corners = double_capacity(corners)
                        directions = double_capacity(directions)
                        levels = double_capacity(levels)
                    corners[count] = point
                    levels[count, 0] = values[block, inner]
                    directions[count] = axis, step
                    count += 1
    return corners[:count].copy(), directions[:count, 0].copy(), directions[:count, 1].copy(), levels[:count, 0].copy()


@jit_compile
def marching_cubes(
    cells: Ints, block_table: Int32s, values: Float32s, vertex_ids: Int32s, case_table: Int32s
) -> tuple[Ints, Ints, Ints, Float32s]:
    """Triangulate the level set in the cells; neighboring cells share their vertices.

    Args:
        cells: `(C, 3)`.
        block_table: the number of each block.
        values: the level at every point of every block.
        vertex_ids: `(blocks, POINTS_PER_BLOCK, 3)` of -1, filled with the vertex on the edge that leaves each point
            along each axis.
        case_table: `(256, 16)` edges of the triangles of each case, as 3 corner + axis, ended by -1.

    Returns:
        Triangles `(F, 3)`; of every vertex the start `(V, 3)` of its edge, the axis `(V,)` and the levels `(V, 2)` at
        both ends.
    """
    faces = np.empty((len(cells) * 5, 3), dtype=np.int64)
    start = np.empty((len(cells) * 3 + 64, 3), dtype=np.int64)
    axis = np.empty(len(cells) * 3 + 64, dtype=np.int64)
    ends = np.empty((len(cells) * 3 + 64, 2), dtype=np.float32)
    face = 0
    vertex = 0
    levels = np.empty(8, dtype=np.float32)
    for c in range(len(cells)):
        case = 0
        if not gather_corner_levels(cells[c], block_table, values, levels):
            continue
        for corner in range(8):
            case |= (levels[corner] >= 0) << corner
        for k in range(15):
            edge = case_table[case, k]
            if edge < 0:
                break
            corner = edge // 3
            a = edge % 3
            x = cells[c, 0] + (corner >> 2)
            y = cells[c, 1] + (corner >> 1 & 1)
            z = cells[c, 2] + (corner & 1)
            block, inner = locate_point(block_table, x, y, z)
            if vertex_ids[block, inner, a] < 0:
                if vertex == len(axis):
                    start = double_capacity(start)
                    axis = double_capacity(axis)
                    ends = double_capacity(ends)
                vertex_ids[block, inner, a] = vertex
                start[vertex] = x, y, z
                axis[vertex] = a
                ends[vertex] = levels[corner], levels[corner + (4 >> a)]
                vertex += 1
            faces[face, k % 3] = vertex_ids[block, inner, a]
            if k % 3 == 2:
                face += 1
    return faces[:face].copy(), start[:vertex].copy(), axis[:vertex].copy(), ends[:vertex].copy()


@jit_compile
def double_capacity(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array with the same rows first and twice the length."""
    return np.concatenate((array, array))
