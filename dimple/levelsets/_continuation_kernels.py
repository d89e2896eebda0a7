"""The inner loops of the adaptive level set, compiled by numba: sparse blocks of cells, filled from cell to cell.

Imported only where an extraction begins: numba takes a second to load.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.jit import compiled

Ints = NDArray[np.int64]
Small = NDArray[np.int32]
Single = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Points along a block's side: 2^SHIFT.
SHIFT = 3
POINTS = 1 << 3 * SHIFT
# What was done at a block's place: the cell that begins there was met, the point was looked around from.
CELL, POINT = 1, 2
# A known point is in doubt where its level is below so many times what the levels bend beside it.
DOUBT = 1.0


@compiled
def place(top: Small, x: int, y: int, z: int) -> tuple[int, int]:
    """The block that holds a lattice point, and its number in it."""
    mask = (1 << SHIFT) - 1
    inner = ((x & mask) << 2 * SHIFT) | ((y & mask) << SHIFT) | (z & mask)
    return top[x >> SHIFT, y >> SHIFT, z >> SHIFT], inner


@compiled
def corner_levels(cell: Ints, top: Small, values: Single, found: Single) -> None:
    """Fill `found` `(8,)` with the levels at a cell's corners, x slowest."""
    x, y, z = cell[0], cell[1], cell[2]
    block, inner = place(top, x, y, z)
    last = (1 << SHIFT) - 1
    one_block = x & last != last and y & last != last and z & last != last
    for corner in range(8):
        dx, dy, dz = corner >> 2, corner >> 1 & 1, corner & 1
        if one_block:
            found[corner] = values[block, inner + (dx << 2 * SHIFT) + (dy << SHIFT) + dz]
        else:
            there, place_in_it = place(top, x + dx, y + dy, z + dz)
            found[corner] = values[there, place_in_it]


@compiled
def touch(cells: Ints, top: Small, count: int, most: Ints) -> int:
    """Give every cell and its neighbours a block; returns how many blocks there are then.

    Args:
        most: `(3,)` cells along each axis.
    """
    for c in range(len(cells)):
        for dx in range(-1, 2, 2):
            for dy in range(-1, 2, 2):
                for dz in range(-1, 2, 2):
                    x = min(max(cells[c, 0] + dx, 0), most[0]) >> SHIFT
                    y = min(max(cells[c, 1] + dy, 0), most[1]) >> SHIFT
                    z = min(max(cells[c, 2] + dz, 0), most[2]) >> SHIFT
                    if top[x, y, z] < 0:
                        top[x, y, z] = count
                        count += 1
    return count


@compiled
def unknown(cells: Ints, top: Small, values: Single) -> Ints:
    """The corners of the cells whose value has not been asked for, each once; they count as asked for from now on."""
    found, count = np.empty((len(cells) * 8, 3), dtype=np.int64), 0
    for c in range(len(cells)):
        for corner in range(8):
            x, y, z = cells[c, 0] + (corner >> 2), cells[c, 1] + (corner >> 1 & 1), cells[c, 2] + (corner & 1)
            block, inner = place(top, x, y, z)
            if np.isnan(values[block, inner]):
                values[block, inner] = np.inf
                found[count, 0], found[count, 1], found[count, 2] = x, y, z
                count += 1
    return found[:count].copy()


@compiled
def store(points: Ints, given: Single, top: Small, values: Single) -> None:
    """Keep the values of lattice points."""
    for p in range(len(points)):
        block, inner = place(top, points[p, 0], points[p, 1], points[p, 2])
        values[block, inner] = given[p]


@compiled
def around(start: Ints, axis: Ints, top: Small, seen: Bytes, most: Ints) -> Ints:
    """The cells that share the given lattice edges and were not seen before."""
    found, count = np.empty((len(start) * 4, 3), dtype=np.int64), 0
    for e in range(len(start)):
        first, second = (axis[e] + 1) % 3, (axis[e] + 2) % 3
        for corner in range(4):
            found[count] = start[e]
            found[count, first] -= corner >> 1
            found[count, second] -= corner & 1
            x, y, z = found[count]
            if min(x, y, z) < 0 or x >= most[0] or y >= most[1] or z >= most[2]:
                continue
            block, inner = place(top, x, y, z)
            if seen[block, inner] & CELL == 0:
                seen[block, inner] |= CELL
                count += 1
    return found[:count].copy()


@compiled
def open_beside(start: Ints, axis: int, top: Small, seen: Bytes, most: Ints) -> bool:
    """Whether one of the four cells that share an edge was not seen yet."""
    for corner in range(4):
        one, two = corner >> 1, corner & 1
        x = start[0] - (one if axis > 0 else 0)
        y = start[1] - (one if axis == 0 else two if axis == 2 else 0)
        z = start[2] - (two if axis < 2 else 0)
        if min(x, y, z) >= 0 and x < most[0] and y < most[1] and z < most[2]:
            block, inner = place(top, x, y, z)
            if block < 0 or seen[block, inner] & CELL == 0:
                return True
    return False


@compiled
def changes(cells: Ints, top: Small, seen: Bytes, values: Single, most: Ints) -> tuple[Ints, Ints]:
    """The edges of the cells on which the sign changes and beside which some cell was not seen yet."""
    start, axis = np.empty((len(cells) * 12, 3), dtype=np.int64), np.empty(len(cells) * 12, dtype=np.int64)
    count = 0
    levels = np.empty(8, dtype=np.float32)
    for c in range(len(cells)):
        corner_levels(cells[c], top, values, levels)
        for a in range(3):
            step = 4 >> a
            for corner in range(8):
                if corner & step == 0 and (levels[corner] >= 0) != (levels[corner + step] >= 0):
                    start[count, 0] = cells[c, 0] + (corner >> 2)
                    start[count, 1] = cells[c, 1] + (corner >> 1 & 1)
                    start[count, 2] = cells[c, 2] + (corner & 1)
                    axis[count] = a
                    count += open_beside(start[count], a, top, seen, most)
    return start[:count].copy(), axis[:count].copy()


@compiled
def known(point: Ints, axis: int, step: int, top: Small, values: Single) -> float:
    """The level at a point moved along an axis; nan where it has not been asked for."""
    x, y, z = point[0], point[1], point[2]
    x, y, z = x + step * (axis == 0), y + step * (axis == 1), z + step * (axis == 2)
    side = 1 << SHIFT
    if min(x, y, z) < 0 or x >= side * top.shape[0] or y >= side * top.shape[1] or z >= side * top.shape[2]:
        return np.nan
    block, inner = place(top, x, y, z)
    return float(values[block, inner]) if block >= 0 else np.nan


@compiled
def bend(point: Ints, top: Small, values: Single) -> float:
    """The largest second difference of the known levels along an axis through a point."""
    block, inner = place(top, point[0], point[1], point[2])
    found, here, last = 0.0, values[block, inner], (1 << SHIFT) - 1
    for axis in range(3):
        shift = SHIFT * (2 - axis)
        if 0 < inner >> shift & last < last:
            before, after = float(values[block, inner - (1 << shift)]), float(values[block, inner + (1 << shift)])
        else:
            before, after = known(point, axis, -1, top, values), known(point, axis, 1, top, values)
        found = np.fmax(found, abs(before - 2 * here + after))
    return found


@compiled
def corner_of(cell: Ints, corner: int, point: Ints) -> None:
    """Fill `point` `(3,)` with one of a cell's corners."""
    for axis in range(3):
        point[axis] = cell[axis] + (corner >> (2 - axis) & 1)


@compiled
def doubtful(
    cells: Ints, top: Small, seen: Bytes, values: Single, most: Ints
) -> tuple[Ints, Ints, Ints, NDArray[np.float64]]:
    """The corners of cells whose level is smaller than it bends there, and the unknown points beside them.

    A part of the level set that comes within a step of another one, without a common edge, hides there.

    Returns:
        Corners `(N, 3)`; of each the axis `(N,)` and the step `(N,)`, 1 or -1, to a point not asked for; its level.
    """
    corners, towards = np.empty((64, 3), dtype=np.int64), np.empty((64, 2), dtype=np.int64)
    levels, count, point = np.empty((64, 1)), 0, np.empty(3, dtype=np.int64)
    bends = np.full(values.shape, np.nan, dtype=np.float32)
    blocks, inners = np.empty(8, dtype=np.int64), np.empty(8, dtype=np.int64)
    for c in range(len(cells)):
        most_bent = 0.0
        for corner in range(8):
            corner_of(cells[c], corner, point)
            block, inner = place(top, point[0], point[1], point[2])
            if np.isnan(bends[block, inner]):
                bends[block, inner] = bend(point, top, values)
            most_bent = max(most_bent, bends[block, inner])
            blocks[corner], inners[corner] = block, inner
        for corner in range(8):
            block, inner = blocks[corner], inners[corner]
            if abs(values[block, inner]) >= DOUBT * most_bent or seen[block, inner] & POINT:
                continue
            corner_of(cells[c], corner, point)
            seen[block, inner] |= POINT
            for way in range(6):
                axis, step = way >> 1, 2 * (way & 1) - 1
                if 0 <= point[axis] + step <= most[axis] and np.isnan(known(point, axis, step, top, values)):
                    if count == len(corners):
                        corners, towards, levels = doubled(corners), doubled(towards), doubled(levels)
                    corners[count], levels[count, 0] = point, values[block, inner]
                    towards[count, 0], towards[count, 1] = axis, step
                    count += 1
    return corners[:count].copy(), towards[:count, 0].copy(), towards[:count, 1].copy(), levels[:count, 0].copy()


@compiled
def triangulate(cells: Ints, top: Small, values: Single, names: Small, table: Small) -> tuple[Ints, Ints, Ints, Single]:
    """Marching cubes over the cells, vertices shared.

    Args:
        names: `(blocks, POINTS, 3)` filled with -1; the vertex on the edge that leaves a point along each axis.
        table: `(256, 16)` edges of the triangles of each case, 3 corner + axis, ended by -1.

    Returns:
        Triangles `(F, 3)`; of every vertex its edge's start `(V, 3)`, axis `(V,)` and end values `(V, 2)`.
    """
    faces = np.empty((len(cells) * 5, 3), dtype=np.int64)
    start, axis = np.empty((len(cells) * 3 + 64, 3), dtype=np.int64), np.empty(len(cells) * 3 + 64, dtype=np.int64)
    ends = np.empty((len(cells) * 3 + 64, 2), dtype=np.float32)
    face, vertex = 0, 0
    levels = np.empty(8, dtype=np.float32)
    for c in range(len(cells)):
        case = 0
        corner_levels(cells[c], top, values, levels)
        for corner in range(8):
            case |= (levels[corner] >= 0) << corner
        for k in range(15):
            edge = table[case, k]
            if edge < 0:
                break
            corner, a = edge // 3, edge % 3
            x, y, z = cells[c, 0] + (corner >> 2), cells[c, 1] + (corner >> 1 & 1), cells[c, 2] + (corner & 1)
            block, inner = place(top, x, y, z)
            if names[block, inner, a] < 0:
                if vertex == len(axis):
                    start, axis, ends = doubled(start), doubled(axis), doubled(ends)
                names[block, inner, a] = vertex
                start[vertex, 0], start[vertex, 1], start[vertex, 2] = x, y, z
                axis[vertex] = a
                ends[vertex, 0], ends[vertex, 1] = levels[corner], levels[corner + (4 >> a)]
                vertex += 1
            faces[face, k % 3] = names[block, inner, a]
            if k % 3 == 2:
                face += 1
    return faces[:face].copy(), start[:vertex].copy(), axis[:vertex].copy(), ends[:vertex].copy()


@compiled
def doubled(array: NDArray[Any]) -> NDArray[Any]:
    """The same rows, and room for as many again."""
    return np.concatenate((array, array))
