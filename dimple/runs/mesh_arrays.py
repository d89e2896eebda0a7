"""Meshes as named arrays, the form in which a run keeps them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh
from dimple.levelsets.multiclass import PairwiseBoundary

Arrays: TypeAlias = dict[str, NDArray[Any]]


def mesh_to_arrays(mesh: Mesh, name: str) -> Arrays:
    """Return a mesh as entries for `Run.write_geometry`."""
    return {f"{name}/vertices": mesh.vertices.astype(np.float32), f"{name}/faces": mesh.faces.astype(np.int32)}


def surfaces_to_arrays(surfaces: Sequence[PairwiseBoundary], dim: int) -> Arrays:
    """Join the surfaces of pairs of classes to one mesh: `vertices`, `faces`, and `pairs` `(F, 2)` of its faces."""
    first = np.cumsum([0, *[len(surface.mesh.vertices) for surface in surfaces]])
    vertices = [surface.mesh.vertices for surface in surfaces]
    faces = [surface.mesh.faces + start for surface, start in zip(surfaces, first, strict=False)]
    pairs = [np.tile(surface.pair, (len(surface.mesh.faces), 1)) for surface in surfaces]
    return {
        "vertices": np.concatenate([np.zeros((0, dim)), *vertices]).astype(np.float32),
        "faces": np.concatenate([np.zeros((0, dim)), *faces]).astype(np.int32),
        "pairs": np.concatenate([np.zeros((0, 2)), *pairs]).astype(np.int32),
    }


def mesh_from_arrays(arrays: Arrays, name: str) -> Mesh | None:
    """Return the mesh of `mesh_to_arrays`; None if there is none of this name."""
    if f"{name}/vertices" not in arrays:
        return None
    return Mesh(arrays[f"{name}/vertices"].astype(np.float64), arrays[f"{name}/faces"].astype(np.int64))
