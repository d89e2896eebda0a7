"""What a mesh of the boundary measures: parts, holes, enclosed volume, distances from points and other meshes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def components(mesh: Mesh) -> tuple[int, Ints]:
    """How many parts the mesh has that share no vertex, and the part of every face, `(F,)`.

    Example:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [6.0, 0.0]])
        >>> components(Mesh(square, np.array([[0, 1], [2, 3]])))
        (2, array([0, 1]))
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(mesh.faces) == 0:
        return 0, np.zeros(0, dtype=np.int64)
    used, flat = np.unique(mesh.faces, return_inverse=True)
    faces: Ints = flat.reshape(len(mesh.faces), -1)
    first, other = np.repeat(faces[:, 0], mesh.faces.shape[1] - 1), faces[:, 1:].reshape(-1)
    links = coo_array((np.ones(len(first)), (first, other)), shape=(len(used), len(used)))
    count, part = connected_components(links, directed=False)
    return int(count), part[faces[:, 0]].astype(np.int64)


def euler_number(mesh: Mesh) -> int:
    """Vertices - edges + faces: 2 for every sphere, 0 for a torus, 1 for a disc; 2 (parts - handles) if closed.

    Of a curve: vertices - segments, 0 for a closed one.
    """
    vertices = len(np.unique(mesh.faces))
    if mesh.ambient_dim == 2:
        return vertices - len(mesh.faces)
    return vertices - len(_edges(mesh)[0]) + len(mesh.faces)


def is_closed(mesh: Mesh) -> bool:
    """Whether the surface has no rim: every edge has two triangles; of a curve, every vertex two segments."""
    if mesh.ambient_dim == 2:
        return bool((np.unique(mesh.faces, return_counts=True)[1] == 2).all())
    return bool((_edges(mesh)[1] == 2).all())


def enclosed(mesh: Mesh) -> float:
    """The volume (in the plane: the area) where the class wins inside a closed mesh; holes count negative.

    By the divergence theorem; it has a meaning only where `is_closed`.

    Example:
        >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> enclosed(Mesh(corners, np.array([[0, 1], [1, 2], [2, 3], [3, 0]])))
        1.0
    """
    corners = mesh.vertices[mesh.faces]
    if mesh.ambient_dim == 2:
        # Segments have the class on their left.
        return float((corners[:, 0, 0] * corners[:, 1, 1] - corners[:, 0, 1] * corners[:, 1, 0]).sum() / 2)
    # Triangles face the class, so that inward is out.
    return float(-np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def distances(mesh: Mesh, points: Floats) -> Floats:
    """The distance from each point `(N, n)` to the nearest point of the mesh, `(N,)`; infinite for an empty mesh.

    For the exact mesh of a network this is the margin of every point whose nearest boundary point lies in the box.

    Example:
        >>> segment = Mesh(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0, 1]]))
        >>> distances(segment, np.array([[1.0, 3.0], [6.0, 3.0]]))
        array([3., 5.])
    """
    # Here, because numba takes a second to load.
    from dimple.levelsets.closest_points import nearest_places

    away = np.linalg.norm(points - nearest_places(mesh, points), axis=1)
    return np.where(np.isnan(away), np.inf, away)


def signed_distances(mesh: Mesh, points: Floats) -> Floats:
    """Distances `(N,)` to a surface from points `(N, 3)`, positive on the side that the surface faces: the class's."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    implicit = vtkImplicitPolyDataDistance()
    implicit.SetInput(_polydata(mesh))
    asked = numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64))
    found = vtkDoubleArray()
    implicit.FunctionValue(asked, found)
    return np.array(vtk_to_numpy(found), dtype=np.float64)


def mesh_distances(a: Mesh, b: Mesh, count: int, generator: torch.Generator) -> tuple[float, float]:
    """The Hausdorff distance between two meshes, and the mean distance, both ways.

    From the vertices of both and `count` points drawn evenly over each; the first is a lower bound that is sharp to the
    spacing of those points.
    """
    there = distances(b, np.concatenate([a.vertices, sampled(a, count, generator)]))
    back = distances(a, np.concatenate([b.vertices, sampled(b, count, generator)]))
    mean = (there[-count:].mean() + back[-count:].mean()) / 2
    return float(max(there.max(), back.max())), float(mean)


def sampled(mesh: Mesh, count: int, generator: torch.Generator) -> Floats:
    """Points `(count, n)` drawn evenly over the faces of the mesh."""
    corners = mesh.vertices[mesh.faces]
    edges = corners[:, 1:] - corners[:, :1]
    sizes = (
        np.linalg.norm(edges[:, 0], axis=1)
        if mesh.ambient_dim == 2
        else np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    )
    face = torch.multinomial(torch.from_numpy(sizes), count, replacement=True, generator=generator).numpy()
    weights = torch.rand(count, edges.shape[1], generator=generator, dtype=torch.float64).numpy()
    if mesh.ambient_dim == 3:
        weights = np.where(weights.sum(1, keepdims=True) > 1, 1 - weights, weights)
    points: Floats = corners[face, 0] + np.einsum("ce,cen->cn", weights, edges[face])
    return points


def _edges(mesh: Mesh) -> tuple[Ints, Ints]:
    """The names of all edges of the triangles, and how many triangles have each."""
    pairs = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    names, times = np.unique(pairs[:, 0] * len(mesh.vertices) + pairs[:, 1], return_counts=True)
    return names, times


def _polydata(mesh: Mesh) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.vertices), deep=1))
    corners = mesh.vertices[mesh.faces]
    solid = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 0
    faces = mesh.faces[solid]
    cells = vtkCellArray()
    cells.SetData(
        numpy_to_vtkIdTypeArray(np.arange(len(faces) + 1, dtype=np.int64) * 3, deep=1),
        numpy_to_vtkIdTypeArray(np.ascontiguousarray(faces.reshape(-1)), deep=1),
    )
    surface = vtkPolyData()
    surface.SetPoints(points)
    surface.SetPolys(cells)
    return surface
