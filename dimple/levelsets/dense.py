"""Level sets by evaluation on a dense regular grid, followed by contouring."""

from collections.abc import Sequence
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets.base import (
    LevelFunction,
    LevelSet,
    empty_mesh,
    grid_precision,
    level_function,
    require_drawable,
)
from dimple.levelsets.mesh import Mesh
from dimple.settings import Cells, Finite, Positive, settings
from dimple.tensors import chunks

# Memory for the value at a corner and for the contouring, estimated.
BYTES_PER_CORNER = 8
# Points evaluated together.
POINTS_PER_SLAB = 1 << 20


@final
@settings
class Dense(LevelSet):
    """Contour of the logit margin at all corners of `resolution ** n` cells, of second order in the cell size.

    Crossings are interpolated linearly along the edges of the cells.

    Args:
        resolution: cells along each axis.
        memory: limit of the memory for the values and their contouring, in GiB.

    Example:
        >>> disc = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> circle = Dense(resolution=64).extract(disc, 1, (-2, -2), (2, 2), torch.device("cpu"))
        >>> round(circle.area, 2)
        6.28
    """

    resolution: Cells = 64
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
        """Evaluate all corners and contour the values.

        Raises:
            SceneError: if this takes more than `memory`.
        """
        size = BYTES_PER_CORNER * (self.resolution + 1) ** require_drawable(low) / 2**30
        if size > self.memory:
            raise SceneError(
                f"levelset.resolution is {self.resolution}: a dense grid takes {size:.2g} GiB, "
                f"more than levelset.memory, {self.memory:g}; use fewer cells, or kind: adaptive"
            )
        precision = grid_precision(low, high, self.resolution)
        axes = [np.linspace(a, b, self.resolution + 1) for a, b in zip(low, high, strict=True)]
        level = level_function(boundary, label)
        values = corner_values(level, axes, device, precision)
        level.warn(low, high, self.resolution)
        return contour_curve(values, axes) if len(axes) == 2 else contour_surface(values, axes)


def corner_values(
    level: LevelFunction,
    axes: Sequence[NDArray[np.float64]],
    device: torch.device,
    precision: torch.dtype = torch.float32,
) -> NDArray[np.float32]:
    """Return the level at every corner of a grid, `(y, x)` or `(z, y, x)`, in the order in which VTK stores images.

    Args:
        level: the level function.
        axes: the coordinates of the corners along x, y and, in space, z.
        device: the device on which the level is evaluated.
        precision: that of the corners.
    """
    values = np.empty([len(axis) for axis in reversed(axes)], dtype=np.float32)
    last, *others = [torch.tensor(axis, dtype=precision) for axis in reversed(axes)]
    thickness = max(1, POINTS_PER_SLAB // values[0].size)
    with torch.no_grad():
        for slab in chunks(len(last), thickness):
            mesh = torch.meshgrid(last[slab], *others, indexing="ij")
            points = torch.stack([axis.reshape(-1) for axis in reversed(mesh)], dim=1).to(device)
            values[slab] = level(points).float().cpu().numpy().reshape(values[slab].shape)
    return values


def contour_curve(values: NDArray[Any], axes: list[NDArray[np.float64]]) -> Mesh:
    """Return the zero set of values `(y, x)` at the corners of a grid as segments, larger values on their left.

    A value of zero counts as positive. Cells with nan at a corner are left out.
    """
    import contourpy

    # A zero of contourpy counts as negative; the smallest number moves no vertex.
    positive = np.where(values == 0, np.finfo(np.float64).tiny, np.ma.masked_invalid(values).astype(np.float64))
    generator = contourpy.contour_generator(
        axes[0], axes[1], np.ma.masked_array(positive, np.isnan(values)), corner_mask=False
    )
    # contourpy returns lines in several forms; the default is a list of arrays.
    lines = cast(list[NDArray[np.float64]], generator.lines(0.0))
    if not lines:
        return empty_mesh(2)
    vertices = []
    faces = []
    count = 0
    for line in lines:
        # A closed line ends with its first point.
        distinct = line[:-1] if bool((line[0] == line[-1]).all()) else line
        indices = count + np.arange(len(line)) % len(distinct)
        faces.append(np.stack([indices[:-1], indices[1:]], axis=1))
        vertices.append(distinct)
        count += len(distinct)
    return Mesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int64))


def contour_surface(values: NDArray[Any], axes: list[NDArray[np.float64]]) -> Mesh:
    """Return the zero set of values `(z, y, x)` at the corners of a grid as triangles that face the larger values.

    A value of zero counts as positive. Cells with nan at a corner are left out.
    """
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    image = vtkImageData()
    image.SetDimensions(*[len(axis) for axis in axes])
    # VTK's vertices are float32: in units of cells, so that their errors do not depend on where the grid lies.
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
    undefined = np.isnan(values)
    if undefined.any():
        near = np.asarray(np.lib.stride_tricks.sliding_window_view(undefined, (2, 2, 2)).any((3, 4, 5)))
        faces = faces[np.isfinite(vertices[faces]).all((1, 2))]
        cell = vertices[faces].mean(1).astype(np.int64)[:, ::-1].clip(max=np.array(near.shape) - 1)
        faces = faces[~near[tuple(cell.T)]]
        used, faces = np.unique(faces, return_inverse=True)
        vertices = vertices[used]
        faces = faces.reshape(-1, 3)
    low = np.array([axis[0] for axis in axes])
    spacing = np.array([axis[1] - axis[0] for axis in axes])
    # VTK's triangles face falling values; a `Mesh` faces growing ones.
    return Mesh(low + vertices * spacing, np.ascontiguousarray(faces[:, ::-1]))


@final
@settings
class NoLevelSet(LevelSet):
    """Level set that extracts nothing, for spaces of more than three dimensions."""

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
        """Return an empty mesh."""
        return empty_mesh(len(low))
