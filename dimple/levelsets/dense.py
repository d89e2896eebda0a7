"""Level sets by dense evaluation on a regular grid, then contouring."""

from collections.abc import Sequence
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.base import LevelFunction, LevelSet, empty_mesh, level_function, require_drawable
from dimple.levelsets.mesh import Mesh
from dimple.settings import Count, Finite, Positive, settings
from dimple.tensors import chunks

# A corner's value, and what contouring keeps beside it.
BYTES = 8
# Points that exist at a time.
SLAB = 1 << 20


@final
@settings
class Grid(LevelSet):
    """Every corner of `cells`^n cells evaluated, crossings by linear interpolation: second order in the cell size.

    Args:
        cells: along each axis.
        memory: the most that the values and their contouring may take, in GiB.

    Example:
        >>> disc = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> circle = Grid(cells=64).extract(disc, 1, (-2, -2), (2, 2), torch.device("cpu"))
        >>> round(circle.area, 2)
        6.28
    """

    cells: Count = 64
    memory: Positive = 4.0
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def extract(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """Evaluate, contour.

        Raises:
            SceneError: if that takes more memory than allowed.
        """
        size = BYTES * (self.cells + 1) ** require_drawable(low) / 2**30
        if size > self.memory:
            raise SceneError(
                f"levelset.cells is {self.cells}: a dense grid takes {size:.2g} GiB, more than levelset.memory, "
                f"{self.memory:g}; use fewer cells, or kind: adaptive"
            )
        axes = [np.linspace(a, b, self.cells + 1) for a, b in zip(low, high, strict=True)]
        values = corner_values(level_function(boundary, label), axes, device)
        return contour_curve(values, axes) if len(axes) == 2 else contour_surface(values, axes)


def corner_values(
    level: LevelFunction, axes: Sequence[NDArray[np.float64]], device: torch.device
) -> NDArray[np.float32]:
    """The level at every corner of a grid, `(y, x)` or `(z, y, x)`: the last axis varies slowest, as VTK stores images.

    Args:
        axes: the coordinates of the corners along x, y and, in space, z.
    """
    values = np.empty([len(axis) for axis in reversed(axes)], dtype=np.float32)
    last, *others = [torch.tensor(axis, dtype=torch.float32) for axis in reversed(axes)]
    thickness = max(1, SLAB // values[0].size)
    with torch.no_grad():
        for slab in chunks(len(last), thickness):
            mesh = torch.meshgrid(last[slab], *others, indexing="ij")
            points = torch.stack([axis.reshape(-1) for axis in reversed(mesh)], dim=1).to(device)
            values[slab] = level(points).float().cpu().numpy().reshape(values[slab].shape)
    return values


def contour_curve(values: NDArray[Any], axes: list[NDArray[np.float64]]) -> Mesh:
    """The zero set of values `(y, x)` on the corners of a grid, as segments with the growing values on their left."""
    import contourpy

    # Of the several forms that contourpy gives its lines in, the default is a list of arrays.
    lines = cast(list[NDArray[np.float64]], contourpy.contour_generator(axes[0], axes[1], values).lines(0.0))
    if not lines:
        return empty_mesh(2)
    vertices, faces, count = [], [], 0
    for line in lines:
        # A closed line ends with its first point.
        fresh = line[:-1] if bool((line[0] == line[-1]).all()) else line
        numbers = count + np.arange(len(line)) % len(fresh)
        faces.append(np.stack([numbers[:-1], numbers[1:]], axis=1))
        vertices.append(fresh)
        count += len(fresh)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int64))


def contour_surface(values: NDArray[Any], axes: list[NDArray[np.float64]]) -> Mesh:
    """The zero set of values `(z, y, x)` on the corners of a grid, as triangles that face where the values grow."""
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
        return empty_mesh(3)
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
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """An empty mesh."""
        return empty_mesh(len(low))
