"""Measures of meshes: Euler number, enclosed volume, distances from points and between meshes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def euler_number(mesh: Mesh) -> int:
    """Return vertices - edges + faces of a surface, vertices - segments of a curve.

    It is 2 for a sphere, 0 for a torus, 1 for a disc, and 2 (components - handles) for every closed surface; 0 for a
    closed curve.
    """
    vertices = len(np.unique(mesh.faces))
    if mesh.ambient_dim == 2:
        return vertices - len(mesh.faces)
    return vertices - len(_count_faces_per_edge(mesh)[0]) + len(mesh.faces)


def is_closed(mesh: Mesh) -> bool:
    """Return whether every edge of the surface has two triangles, or every vertex of the curve two segments."""
    if mesh.ambient_dim == 2:
        return bool((np.unique(mesh.faces, return_counts=True)[1] == 2).all())
    return bool((_count_faces_per_edge(mesh)[1] == 2).all())


def enclosed_volume(mesh: Mesh) -> float:
    """Return the volume (in the plane the area) where the class wins inside a closed mesh, by the divergence theorem.

    Holes count negative. The result is meaningful only if `is_closed`.

    Example:
        >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> enclosed_volume(Mesh(corners, np.array([[0, 1], [1, 2], [2, 3], [3, 0]])))
        1.0
    """
    if len(mesh.faces) == 0:
        return 0.0
    # From a point of the mesh: products of coordinates lose all digits far from the origin.
    corners = (mesh.vertices - mesh.vertices[mesh.faces[0, 0]])[mesh.faces]
    if mesh.ambient_dim == 2:
        # Segments have the class on their left.
        return float((corners[:, 0, 0] * corners[:, 1, 1] - corners[:, 0, 1] * corners[:, 1, 0]).sum() / 2)
    # Triangles face the class, so their normals point into the volume.
    return float(-np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


def distances_to_mesh(mesh: Mesh, points: Floats) -> Floats:
    """Return the distance from each point `(N, n)` to the closest point of the mesh, `(N,)`; inf for an empty mesh.

    For the exact mesh of a network this is the margin of every point whose closest boundary point lies in the box.

    Example:
        >>> segment = Mesh(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0, 1]]))
        >>> distances_to_mesh(segment, np.array([[1.0, 3.0], [6.0, 3.0]]))
        array([3., 5.])
    """
    # Imported here because numba takes a second to load.
    from dimple.levelsets.closest_points import closest_points_on_mesh

    distances = np.linalg.norm(points - closest_points_on_mesh(mesh, points), axis=1)
    return np.where(np.isnan(distances), np.inf, distances)


def signed_distances_to_mesh(mesh: Mesh, points: Floats) -> Floats:
    """Return distances `(N,)` from points `(N, 3)` to a surface, positive on the side of the class, which it faces."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkDoubleArray
    from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

    implicit = vtkImplicitPolyDataDistance()
    implicit.SetInput(_to_polydata(mesh))
    inputs = numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64))
    distances = vtkDoubleArray()
    implicit.FunctionValue(inputs, distances)
    return np.array(vtk_to_numpy(distances), dtype=np.float64)


def hausdorff_and_mean_distance(a: Mesh, b: Mesh, count: int, generator: torch.Generator) -> tuple[float, float]:
    """Return the Hausdorff distance between two meshes, and the mean of the distances from each to the other.

    Both are estimated: the Hausdorff distance from the vertices of both meshes and `count` points drawn uniformly on
    each, which gives a lower bound with an error of the spacing of these points; the mean from the drawn points.
    """
    from_a = distances_to_mesh(b, np.concatenate([a.vertices, sample_surface(a, count, generator)]))
    from_b = distances_to_mesh(a, np.concatenate([b.vertices, sample_surface(b, count, generator)]))
    mean = (from_a[-count:].mean() + from_b[-count:].mean()) / 2
    return float(max(from_a.max(), from_b.max())), float(mean)


def sample_surface(mesh: Mesh, count: int, generator: torch.Generator) -> Floats:
    """Draw points `(count, n)` uniformly on the mesh."""
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


def _count_faces_per_edge(mesh: Mesh) -> tuple[Ints, Ints]:
    """Return a number for every edge of the triangles, and how many triangles have it."""
    pairs = np.sort(np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]), axis=1)
    edges, counts = np.unique(pairs[:, 0] * len(mesh.vertices) + pairs[:, 1], return_counts=True)
    return edges, counts


def _to_polydata(mesh: Mesh) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.vertices), deep=1))
    corners = mesh.vertices[mesh.faces]
    has_area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) > 0
    faces = mesh.faces[has_area]
    cells = vtkCellArray()
    cells.SetData(
        numpy_to_vtkIdTypeArray(np.arange(len(faces) + 1, dtype=np.int64) * 3, deep=1),
        numpy_to_vtkIdTypeArray(np.ascontiguousarray(faces.reshape(-1)), deep=1),
    )
    surface = vtkPolyData()
    surface.SetPoints(points)
    surface.SetPolys(cells)
    return surface
