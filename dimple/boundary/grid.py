"""Level sets by dense evaluation on a regular grid, then contouring."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.mesh import Mesh
from dimple.errors import SceneError
from dimple.settings import Count, Finite, settings
from dimple.tensors import in_chunks

LevelFunction = Callable[[Tensor], Tensor]
# Rows of a layer's activations that fit the cache of a core: larger chunks are several times slower.
CHUNK = 4096


class LevelSet(ABC):
    """A way to extract `{x : f(x) = 0}` from a box of the plane or of space.

    `low` and `high` are the corners of that box; without them it is fitted to the data.
    """

    low: tuple[float, ...] | None
    high: tuple[float, ...] | None

    @abstractmethod
    def extract(
        self, level: LevelFunction, low: Sequence[float], high: Sequence[float], device: torch.device
    ) -> Mesh:
        """The zero set of `level`, which maps float32 points `(N, n)` to `(N,)`, within the box, n = 2 or 3."""


@final
@settings
class Grid(LevelSet):
    """Every corner of `cells`^n cells evaluated, crossings by linear interpolation: second order in the cell size.

    Example:
        >>> circle = Grid(cells=64).extract(lambda x: 1 - x.norm(dim=1), (-2, -2), (2, 2), torch.device("cpu"))
        >>> round(circle.area, 2)
        6.28
    """

    cells: Count = 64
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def extract(
        self, level: LevelFunction, low: Sequence[float], high: Sequence[float], device: torch.device
    ) -> Mesh:
        """Evaluate, contour."""
        if len(low) not in (2, 3):
            raise SceneError(f"levelset: a level set is drawn in 2 or 3 dimensions, not {len(low)}; use kind: none")
        axes = [np.linspace(a, b, self.cells + 1) for a, b in zip(low, high, strict=True)]
        values = self._values(level, axes, device)
        return _contour_curve(values, axes) if len(axes) == 2 else _contour_surface(values, axes)

    def _values(
        self, level: LevelFunction, axes: list[NDArray[np.float64]], device: torch.device
    ) -> NDArray[np.float64]:
        """The level at every corner; the last axis varies slowest, as VTK stores images."""
        mesh = torch.meshgrid(*[torch.tensor(axis, dtype=torch.float32) for axis in reversed(axes)], indexing="ij")
        points = torch.stack([axis.reshape(-1) for axis in reversed(mesh)], dim=1).to(device)
        with torch.no_grad():
            values = in_chunks(level, points, CHUNK)
        return values.double().cpu().numpy().reshape([len(axis) for axis in reversed(axes)])


def _contour_curve(values: NDArray[np.float64], axes: list[NDArray[np.float64]]) -> Mesh:
    import contourpy

    lines = contourpy.contour_generator(axes[0], axes[1], values).lines(0.0)
    if not lines:
        return Mesh(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.int64))
    starts = np.cumsum([0, *[len(line) for line in lines]])
    faces = [
        np.stack([np.arange(start, start + len(line) - 1), np.arange(start + 1, start + len(line))], axis=1)
        for start, line in zip(starts, lines, strict=False)
    ]
    return Mesh(np.concatenate(lines), np.concatenate(faces).astype(np.int64))


def _contour_surface(values: NDArray[np.float64], axes: list[NDArray[np.float64]]) -> Mesh:
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    image = vtkImageData()
    image.SetDimensions(*[len(axis) for axis in axes])
    image.SetOrigin(*[axis[0] for axis in axes])
    image.SetSpacing(*[axis[1] - axis[0] for axis in axes])
    flat = np.ascontiguousarray(values.reshape(-1))
    image.GetPointData().SetScalars(numpy_to_vtk(flat))
    contour = vtkFlyingEdges3D()
    contour.SetInputData(image)
    contour.SetValue(0, 0.0)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    contour.Update()
    surface = contour.GetOutput()
    if surface.GetNumberOfCells() == 0:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    vertices = vtk_to_numpy(surface.GetPoints().GetData()).astype(np.float64)
    faces = vtk_to_numpy(surface.GetPolys().GetConnectivityArray()).astype(np.int64).reshape(-1, 3)
    # VTK winds its triangles towards falling values; a mesh here faces where the level grows.
    return Mesh(vertices, np.ascontiguousarray(faces[:, ::-1]))


@final
@settings
class NoLevelSet(LevelSet):
    """Nothing is extracted or drawn: for spaces of more than three dimensions."""

    low: None = None
    high: None = None

    def extract(
        self, level: LevelFunction, low: Sequence[float], high: Sequence[float], device: torch.device
    ) -> Mesh:
        """An empty mesh."""
        return Mesh(np.zeros((0, len(low))), np.zeros((0, min(len(low), 3)), dtype=np.int64))


LEVEL_SETS: dict[str, type[LevelSet]] = {
    "grid": Grid,
    "none": NoLevelSet,
}
