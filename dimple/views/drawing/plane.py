"""Pictures of drawings in the plane: the class regions, the boundary, the manifold and the points."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import Drawing, FloatArray, PointSet
from dimple.views.content.viewport import Viewport
from dimple.views.drawing.class_regions import draw_class_regions, draw_scale_bar, write_class_names
from dimple.views.drawing.insets import place_insets
from dimple.views.style.colors import (
    BACKGROUND_COLOR,
    CLASS_COLORS,
    FOREGROUND_COLOR,
    GRID_LINE_COLOR,
    MANIFOLD_COLOR,
    tint,
)
from dimple.views.style.markers import draw_marker, paste_marker

# Lines are drawn at twice the size and then reduced, because Pillow does not anti-alias lines.
_OVERSAMPLING = 2
# Side of the square cells in which the class is evaluated.
_CELL_PIXELS = 4


def draw_plane(drawing: Drawing, size: tuple[int, int], marker_size: int = 11) -> Image.Image:
    """Return a picture of a drawing in R^2 with equal horizontal and vertical scales and the box in the middle.

    Each region has a light tint of the color of its class. The boundary is a dark line, the manifold a gray one. Points
    have the color and shape of their class, so a point in a region of another color is misclassified; it has a ring as
    well. With many classes, their names are written in their regions, and points that are images have insets.

    Args:
        drawing: a drawing of dimension 2.
        size: width and height of the picture in pixels.
        marker_size: diameter of the markers in pixels.
    """
    viewport = Viewport.from_drawing(drawing, size)
    large_viewport = viewport.upscale(_OVERSAMPLING)
    picture = _draw_background(drawing, viewport, large_viewport)
    draw = ImageDraw.Draw(picture)
    for role, color, width in (("manifold", MANIFOLD_COLOR, 3), ("boundary", FOREGROUND_COLOR, 5)):
        for layer in drawing.layers:
            if layer.role == role:
                _draw_segments(draw, large_viewport.to_pixels(layer.mesh.vertices), layer.mesh, color, width)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    points = drawing.points
    pixels = viewport.to_pixels(points.positions)
    occupied = []
    if drawing.class_regions is not None:
        occupied = [draw_scale_bar(picture, drawing, viewport, drawing.class_regions.unit, round(0.9 * marker_size))]
    insets = place_insets(points, pixels, size, 5 * marker_size, occupied)
    if drawing.class_regions is not None:
        half = 1.2 * marker_size
        occupied += [(x - half, y - half, x + half, y + half) for x, y in pixels.tolist()]
        occupied += [inset.rectangle for inset in insets]
        write_class_names(picture, drawing, drawing.class_regions, viewport, round(1.1 * marker_size), occupied)
    for inset in insets:
        inset.paste(picture)
    for pixel, label, is_misclassified in zip(pixels, points.labels, points.misclassified, strict=True):
        paste_marker(picture, draw_marker(int(label), marker_size, bool(is_misclassified)), *pixel)
    return picture


def _draw_background(drawing: Drawing, viewport: Viewport, large_viewport: Viewport) -> Image.Image:
    """Return the class regions as a picture of the larger size."""
    if drawing.class_regions is not None:
        return draw_class_regions(drawing, drawing.class_regions, large_viewport, _OVERSAMPLING)
    domain = Image.new("L", large_viewport.size, 0)
    corners = [tuple(pixel) for pixel in large_viewport.to_pixels(_domain_polygon(drawing))]
    picture = Image.new("RGB", large_viewport.size, BACKGROUND_COLOR)
    if len(corners) > 2:
        ImageDraw.Draw(domain).polygon(corners, fill=255)
    picture.paste(_side_tints(drawing, viewport).resize(large_viewport.size, Image.Resampling.BILINEAR), (0, 0), domain)
    if len(corners) > 2:
        ImageDraw.Draw(picture).line([*corners, corners[0]], fill=GRID_LINE_COLOR, width=2)
    return picture


def side_of_boundary(boundary: Mesh, points: FloatArray) -> NDArray[np.int8]:
    """Return the side of directed segments on which each point `(N, 2)` lies: 1 left, -1 right, 0 without segments.

    The closest segment determines the side. If the closest point is a vertex of two segments, the segment with the
    larger component of the offset normal to it does: the line through the other one may have the point on its wrong
    side.

    Example:
        >>> line = Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]]))
        >>> side_of_boundary(line, np.array([[0.5, 1.0], [0.5, -1.0]])).tolist()
        [1, -1]
    """
    if len(boundary.faces) == 0:
        return np.zeros(len(points), dtype=np.int8)
    start, end = (boundary.vertices[boundary.faces[:, k]] for k in (0, 1))
    start, end = _subdivide(start, end, max(float(np.ptp(points, axis=0).max()) / 100, 1e-9))
    direction = end - start
    length = np.linalg.norm(direction, axis=1)
    direction = direction / np.where(length > 0, length, 1.0)[:, None]
    _, nearest = cKDTree((start + end) / 2).query(points, k=range(1, min(6, len(start)) + 1))
    distances, facings = zip(
        *(_distance_and_facing(points, start[rows], direction[rows], length[rows]) for rows in nearest.T), strict=True
    )
    distance = np.stack(distances)
    facing = np.stack(facings)
    is_closest = distance <= distance.min(0) * (1 + 1e-6) + 1e-12
    choice = np.where(is_closest, np.abs(facing), -1.0).argmax(0)
    return np.asarray(np.sign(facing[choice, np.arange(len(points))]), dtype=np.int8)


def _distance_and_facing(
    points: FloatArray, start: FloatArray, direction: FloatArray, length: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the distance of each point from its segment and the component of the offset normal to it, both `(N,)`.

    The offset starts at the closest point of the segment; its normal component is positive on the left.
    """
    x, y = (points - start).T
    direction_x, direction_y = direction.T
    along = (x * direction_x + y * direction_y).clip(0, length)
    offset_x = x - along * direction_x
    offset_y = y - along * direction_y
    return np.hypot(offset_x, offset_y), direction_x * offset_y - direction_y * offset_x


def _subdivide(start: FloatArray, end: FloatArray, max_length: float) -> tuple[FloatArray, FloatArray]:
    """Split segments into parts of at most `max_length`, so that the closest midpoint is on the closest segment."""
    counts = np.maximum(np.ceil(np.linalg.norm(end - start, axis=1) / max_length), 1).astype(int).clip(max=1000)
    rows = np.repeat(np.arange(len(start)), counts)
    part = np.concatenate([np.arange(count) for count in counts])[:, None]
    count = counts[rows][:, None]
    return start[rows] + (end - start)[rows] * part / count, start[rows] + (end - start)[rows] * (part + 1) / count


def _side_tints(drawing: Drawing, viewport: Viewport) -> Image.Image:
    """Return the tints of the two classes on a coarse grid over the full picture."""
    x, y = viewport.cell_centers(_CELL_PIXELS)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    boundary = drawing.layer("boundary")
    if boundary is not None and len(boundary.mesh.faces):
        side = side_of_boundary(boundary.mesh, grid)
    else:
        side = np.full(len(grid), _common_side(drawing.points), dtype=np.int8)
    tints = np.array([BACKGROUND_COLOR, tint(CLASS_COLORS[1], 0.24), tint(CLASS_COLORS[0], 0.24)], dtype=np.uint8)
    return Image.fromarray(tints[side].reshape(len(y), len(x), 3))


def _common_side(points: PointSet) -> int:
    """Return the side of the class that all points are predicted as, for a picture without a boundary; else 0."""
    classes = np.unique(points.predictions) if points.predictions is not None else np.zeros(0)
    return 0 if len(classes) != 1 else 1 if classes[0] == 1 else -1


def _domain_polygon(drawing: Drawing) -> FloatArray:
    """Return the vertices of the polygon in which the classifier was evaluated; without one, those of the box."""
    if drawing.domain_polygon is not None:
        return drawing.domain_polygon
    left, bottom = drawing.low
    right, top = drawing.high
    return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


def _draw_segments(
    draw: ImageDraw.ImageDraw, pixels: FloatArray, mesh: Mesh, color: tuple[int, int, int], width: int
) -> None:
    for segment in pixels[mesh.faces]:
        draw.line([tuple(segment[0]), tuple(segment[1])], fill=color, width=width)
