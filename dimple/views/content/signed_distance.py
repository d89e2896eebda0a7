"""Signed distance to a mesh on a lattice, compiled by numba: exact next to the mesh, swept from there to everywhere.

Imported only where a page is made: numba takes a second to load.
"""

import numpy as np
from numpy.typing import NDArray

from dimple.jit import compiled
from dimple.levelsets.mesh import Mesh
from dimple.views.content.grid import Lattice
from dimple.views.content.ribbons import walls

Reals = NDArray[np.float64]
# A lattice that is moved by this share of a cell meets no vertex and no edge of a mesh that was made on a lattice.
SHIFT = 1e-5
FAR = 1e9


def signed_distance(mesh: Mesh, lattice: Lattice, sign: float = 1.0, most: float = FAR) -> NDArray[np.float32]:
    """The distance of each lattice point to a mesh in cells, positive on the side that its normals point to.

    Next to the mesh it is the distance to the plane of the triangle that cuts the point's lattice lines nearest, which
    is exact for a plane and of second order otherwise; farther away it is swept from there (Zhao 2005), with an error
    of first order. For curves of the plane the positive side is the left.

    Args:
        sign: the side of all points where the mesh is empty.
        most: distances above it are counted along the axes, in half the time where that is most of the lattice.

    Returns:
        `counts` reversed, so that the first axis of space runs fastest: `(nz, ny, nx)` or `(ny, nx)`.

    Example:
        >>> floor = Mesh(np.array([[-9.0, -9, 0.5], [9, -9, 0.5], [0, 9, 0.5]]), np.array([[0, 1, 2]]))
        >>> signed_distance(floor, Lattice((0.0, 0.0, 0.0), 1.0, (1, 1, 3)))[:, 0, 0].round(3).tolist()
        [-0.5, 0.5, 1.5]
    """
    flat = mesh.ambient_dim == 2
    shape = tuple(reversed((*lattice.counts, 2) if flat else lattice.counts))
    field = np.full(shape, FAR)
    if len(mesh.faces):
        origin = np.array((*lattice.origin, -0.5 * lattice.spacing) if flat else lattice.origin)
        solid = walls(mesh, 2 * lattice.spacing, 0.0) if flat else mesh
        corners = (solid.vertices - origin) / lattice.spacing + SHIFT * np.array([1.0, 1.7, 2.3])
        _meet(corners, solid.faces, field)
        _sweep(field, np.abs(field) < FAR, most)
        _continue_outwards(field)
    field[np.abs(field) >= FAR / 2] = sign * FAR
    return np.asarray(field[0] if flat else field, dtype=np.float32)


def _continue_outwards(field: Reals) -> None:
    """Replace the outermost layers, which lie outside the box where the mesh has ended, by straight continuations."""
    for axis, count in enumerate(field.shape):
        if count > 2:
            layers = np.moveaxis(field, axis, 0)
            layers[0], layers[-1] = 2 * layers[1] - layers[2], 2 * layers[-2] - layers[-3]


@compiled
def _meet(corners: Reals, faces: NDArray[np.int64], field: Reals) -> None:
    """Distances of the points on lattice edges that the triangles cut; FAR stays everywhere else."""
    nz, ny, nx = field.shape
    counts = np.array([nx, ny, nz])
    nearest = np.full((nz, ny, nx), FAR)
    at = np.zeros(3, dtype=np.int64)
    for face in faces:
        a, b, c = corners[face[0]], corners[face[1]], corners[face[2]]
        for axis in range(3):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            area = (b[u] - a[u]) * (c[v] - a[v]) - (b[v] - a[v]) * (c[u] - a[u])
            if abs(area) < 1e-14:
                continue
            flatness = abs(area) / _twice_area(a, b, c)
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
                    place = a[axis] + wb * (b[axis] - a[axis]) + wc * (c[axis] - a[axis])
                    below = int(np.floor(place))
                    for end in range(2):
                        at[axis], at[u], at[v] = below + end, p, q
                        if at[axis] < 0 or at[axis] >= counts[axis]:
                            continue
                        x, y, z = at[0], at[1], at[2]
                        away = abs(place - at[axis])
                        if away < nearest[z, y, x]:
                            nearest[z, y, x] = away
                            # The normal points upwards along the axis where the area is positive.
                            upper = (area > 0) == (end == 1)
                            field[z, y, x] = away * flatness if upper else -away * flatness


@compiled
def _twice_area(a: Reals, b: Reals, c: Reals) -> float:
    x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
    y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
    z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return float(np.sqrt(x * x + y * y + z * z))


@compiled
def _sweep(field: Reals, known: NDArray[np.bool_], most: float) -> None:
    """The eikonal equation from the known points to all others, in eight orders; each takes its neighbour's sign."""
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
                    a = _nearer(field[z, y, max(x - 1, 0)], field[z, y, min(x + 1, nx - 1)])
                    b = _nearer(field[z, max(y - 1, 0), x], field[z, min(y + 1, ny - 1), x])
                    c = _nearer(field[max(z - 1, 0), y, x], field[min(z + 1, nz - 1), y, x])
                    best = _nearer(_nearer(a, b), c)
                    # The front arrives later than at the neighbour that it came from.
                    if abs(best) < FAR and abs(best) < abs(field[z, y, x]):
                        # Farther than `most` it only has to grow, so that the side that is nearer wins.
                        distance = abs(best) + 1 if abs(best) >= most else _arrival(abs(a), abs(b), abs(c))
                        if distance < abs(field[z, y, x]):
                            field[z, y, x] = distance if best > 0 else -distance


@compiled
def _nearer(one: float, other: float) -> float:
    """The value that is nearer to zero."""
    return one if abs(one) < abs(other) else other


@compiled
def _arrival(a: float, b: float, c: float) -> float:
    """When a front of unit speed, that reaches three neighbours of a point at these times, reaches the point."""
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
