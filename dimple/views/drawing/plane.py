"""Drawings of the plane: the two class regions, the boundary between them, the manifold and the points on it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import Drawing, PointSet, Reals
from dimple.views.content.viewport import Fit
from dimple.views.drawing.class_regions import ground, scale_bar, write_names
from dimple.views.drawing.insets import insets
from dimple.views.style.colors import CLASSES, INK, MANIFOLD, PAPER, RULE, tint
from dimple.views.style.markers import marker, stamp

# Lines are drawn twice as large and halved, which is how Pillow, whose lines are jagged, gets smooth ones.
_OVERSAMPLING = 2
_CELL = 4


def draw_plane(drawing: Drawing, size: tuple[int, int], marker_size: int = 11) -> Image.Image:
    """A picture of a drawing in R^2, one unit as long upwards as sideways, the box in the middle.

    Each region has the light hue of its class, the boundary is a dark line, the manifold a grey one; points keep
    their class's colour and shape, so a point on a ground of another hue is a mistake, and has a ring as well. Where
    there are many classes their names stand in their regions, and points that are images beside their places.
    """
    fit = Fit.of(drawing, size)
    large = fit.finer(_OVERSAMPLING)
    picture = _ground(drawing, fit, large)
    pen = ImageDraw.Draw(picture)
    for role, colour, width in (("manifold", MANIFOLD, 3), ("boundary", INK, 5)):
        for layer in drawing.layers:
            if layer.role == role:
                _strokes(pen, large.pixels(layer.mesh.vertices), layer.mesh, colour, width)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    places, points = fit.pixels(drawing.points.positions), drawing.points
    taken = []
    if drawing.classes is not None:
        taken = [scale_bar(picture, drawing, fit, drawing.classes.unit, round(0.9 * marker_size))]
    tiles = insets(points, places, size, 5 * marker_size, taken)
    if drawing.classes is not None:
        around = 1.2 * marker_size
        taken += [(x - around, y - around, x + around, y + around) for x, y in places.tolist()]
        taken += [tile.box for tile in tiles]
        write_names(picture, drawing, drawing.classes, fit, round(1.1 * marker_size), taken)
    for tile in tiles:
        tile.paste(picture)
    for place, label, is_wrong in zip(places, points.classes, points.wrong, strict=True):
        stamp(picture, marker(int(label), marker_size, bool(is_wrong)), *place)
    return picture


def _ground(drawing: Drawing, fit: Fit, large: Fit) -> Image.Image:
    """What lies beneath all lines, as a picture of the larger size."""
    if drawing.classes is not None:
        return ground(drawing, drawing.classes, large, _OVERSAMPLING)
    asked = Image.new("L", large.size, 0)
    corners = [tuple(place) for place in large.pixels(_outline(drawing))]
    picture = Image.new("RGB", large.size, PAPER)
    if len(corners) > 2:
        ImageDraw.Draw(asked).polygon(corners, fill=255)
    picture.paste(_sides(drawing, fit).resize(large.size, Image.Resampling.BILINEAR), (0, 0), asked)
    if len(corners) > 2:
        ImageDraw.Draw(picture).line([*corners, corners[0]], fill=RULE, width=2)
    return picture


def sides(boundary: Mesh, points: Reals) -> NDArray[np.int8]:
    """On which side of directed segments each point `(N, 2)` lies: 1 on the left, -1 on the right, 0 without segments.

    The nearest segment decides; where two meet in a corner that is nearest, the one that the point faces more
    squarely does, since the other's line may have it on the wrong side.

    Example:
        >>> line = Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]]))
        >>> sides(line, np.array([[0.5, 1.0], [0.5, -1.0]])).tolist()
        [1, -1]
    """
    if len(boundary.faces) == 0:
        return np.zeros(len(points), dtype=np.int8)
    start, end = (boundary.vertices[boundary.faces[:, k]] for k in (0, 1))
    start, end = _short(start, end, max(float(np.ptp(points, axis=0).max()) / 100, 1e-9))
    run = end - start
    length = np.linalg.norm(run, axis=1)
    run = run / np.where(length > 0, length, 1.0)[:, None]
    _, nearest = cKDTree((start + end) / 2).query(points, k=range(1, min(6, len(start)) + 1))
    distances, squarely = zip(*(_seen(points, start[one], run[one], length[one]) for one in nearest.T), strict=True)
    distance, seen = np.stack(distances), np.stack(squarely)
    tied = distance <= distance.min(0) * (1 + 1e-6) + 1e-12
    choice = np.where(tied, np.abs(seen), -1.0).argmax(0)
    return np.asarray(np.sign(seen[choice, np.arange(len(points))]), dtype=np.int8)


def _seen(points: Reals, start: Reals, run: Reals, length: Reals) -> tuple[Reals, Reals]:
    """How far each point is from its segment, and how far it faces it from the left, both `(N,)`."""
    (x, y), (across, up) = (points - start).T, run.T
    along = (x * across + y * up).clip(0, length)
    x, y = x - along * across, y - along * up
    return np.hypot(x, y), across * y - up * x


def _short(start: Reals, end: Reals, longest: float) -> tuple[Reals, Reals]:
    """Segments cut into pieces of at most `longest`, so that the nearest midpoint belongs to the nearest segment."""
    pieces = np.maximum(np.ceil(np.linalg.norm(end - start, axis=1) / longest), 1).astype(int).clip(max=1000)
    rows = np.repeat(np.arange(len(start)), pieces)
    part = np.concatenate([np.arange(count) for count in pieces])[:, None]
    count = pieces[rows][:, None]
    return start[rows] + (end - start)[rows] * part / count, start[rows] + (end - start)[rows] * (part + 1) / count


def _sides(drawing: Drawing, fit: Fit) -> Image.Image:
    """The two tints on a coarse grid over the whole picture."""
    x, y = fit.places(_CELL)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    boundary = drawing.layer("boundary")
    if boundary is not None and len(boundary.mesh.faces):
        side = sides(boundary.mesh, grid)
    else:
        side = np.full(len(grid), _common_side(drawing.points), dtype=np.int8)
    hues = np.array([PAPER, tint(CLASSES[1], 0.24), tint(CLASSES[0], 0.24)], dtype=np.uint8)
    return Image.fromarray(hues[side].reshape(len(y), len(x), 3))


def _common_side(points: PointSet) -> int:
    """The side on which all points are predicted to lie, for a picture without a boundary; 0 if that is not known."""
    predicted = np.unique(points.predictions) if points.predictions is not None else np.zeros(0)
    return 0 if len(predicted) != 1 else 1 if predicted[0] == 1 else -1


def _outline(drawing: Drawing) -> Reals:
    """Where the classifier was asked, as a polygon."""
    if drawing.outline is not None:
        return drawing.outline
    (left, bottom), (right, top) = drawing.low, drawing.high
    return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


def _strokes(pen: ImageDraw.ImageDraw, pixels: Reals, mesh: Mesh, colour: tuple[int, int, int], width: int) -> None:
    for segment in pixels[mesh.faces]:
        pen.line([tuple(segment[0]), tuple(segment[1])], fill=colour, width=width)
