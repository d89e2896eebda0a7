"""Geometry of a scene before training, in numbers and in a picture: the verb of `dimple scenes show`."""

import dataclasses
import math
from pathlib import Path
from typing import final

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from dimple.levelsets.mesh import Mesh
from dimple.manifolds.geometry.covering_radius import covering_radius
from dimple.runs.atomic_io import atomic_replace
from dimple.scene import Scene
from dimple.scene.display_slice import affine_hull
from dimple.tensors import generator, pairwise_distances
from dimple.views.content.camera import default_camera
from dimple.views.content.frame import Drawing, Frame, MeshLayer, PointSet, Timeline
from dimple.views.drawing.plane import draw_plane
from dimple.views.style.colors import BACKGROUND_COLOR, MANIFOLD_COLOR, tint

COVERING_NULL_DRAWS = 5
LABEL_SHUFFLES = 20
# Width and height of the picture, in pixels.
IMAGE_SIZE = (900, 720)
# Padding of the box around the manifold and the points, as a fraction of its longest side.
PADDING_FRACTION = 0.1
SUPERSAMPLING = 2


@final
@dataclasses.dataclass(frozen=True)
class SceneGeometry:
    """Geometry of a manifold and its training points, before any network is trained.

    Lengths are in input units. All distances are Euclidean, through the ambient space.

    Attributes:
        dim, ambient_dim: d and n.
        component_count: the number of connected components of the manifold.
        volume: its d-dimensional volume.
        volume_error: an estimate of the error of the volume; 0 where it comes from a formula.
        reach: the reach of the manifold.
        reach_is_exact: True where the reach comes from a formula, False where it is the smallest value that a
            search found, an upper bound.
        class_counts: the number of training points of each class.
        class_separation: the smallest distance between two training points of different classes.
        class_separation_null: the same with shuffled labels, the median of 20 draws.
        covering_radius: the largest distance found of a point of the manifold from its nearest training point.
        covering_radius_upper: an upper bound of this distance; inf above dimension 2.
        covering_radius_null: the covering radius of as many independent uniform points, the median of 5 draws.

    Reference: Niyogi, Smale, Weinberger 2008, proposition 3.1, for manifolds without boundary.
    """

    dim: int
    ambient_dim: int
    component_count: int
    volume: float
    volume_error: float
    reach: float
    reach_is_exact: bool
    class_counts: tuple[int, ...]
    class_separation: float
    class_separation_null: float
    covering_radius: float
    covering_radius_upper: float
    covering_radius_null: float

    @property
    def codim(self) -> int:
        """The codimension, n - d."""
        return self.ambient_dim - self.dim

    @property
    def point_count(self) -> int:
        """The number of training points."""
        return sum(self.class_counts)

    @property
    def required_covering_radius(self) -> float:
        """The covering radius below which a union of balls around the points has the topology of the manifold.

        It is sqrt(3/5)/2 of the reach, by the proposition, and inf for a flat manifold.
        """
        return math.sqrt(3 / 5) / 2 * self.reach

    @property
    def is_densely_sampled(self) -> bool | None:
        """Return whether the covering radius is below the required one; None where its bounds do not decide it."""
        if self.covering_radius >= self.required_covering_radius:
            return False
        return True if self.covering_radius_upper < self.required_covering_radius else None


def compute_scene_geometry(scene: Scene) -> SceneGeometry:
    """Draw the training points of a scene and measure how they cover its manifold.

    Example:
        >>> from dimple.scene import load_scene
        >>> geometry = compute_scene_geometry(load_scene("sphere_in_3d"))
        >>> geometry.codim, geometry.reach, geometry.point_count
        (1, 0.3, 60)
    """
    manifold = scene.require_manifold()
    samples = scene.samples()
    x = samples.train
    y = samples.train_labels
    stream = generator(scene.seed, "cover null")
    null = [covering_radius(manifold, manifold.sample(len(x), stream))[0] for _ in range(COVERING_NULL_DRAWS)]
    lower, upper = covering_radius(manifold, x)
    separation, separation_null = _class_separation(x, y, generator(scene.seed, "opposite null"))
    return SceneGeometry(
        dim=manifold.dim,
        ambient_dim=manifold.ambient_dim,
        component_count=len(manifold.components),
        volume=manifold.volume,
        volume_error=manifold.volume_error,
        reach=manifold.reach,
        reach_is_exact=manifold.reach_is_exact,
        class_counts=tuple(torch.bincount(y).tolist()),
        class_separation=separation,
        class_separation_null=separation_null,
        covering_radius=lower,
        covering_radius_upper=upper,
        covering_radius_null=float(np.median(null)),
    )


def _class_separation(x: Tensor, y: Tensor, stream: torch.Generator) -> tuple[float, float]:
    """Return the smallest distance between two classes, and its median over shuffled labels."""
    distance = pairwise_distances(x, x)
    labels = [y] + [y[torch.randperm(len(y), generator=stream)] for _ in range(LABEL_SHUFFLES)]
    separations = [float(distance[a[:, None] != a[None]].min()) for a in labels]
    return separations[0], float(np.median(separations[1:]))


def write_picture(scene: Scene, path: Path) -> bool:
    """Draw the manifold of a scene with its training points into a PNG file.

    Curves and surfaces in the plane and in space are drawn, from the side that the film shows; and those in more
    dimensions that lie in an affine subspace of at most three dimensions, in which they are not distorted.

    Returns:
        True if the file was written; False, without a file, for other manifolds.

    Raises:
        DeviceError: for a surface in space, where no OpenGL library can draw.
        RunError: if the file cannot be written.
    """
    mesh_and_points = _display_mesh_and_points(scene)
    if mesh_and_points is None:
        return False
    mesh, points = mesh_and_points
    positions = np.concatenate([mesh.vertices, points.positions])
    low = positions.min(0)
    high = positions.max(0)
    padding = PADDING_FRACTION * float((high - low).max())
    box = (tuple((low - padding).tolist()), tuple((high + padding).tolist()))
    image = draw_manifold(Drawing((MeshLayer(mesh, "manifold"),), points, *box))
    with atomic_replace(path) as temporary:
        image.save(temporary, format="PNG")
    return True


def _display_mesh_and_points(scene: Scene) -> tuple[Mesh, PointSet] | None:
    """Return the mesh of the manifold and the training points in the coordinates of the picture."""
    manifold = scene.require_manifold()
    samples = scene.samples()
    labels = samples.train_labels.numpy()
    if (mesh := manifold.display_mesh()) is not None:
        return Mesh(*mesh), PointSet(samples.train.numpy(), labels)
    triangulation = manifold.triangulation() if manifold.dim <= 2 else None
    center, axes = affine_hull(manifold, scene.seed)
    if triangulation is None or axes.shape[1] > 3:
        return None
    # A plane is drawn in space, and a line in the plane: the coordinates get zeros.
    extra_axes = max(0, manifold.dim + 1 - axes.shape[1])
    vertices, points = (
        np.pad(((x - center) @ axes).numpy(), ((0, 0), (0, extra_axes)))
        for x in (torch.from_numpy(triangulation[0]), samples.train)
    )
    return Mesh(vertices, triangulation[1]), PointSet(points, labels)


def draw_manifold(drawing: Drawing) -> Image.Image:
    """Return a picture of the manifold and the points of `drawing`, without a boundary."""
    if drawing.ambient_dim == 2:
        return draw_plane(drawing, IMAGE_SIZE, 13)
    layer = drawing.layer("manifold")
    assert layer is not None
    return _draw_curve(drawing, layer.mesh) if layer.mesh.faces.shape[1] == 2 else _draw_surface(drawing, layer.mesh)


def _draw_surface(drawing: Drawing, mesh: Mesh) -> Image.Image:
    """Draw a surface with the renderer of the film, as an opaque surface instead of the boundary."""
    from dimple.views.vtk.offscreen import OffscreenRenderer, draw_points
    from dimple.views.vtk.opengl import require_rendering

    require_rendering()
    opaque = dataclasses.replace(drawing, layers=(MeshLayer(mesh, "boundary"),))
    frame = Frame("", 0, 0, opaque, (), Timeline(np.zeros(1, dtype=np.int64), ()))
    renderer = OffscreenRenderer(frame, (SUPERSAMPLING * IMAGE_SIZE[0], SUPERSAMPLING * IMAGE_SIZE[1]))
    try:
        camera = default_camera(opaque, None)
        renderer.set_camera(camera, opaque)
        large, depth = renderer.render()
    finally:
        renderer.close()
    image = large.reduce(SUPERSAMPLING)
    draw_points(image, depth, opaque, camera)
    return image


def _draw_curve(drawing: Drawing, mesh: Mesh) -> Image.Image:
    """Draw a curve in perspective without a renderer: distant segments first, in a paler color."""
    from dimple.views.vtk.offscreen import draw_points

    camera = default_camera(drawing, None)
    large = (SUPERSAMPLING * IMAGE_SIZE[0], SUPERSAMPLING * IMAGE_SIZE[1])
    pixels, depth = camera.project(mesh.vertices, large)
    segment_depth = depth[mesh.faces].mean(1)
    nearness = 1 - (segment_depth - segment_depth.min()) / max(float(np.ptp(segment_depth)), 1e-12)
    image = Image.new("RGB", large, BACKGROUND_COLOR)
    canvas = ImageDraw.Draw(image)
    for segment in np.argsort(nearness):
        near = float(nearness[segment])
        ends = [tuple(end) for end in pixels[mesh.faces[segment]]]
        canvas.line(ends, fill=tint(MANIFOLD_COLOR, 0.35 + 0.65 * near), width=4 + round(4 * near))
    image = image.resize(IMAGE_SIZE, Image.Resampling.LANCZOS)
    draw_points(image, np.full((IMAGE_SIZE[1], IMAGE_SIZE[0]), np.inf), drawing, camera)
    return image
