"""Meshes of simple shapes, from which those of manifolds are made."""

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

VerticesAndFaces = tuple[NDArray[np.float64], NDArray[np.int64]]


def regular_polygon(radius: float, count: int = 256) -> VerticesAndFaces:
    """Return a regular polygon around the origin of the plane: vertices `(count, 2)`, segments `(count, 2)`."""
    angle = 2 * np.pi * np.arange(count) / count
    vertices = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return vertices, np.stack([np.arange(count), (np.arange(count) + 1) % count], axis=1)


def unit_grid_mesh(counts: tuple[int, ...]) -> VerticesAndFaces:
    """Return the unit interval in segments or the unit square in triangles, with `counts` steps along each side."""
    axes = [np.linspace(0, 1, count + 1) for count in counts]
    if len(counts) == 1:
        steps = np.arange(counts[0])
        return axes[0][:, None], np.stack([steps, steps + 1], axis=1)
    vertices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    # Step of the vertex index along the first axis; along the second axis it is 1.
    row = counts[1] + 1
    corner = (np.arange(counts[0])[:, None] * row + np.arange(counts[1])).reshape(-1, 1)
    faces = np.concatenate([corner + np.array([0, row, row + 1]), corner + np.array([0, row + 1, 1])])
    return vertices, faces


def merge_vertices(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> VerticesAndFaces:
    """Return the mesh with vertices at the same position merged, which closes a periodic patch, twisted or not."""
    size = float(np.linalg.norm(vertices.max(0) - vertices.min(0)))
    pairs = cKDTree(vertices).query_pairs(1e-9 * size, output_type="ndarray")
    adjacency = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(vertices),) * 2)
    count, label = connected_components(adjacency, directed=False)
    first = np.full(count, len(vertices))
    np.minimum.at(first, label, np.arange(len(vertices)))
    return vertices[first], label[faces].astype(np.int64)


def cut_orientation_seams(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> VerticesAndFaces:
    """Return a triangulated surface cut where the winding of its triangles reverses, so that normals are continuous.

    A one-sided surface, such as a Moebius band, has such a seam; any other surface is returned unchanged.
    """
    # Directed sides of the triangles, between corners and between vertices.
    start = np.arange(faces.size)
    end = np.arange(faces.size).reshape(-1, 3)[:, [1, 2, 0]].ravel()
    tail = faces.ravel()[start]
    head = faces.ravel()[end]
    side = tail * len(vertices) + head
    if len(np.unique(side)) == len(side):
        return vertices, faces
    order = np.argsort(side)
    opposite = order[np.searchsorted(side, head * len(vertices) + tail, sorter=order).clip(max=len(side) - 1)]
    has_opposite = (tail[opposite] == head) & (head[opposite] == tail)
    # Where two triangles share a side in opposite directions, their corners at its ends become one vertex.
    other = opposite[has_opposite]
    corners = np.concatenate([start[has_opposite], end[has_opposite]])
    others = np.concatenate([end[other], start[other]])
    adjacency = coo_matrix((np.ones(len(corners)), (corners, others)), shape=(faces.size, faces.size))
    label = connected_components(adjacency, directed=False)[1]
    first = np.unique(label, return_index=True)[1]
    return vertices[faces.ravel()[first]], label.reshape(-1, 3).astype(np.int64)


def icosphere(radius: float, subdivisions: int = 4) -> VerticesAndFaces:
    """Return an icosahedron subdivided `subdivisions` times, with vertices on the sphere and outward winding."""
    golden = (1 + 5**0.5) / 2
    corners = np.array(
        [p for a, b in itertools.product((-1, 1), (-golden, golden)) for p in ((0, a, b), (a, b, 0), (b, 0, a))]
    )
    vertices = corners / np.linalg.norm(corners[0])
    edge = min(np.linalg.norm(vertices[0] - other) for other in vertices[1:])
    near = np.linalg.norm(vertices[:, None] - vertices, axis=2) < 1.01 * edge
    triples = [
        t for t in itertools.combinations(range(12), 3) if near[t[0], t[1]] and near[t[1], t[2]] and near[t[0], t[2]]
    ]
    faces = np.array([t if np.linalg.det(vertices[list(t)]) > 0 else t[::-1] for t in triples])
    for _ in range(subdivisions):
        vertices, faces = _subdivide(vertices, faces)
    return radius * vertices, faces


def _subdivide(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> VerticesAndFaces:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = vertices[unique].sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    a, b, c = (len(vertices) + index for index in np.split(inverse.reshape(-1), 3))
    i, j, k = faces.T
    corners = [(i, a, c), (a, j, b), (c, b, k), (a, b, c)]
    return np.concatenate([vertices, middle]), np.concatenate([np.stack(corner, axis=1) for corner in corners])
