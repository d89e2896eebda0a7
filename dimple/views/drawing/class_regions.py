"""Regions of many classes in the plane: colored by class, with names, and hatched where the input is not valid."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dimple.views.content.frame import ClassRegions, Drawing
from dimple.views.content.viewport import Viewport
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, class_color, tint
from dimple.views.style.fonts import load_font

Rectangle = tuple[float, float, float, float]
# Strength of the class color in a region, for valid and for invalid inputs.
VALID_TINT_STRENGTH = 0.6
INVALID_TINT_STRENGTH = 0.3
# Distance between the stripes of the hatching, and their width, in pixels.
HATCH_SPACING = 9
STRIPE_WIDTH = 1.6
# A connected part of a region that is smaller than this fraction of the picture gets no name.
MIN_NAMED_FRACTION = 0.004
# Side of the picture, in pixels, on which names are placed for views that do not draw a picture of the plane.
NAME_IMAGE_SIZE = 640


def draw_class_regions(
    drawing: Drawing, class_regions: ClassRegions, viewport: Viewport, oversampling: int
) -> Image.Image:
    """Return the regions as a picture of the size of the viewport.

    Args:
        drawing: the drawing, whose box the regions fill.
        class_regions: the regions.
        viewport: position of the box on the picture.
        oversampling: pixels of this picture per pixel of the final picture, along each side.
    """
    labels = _pixel_classes(drawing, class_regions, viewport)
    num_classes = max(int(labels.max()) + 1, len(class_regions.class_names))
    # The last color is that of the label -1.
    full, pale = (
        np.array([*(tint(class_color(k), strength) for k in range(num_classes)), BACKGROUND_COLOR], dtype=np.uint8)
        for strength in (VALID_TINT_STRENGTH, INVALID_TINT_STRENGTH)
    )
    colors = full[labels]
    if class_regions.valid_vertices is not None:
        is_invalid = ~_valid_pixels(class_regions, viewport)
        row, column = np.indices(labels.shape)
        stripe = (row + column) % round(HATCH_SPACING * oversampling) < STRIPE_WIDTH * oversampling
        colors[is_invalid] = pale[labels[is_invalid]]
        colors[is_invalid & stripe & (labels >= 0)] = BACKGROUND_COLOR
    return Image.fromarray(colors)


def _pixel_classes(drawing: Drawing, class_regions: ClassRegions, viewport: Viewport) -> NDArray[np.int64]:
    """Return the class number at each pixel `(height, width)`, y downwards; -1 outside the box."""
    rows, columns = class_regions.label_grid.shape
    x, y = viewport.cell_centers()
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    column = np.floor((x - low[0]) / (high[0] - low[0]) * columns).astype(int)
    row = np.floor((y - low[1]) / (high[1] - low[1]) * rows).astype(int)
    inside = ((row >= 0) & (row < rows))[:, None] & ((column >= 0) & (column < columns))
    labels = class_regions.label_grid[np.ix_(row.clip(0, rows - 1), column.clip(0, columns - 1))]
    return np.where(inside, labels, -1)


def _valid_pixels(class_regions: ClassRegions, viewport: Viewport) -> NDArray[np.bool_]:
    """Return the mask `(height, width)` of the pixels at which the input is valid."""
    mask = Image.new("1", viewport.size, 0)
    if class_regions.valid_vertices is not None and len(class_regions.valid_vertices) > 2:
        pixels = viewport.to_pixels(class_regions.valid_vertices)
        ImageDraw.Draw(mask).polygon([tuple(pixel) for pixel in pixels], fill=1)
    return np.asarray(mask)


def write_class_names(
    image: Image.Image,
    drawing: Drawing,
    class_regions: ClassRegions,
    viewport: Viewport,
    size: int,
    occupied: list[Rectangle],
) -> None:
    """Write the name of each class into all parts of its region that are large enough.

    Args:
        image: the picture to write on.
        drawing: the drawing, whose box the regions fill.
        class_regions: the regions.
        viewport: position of the box on the picture.
        size: font size in pixels.
        occupied: left, top, right and bottom of the rectangles that names must not cover.
    """
    draw = ImageDraw.Draw(image)
    font = load_font(size, bold=True)
    for x, y, name in name_pixels(drawing, class_regions, viewport, size, occupied):
        draw.text(
            (x, y), name, FOREGROUND_COLOR, font, anchor="mm", stroke_width=max(2, size // 6),
            stroke_fill=BACKGROUND_COLOR,
        )  # fmt: skip


def name_pixels(
    drawing: Drawing, class_regions: ClassRegions, viewport: Viewport, size: int, occupied: list[Rectangle]
) -> list[tuple[float, float, str]]:
    """Return x, y and name for each connected part of a region in which the name fits.

    The center of a name is at the pixel farthest from the border of the part, among those at which all of it fits. The
    parameters are those of `write_class_names`.
    """
    # Imported here because it takes a tenth of a second to load.
    from scipy import ndimage

    labels = _pixel_classes(drawing, class_regions, viewport)
    free = np.ones(labels.shape, dtype=bool)
    for left, top, right, bottom in occupied:
        free[max(0, int(top)) : max(0, int(bottom) + 1), max(0, int(left)) : max(0, int(right) + 1)] = False
    font = load_font(size, bold=True)
    placed_names = []
    for label in np.unique(labels[labels >= 0]):
        name = class_regions.class_names[label]
        width = int(font.getlength(name)) + size
        components, count = ndimage.label(labels == label)
        for component in range(1, count + 1):
            mask = components == component
            if mask.sum() < MIN_NAMED_FRACTION * mask.size:
                continue
            mask &= free
            fits = ndimage.minimum_filter(mask, size=(round(1.5 * size), width), mode="constant", cval=False)
            if fits.any():
                distance = np.where(fits, ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1], -1.0)
                y, x = np.unravel_index(int(distance.argmax()), distance.shape)
                placed_names.append((float(x), float(y), name))
    return placed_names


def name_positions(
    drawing: Drawing, class_regions: ClassRegions, size: int, clearance: Rectangle
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the names of `name_pixels`, each with a position in the plane `(2,)`, for views that have no picture.

    Args:
        drawing: the drawing, whose box the regions fill.
        class_regions: the regions.
        size: font size on a picture of the box whose longer side has `NAME_IMAGE_SIZE` pixels.
        clearance: free space to the left, top, right and bottom of each point on that picture, in pixels.
    """
    viewport = Viewport.from_drawing(drawing, (NAME_IMAGE_SIZE, NAME_IMAGE_SIZE))
    left, top, right, bottom = clearance
    pixels = viewport.to_pixels(drawing.points.positions).tolist()
    occupied = [(x - left, y - top, x + right, y + bottom) for x, y in pixels]
    return [
        (name, np.array([x, NAME_IMAGE_SIZE - y]) / viewport.pixels_per_unit + viewport.lower_left)
        for x, y, name in name_pixels(drawing, class_regions, viewport, size, occupied)
    ]


def draw_scale_bar(image: Image.Image, drawing: Drawing, viewport: Viewport, unit: str, size: int) -> Rectangle:
    """Draw a bar of round length with its label in the lower left corner of the box; return the rectangle it covers.

    Args:
        image: the picture to draw on.
        drawing: the drawing.
        viewport: position of the box on the picture.
        unit: unit of lengths in the drawing.
        size: font size in pixels.
    """
    (box_left, box_bottom), (box_right, _) = viewport.to_pixels(np.array([drawing.low, drawing.high])).tolist()
    length = round_length(0.28 * (box_right - box_left) / viewport.pixels_per_unit)
    text = f"{length:g} [{unit}]"
    font = load_font(size)
    draw = ImageDraw.Draw(image)
    left = box_left + 1.2 * size
    bottom = box_bottom - 1.2 * size
    tick = 0.4 * size
    right = left + length * viewport.pixels_per_unit
    end = max(right, left + font.getlength(text))
    background = (left - 0.6 * size, bottom - 2.1 * size, end + 0.6 * size, bottom + 0.6 * size)
    draw.rounded_rectangle(background, radius=size / 3, fill=BACKGROUND_COLOR)
    bar = [(left, bottom - tick), (left, bottom), (right, bottom), (right, bottom - tick)]
    draw.line(bar, FOREGROUND_COLOR, max(1, size // 7))
    draw.text((left, bottom - 0.6 * size), text, FOREGROUND_COLOR, font, anchor="ls")
    return background


def round_length(max_length: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length.

    Example:
        >>> round_length(37.0), round_length(0.5)
        (20.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(max_length) + 1e-9)
    return float(next(power * step for step in (5, 2, 1) if power * step <= max_length * (1 + 1e-9)))
