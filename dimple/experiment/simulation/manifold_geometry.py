"""The verb behind `dimple scenes show`: a scene's geometry in figures, each beside its null, and in a picture."""

import dataclasses
import math
from pathlib import Path
from typing import final

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from dimple.levelsets.mesh import Mesh
from dimple.runs.atomic_io import replacing
from dimple.scene import Scene
from dimple.scene.display_slice import flat_of
from dimple.tensors import generator, in_chunks
from dimple.views.content.camera import look
from dimple.views.content.frame import Drawing, Frame, Layer, PointSet, Timeline
from dimple.views.drawing.plane import draw_plane
from dimple.views.style.colors import MANIFOLD, PAPER, tint

COVER_POINTS = 8192
COVER_DRAWS = 5
SHUFFLES = 20
SIZE = (900, 720)
# Of the box around manifold and points, in shares of the largest side.
RIM = 0.1
SUPERSAMPLING = 2


@final
@dataclasses.dataclass(frozen=True)
class Geometry:
    """What a manifold and its training points are to each other, before any network is trained.

    Lengths are in input units. All distances are Euclidean, through the ambient space.

    Attributes:
        dim, ambient_dim: d and n.
        pieces: connected pieces of the manifold.
        volume: its d-volume.
        reach: of the manifold; `reach_is_exact` tells a formula from the least that a search has found.
        class_counts: training points of each class.
        opposite: the least distance between two training points of different classes.
        opposite_null: the same with the labels shuffled, the median of 20 draws.
        cover: the covering radius: how far a point of the manifold lies from its nearest training point, at most, over
            8192 uniform points; so it is a bound from below, and a close one.
        cover_null: the same for as many independent uniform points, the median of 5 draws.
        cover_asked: the covering radius below which the union of balls around the points has the topology of the
            manifold, sqrt(3/5)/2 of the reach; infinite for a flat.

    Reference: Niyogi, Smale, Weinberger 2008, proposition 3.1, which asks it of manifolds without a rim.
    """

    dim: int
    ambient_dim: int
    pieces: int
    volume: float
    reach: float
    reach_is_exact: bool
    class_counts: tuple[int, ...]
    opposite: float
    opposite_null: float
    cover: float
    cover_null: float

    @property
    def codim(self) -> int:
        """How many directions leave the manifold."""
        return self.ambient_dim - self.dim

    @property
    def points(self) -> int:
        """Training points in all."""
        return sum(self.class_counts)

    @property
    def cover_asked(self) -> float:
        """By the proposition."""
        return math.sqrt(3 / 5) / 2 * self.reach

    @property
    def is_covered(self) -> bool:
        """Whether the training points are as dense as the theory asks."""
        return self.cover < self.cover_asked


def geometry_of(scene: Scene) -> Geometry:
    """Draw the scene's training points and measure how they lie on the manifold.

    Example:
        >>> from dimple.scene import load_scene
        >>> shown = geometry_of(load_scene("sphere_in_3d"))
        >>> shown.codim, shown.reach, shown.points
        (1, 0.3, 60)
    """
    manifold, samples = scene.manifold, scene.samples()
    x, y = samples.train, samples.train_labels
    everywhere = manifold.sample(COVER_POINTS, generator(scene.seed, "cover"))
    stream = generator(scene.seed, "cover null")
    null = [_cover(everywhere, manifold.sample(len(x), stream)) for _ in range(COVER_DRAWS)]
    opposite, opposite_null = _opposite(x, y, generator(scene.seed, "opposite null"))
    return Geometry(
        dim=manifold.dim,
        ambient_dim=manifold.ambient_dim,
        pieces=len(manifold.parts),
        volume=manifold.volume,
        reach=manifold.reach,
        reach_is_exact=manifold.reach_is_exact,
        class_counts=tuple(torch.bincount(y).tolist()),
        opposite=opposite,
        opposite_null=opposite_null,
        cover=_cover(everywhere, x),
        cover_null=float(np.median(null)),
    )


def _cover(everywhere: Tensor, points: Tensor) -> float:
    """The largest distance from one of `everywhere` to the nearest of `points`."""
    # Far from the origin the product form of a distance would lose digits.
    centre = points.mean(0)
    return float(in_chunks(lambda x: torch.cdist(x, points - centre).amin(1), everywhere - centre, 1024).max())


def _opposite(x: Tensor, y: Tensor, stream: torch.Generator) -> tuple[float, float]:
    """The least distance between classes, and its median over shuffled labels."""
    # The product form of the distance loses half the digits for near points.
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    labels = [y] + [y[torch.randperm(len(y), generator=stream)] for _ in range(SHUFFLES)]
    least = [float(distance[a[:, None] != a[None]].min()) for a in labels]
    return least[0], float(np.median(least[1:]))


def write_picture(scene: Scene, path: Path) -> bool:
    """Draw the manifold with its training points as a PNG; False, and no file, where there is nothing to draw.

    Curves and surfaces of the plane and of space can be drawn, from the side that the film shows; of more dimensions
    those that lie in a flat of at most three, in which they look as they are.

    Raises:
        DeviceError: for a surface in space, where no OpenGL library can draw.
        RunError: if the file cannot be written.
    """
    shown = _in_sight(scene)
    if shown is None:
        return False
    mesh, points = shown
    everything = np.concatenate([mesh.vertices, points.positions])
    low, high = everything.min(0), everything.max(0)
    rim = RIM * float((high - low).max())
    box = (tuple((low - rim).tolist()), tuple((high + rim).tolist()))
    picture = draw(Drawing((Layer(mesh, "manifold"),), points, *box))
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
    return True


def _in_sight(scene: Scene) -> tuple[Mesh, PointSet] | None:
    """The manifold's mesh and the training points in the space of the picture."""
    manifold, samples = scene.manifold, scene.samples()
    labels = samples.train_labels.numpy()
    if (mesh := manifold.mesh()) is not None:
        return Mesh(*mesh), PointSet(samples.train.numpy(), labels)
    drawn = manifold.triangulation() if manifold.dim <= 2 else None
    middle, axes = flat_of(manifold, scene.seed)
    if drawn is None or axes.shape[1] > 3:
        return None
    # A plane is drawn in space, a line in the plane.
    beside = max(0, manifold.dim + 1 - axes.shape[1])
    vertices, points = (
        np.pad(((x - middle) @ axes).numpy(), ((0, 0), (0, beside)))
        for x in (torch.from_numpy(drawn[0]), samples.train)
    )
    return Mesh(vertices, drawn[1]), PointSet(points, labels)


def draw(drawing: Drawing) -> Image.Image:
    """A picture of the manifold and the points of `drawing`, which needs no boundary."""
    if drawing.ambient_dim == 2:
        return draw_plane(drawing, SIZE, 13)
    layer = drawing.layer("manifold")
    assert layer is not None
    return _draw_curve(drawing, layer.mesh) if layer.mesh.faces.shape[1] == 2 else _draw_surface(drawing, layer.mesh)


def _draw_surface(drawing: Drawing, mesh: Mesh) -> Image.Image:
    """By the renderer of the film, the manifold in place of the boundary: opaque, so that it hides its far side."""
    from dimple.views.vtk.offscreen import Space, stamp_points
    from dimple.views.vtk.opengl import require_rendering

    require_rendering()
    solid = dataclasses.replace(drawing, layers=(Layer(mesh, "boundary"),))
    frame = Frame("", 0, 0, solid, (), Timeline(np.zeros(1, dtype=np.int64), ()))
    space = Space(frame, (SUPERSAMPLING * SIZE[0], SUPERSAMPLING * SIZE[1]))
    try:
        camera = look(solid, None)
        space.look_through(camera, solid)
        large, depth = space.picture()
    finally:
        space.close()
    picture = large.reduce(SUPERSAMPLING)
    stamp_points(picture, depth, solid, camera)
    return picture


def _draw_curve(drawing: Drawing, mesh: Mesh) -> Image.Image:
    """In perspective, far parts first and paler; no renderer is needed for lines."""
    from dimple.views.vtk.offscreen import stamp_points

    camera = look(drawing, None)
    large = (SUPERSAMPLING * SIZE[0], SUPERSAMPLING * SIZE[1])
    pixels, depth = camera.project(mesh.vertices, large)
    middle = depth[mesh.faces].mean(1)
    nearness = 1 - (middle - middle.min()) / max(float(np.ptp(middle)), 1e-12)
    picture = Image.new("RGB", large, PAPER)
    pen = ImageDraw.Draw(picture)
    for at in np.argsort(nearness):
        colour = tint(MANIFOLD, 0.35 + 0.65 * float(nearness[at]))
        pen.line([tuple(end) for end in pixels[mesh.faces[at]]], fill=colour, width=4 + round(4 * float(nearness[at])))
    picture = picture.resize(SIZE, Image.Resampling.LANCZOS)
    stamp_points(picture, np.full((SIZE[1], SIZE[0]), np.inf), drawing, camera)
    return picture
