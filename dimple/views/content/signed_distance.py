"""Signed distances to a mesh on a uniform grid, compiled by numba.

The distances are computed directly next to the mesh and by fast sweeping elsewhere. The module is imported only where
a page is written, because numba takes a second to load.
"""

import numpy as np
from numpy.typing import NDArray

from dimple.jit import jit_compile
from dimple.levelsets.mesh import Mesh
from dimple.views.content.grid import UniformGrid
from dimple.views.content.ribbons import extrude_curve

FloatArray = NDArray[np.float64]
# Shift of the grid in cells. It avoids grid lines through vertices and edges of a mesh that was extracted on a grid.
GRID_OFFSET_CELLS = 1e-5
# Mark of a grid point that has no distance yet, in cells.
UNREACHED_DISTANCE = 1e9


def compute_signed_distance(
    mesh: Mesh, grid: UniformGrid, empty_sign: float = 1.0, max_accurate_distance: float = UNREACHED_DISTANCE
) -> NDArray[np.float32]:
    """Return the distance of each grid point from a mesh in cells, positive on the side that the normals point to.

    At the grid points next to the mesh, it is the distance from the plane of the triangle whose crossing with a grid
    line through the point is the closest one. This is exact for a plane and of second order otherwise. All other
    distances are computed by fast sweeping, with an error of first order. For a curve in the plane, the positive side
    is the left one.

    Args:
        mesh: triangles in space or segments in the plane.
        grid: the grid, of the same dimension.
        empty_sign: sign of all distances if the mesh is empty.
        max_accurate_distance: a distance, in cells, beyond which the results are only approximate: each is that of a
            neighbor plus one. This halves the time if most of the grid is farther away.

    Returns:
        Distances with the axes in reversed order, so that the first axis of space varies fastest: `(nz, ny, nx)` or
        `(ny, nx)`.

    Reference:
        H. Zhao, A fast sweeping method for eikonal equations, Mathematics of Computation 74, 2005.

    Example:
        >>> triangle = Mesh(np.array([[-9.0, -9, 0.5], [9, -9, 0.5], [0, 9, 0.5]]), np.array([[0, 1, 2]]))
        >>> grid = UniformGrid((0.0, 0.0, 0.0), 1.0, (1, 1, 3))
        >>> compute_signed_distance(triangle, grid)[:, 0, 0].round(3).tolist()
        [-0.5, 0.5, 1.5]
    """
    flat = mesh.ambient_dim == 2
    shape = tuple(reversed((*grid.counts, 2) if flat else grid.counts))
    field = np.full(shape, UNREACHED_DISTANCE)
    if len(mesh.faces):
        origin = np.array((*grid.origin, -0.5 * grid.spacing) if flat else grid.origin)
        surface = extrude_curve(mesh, 2 * grid.spacing, 0.0) if flat else mesh
        vertices = (surface.vertices - origin) / grid.spacing + GRID_OFFSET_CELLS * np.array([1.0, 1.7, 2.3])
        _initialize_near_mesh(vertices, surface.faces, field)
        _run_fast_sweeping(field, np.abs(field) < UNREACHED_DISTANCE, max_accurate_distance)
        _extrapolate_border(field)
    field[np.abs(field) >= UNREACHED_DISTANCE / 2] = empty_sign * UNREACHED_DISTANCE
    return np.asarray(field[0] if flat else field, dtype=np.float32)


def _extrapolate_border(field: FloatArray) -> None:
    """Extrapolate the outermost layers linearly; they lie outside the box, where there is no mesh."""
    for axis, count in enumerate(field.shape):
        if count > 2:
            layers = np.moveaxis(field, axis, 0)
            # One statement, because with three layers each of the two values depends on the other layer.
            layers[0], layers[-1] = 2 * layers[1] - layers[2], 2 * layers[-2] - layers[-3]


@jit_compile
def _initialize_near_mesh(vertices: FloatArray, faces: NDArray[np.int64], field: FloatArray) -> None:
    """Write the distances at both ends of all grid edges that the triangles cross; leave the others unchanged."""
    nz, ny, nx = field.shape
    counts = np.array([nx, ny, nz])
    nearest = np.full((nz, ny, nx), UNREACHED_DISTANCE)
    point = np.zeros(3, dtype=np.int64)
    for face in faces:
        a = vertices[face[0]]
        b = vertices[face[1]]
        c = vertices[face[2]]
        for axis in range(3):
            u = (axis + 1) % 3
            v = (axis + 2) % 3
            # Twice the signed area of the projection of the triangle along the axis.
            area = (b[u] - a[u]) * (c[v] - a[v]) - (b[v] - a[v]) * (c[u] - a[u])
            if abs(area) < 1e-14:
                continue
            cosine = abs(area) / _twice_area(a, b, c)
            first_u = max(int(np.ceil(min(a[u], b[u], c[u]))), 0)
            last_u = min(int(np.floor(max(a[u], b[u], c[u]))), counts[u] - 1)
            first_v = max(int(np.ceil(min(a[v], b[v], c[v]))), 0)
            last_v = min(int(np.floor(max(a[v], b[v], c[v]))), counts[v] - 1)
            for p in range(first_u, last_u + 1):
                for q in range(first_v, last_v + 1):
                    wb = ((p - a[u]) * (c[v] - a[v]) - (q - a[v]) * (c[u] - a[u])) / area
                    wc = ((b[u] - a[u]) * (q - a[v]) - (b[v] - a[v]) * (p - a[u])) / area
                    if wb < -1e-9 or wc < -1e-9 or wb + wc > 1 + 1e-9:
                        continue
                    crossing = a[axis] + wb * (b[axis] - a[axis]) + wc * (c[axis] - a[axis])
                    below = int(np.floor(crossing))
                    for end in range(2):
                        point[axis] = below + end
                        point[u] = p
                        point[v] = q
                        if point[axis] < 0 or point[axis] >= counts[axis]:
                            continue
                        index = (point[2], point[1], point[0])
                        distance = abs(crossing - point[axis])
                        if distance < nearest[index]:
                            nearest[index] = distance
                            # The normal points upwards along the axis where the area is positive.
                            is_positive = (area > 0) == (end == 1)
                            field[index] = distance * cosine if is_positive else -distance * cosine


@jit_compile
def _twice_area(a: FloatArray, b: FloatArray, c: FloatArray) -> float:
    """Return twice the area of a triangle in space."""
    x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
    y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
    z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return float(np.sqrt(x * x + y * y + z * z))


@jit_compile
def _run_fast_sweeping(field: FloatArray, known: NDArray[np.bool_], max_accurate_distance: float) -> None:
    """Solve the eikonal equation from the known points outwards, in eight orders of the grid points.

    Each point takes the sign of the neighbor from which its distance comes.
    """
    nz, ny, nx = field.shape
    for order in range(8):
        for k in range(nz):
            z = k if order & 1 else nz - 1 - k
            for j in range(ny):
                y = j if order & 2 else ny - 1 - j
                for i in range(nx):
                    x = i if order & 4 else nx - 1 - i
                    if known[z, y, x]:
                        continue
                    a = _closer_to_zero(field[z, y, max(x - 1, 0)], field[z, y, min(x + 1, nx - 1)])
                    b = _closer_to_zero(field[z, max(y - 1, 0), x], field[z, min(y + 1, ny - 1), x])
                    c = _closer_to_zero(field[max(z - 1, 0), y, x], field[min(z + 1, nz - 1), y, x])
                    best = _closer_to_zero(_closer_to_zero(a, b), c)
                    # The distance is larger than that of the neighbor from which it comes.
                    if abs(best) < UNREACHED_DISTANCE and abs(best) < abs(field[z, y, x]):
                        # Beyond the maximum it only has to increase, so that the sign is that of the closer side.
                        distance = (
                            abs(best) + 1
                            if abs(best) >= max_accurate_distance
                            else _solve_eikonal_update(abs(a), abs(b), abs(c))
                        )
                        if distance < abs(field[z, y, x]):
                            field[z, y, x] = distance if best > 0 else -distance


@jit_compile
def _closer_to_zero(a: float, b: float) -> float:
    """Return the number that is closer to zero."""
    return a if abs(a) < abs(b) else b


@jit_compile
def _solve_eikonal_update(a: float, b: float, c: float) -> float:
    """Return the arrival time of a front of unit speed at a grid point, from the times at one neighbor on each axis."""
    # Sort the three times.
    a, b = min(a, b), max(a, b)
    b, c = min(b, c), max(b, c)
    a, b = min(a, b), max(a, b)
    time = a + 1
    if time > b:
        time = (a + b + np.sqrt(max(2 - (a - b) ** 2, 0.0))) / 2
    if time > c:
        total = a + b + c
        time = (total + np.sqrt(max(total * total - 3 * (a * a + b * b + c * c - 1), 0.0))) / 3
    return time
