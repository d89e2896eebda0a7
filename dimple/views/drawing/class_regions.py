"""The regions of many classes in the plane: a hue a class, its name where there is room, hatched where no input is."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dimple.views.content.frame import Classes, Drawing
from dimple.views.content.viewport import Fit
from dimple.views.style.colors import INK, PAPER, class_colour, tint
from dimple.views.style.fonts import font

Rectangle = tuple[float, float, float, float]
# How much of a class's hue its region has, where there are inputs and where there are none.
INPUT, NO_INPUT = 0.6, 0.3
# Of the hatching, in pixels: from stripe to stripe, and how wide.
HATCH, STRIPE = 9, 1.6
# A part of a region smaller than this share of the picture gets no name of its own.
SMALL = 0.004
# Of a picture that names are placed on for views without one, in pixels.
PICTURE = 640


def ground(drawing: Drawing, classes: Classes, fit: Fit, times: int) -> Image.Image:
    """The regions as a picture of `fit.size`, where a pixel of the final picture has `times` to a side."""
    mine = _class_of_pixels(drawing, classes, fit)
    known = max(int(mine.max()) + 1, len(classes.names))
    full, pale = (
        np.array([*(tint(class_colour(k), strength) for k in range(known)), PAPER], dtype=np.uint8)
        for strength in (INPUT, NO_INPUT)
    )
    colours = full[mine]
    if classes.valid is not None:
        outside = ~_within(classes, fit)
        row, column = np.indices(mine.shape)
        stripe = (row + column) % round(HATCH * times) < STRIPE * times
        colours[outside] = pale[mine[outside]]
        colours[outside & stripe & (mine >= 0)] = PAPER
    return Image.fromarray(colours)


def _class_of_pixels(drawing: Drawing, classes: Classes, fit: Fit) -> NDArray[np.int64]:
    """The class at each pixel `(height, width)`, y downwards; -1 outside the box."""
    rows, columns = classes.regions.shape
    x, y = fit.places()
    low, high = np.array(drawing.low), np.array(drawing.high)
    column = np.floor((x - low[0]) / (high[0] - low[0]) * columns).astype(int)
    row = np.floor((y - low[1]) / (high[1] - low[1]) * rows).astype(int)
    inside = ((row >= 0) & (row < rows))[:, None] & ((column >= 0) & (column < columns))
    mine = classes.regions[np.ix_(row.clip(0, rows - 1), column.clip(0, columns - 1))]
    return np.where(inside, mine, -1)


def _within(classes: Classes, fit: Fit) -> NDArray[np.bool_]:
    """Which pixels are inputs."""
    mask = Image.new("1", fit.size, 0)
    if classes.valid is not None and len(classes.valid) > 2:
        ImageDraw.Draw(mask).polygon([tuple(place) for place in fit.pixels(classes.valid)], fill=1)
    return np.asarray(mask)


def write_names(
    picture: Image.Image, drawing: Drawing, classes: Classes, fit: Fit, size: int, taken: list[Rectangle]
) -> None:
    """Put the name of each class into every part of its region that has room for it.

    Args:
        size: of the letters in pixels.
        taken: left, top, right and bottom of what must stay readable.
    """
    pen, letters = ImageDraw.Draw(picture), font(size, bold=True)
    for x, y, name in name_places(drawing, classes, fit, size, taken):
        pen.text((x, y), name, INK, letters, anchor="mm", stroke_width=max(2, size // 6), stroke_fill=PAPER)


def name_places(
    drawing: Drawing, classes: Classes, fit: Fit, size: int, taken: list[Rectangle]
) -> list[tuple[float, float, str]]:
    """Where the middle of each name comes to stand: as far from the rim as can be where all of it fits."""
    # Here, because it takes a tenth of a second to load.
    from scipy import ndimage

    mine = _class_of_pixels(drawing, classes, fit)
    free = np.ones(mine.shape, dtype=bool)
    for left, top, right, bottom in taken:
        free[max(0, int(top)) : max(0, int(bottom) + 1), max(0, int(left)) : max(0, int(right) + 1)] = False
    letters, found = font(size, bold=True), []
    for label in np.unique(mine[mine >= 0]):
        name = classes.names[label]
        width = int(letters.getlength(name)) + size
        parts, count = ndimage.label(mine == label)
        for part in range(1, count + 1):
            here = parts == part
            if here.sum() < SMALL * here.size:
                continue
            here &= free
            fits = ndimage.minimum_filter(here, size=(round(1.5 * size), width), mode="constant", cval=False)
            if fits.any():
                depth = np.where(fits, ndimage.distance_transform_edt(np.pad(here, 1))[1:-1, 1:-1], -1.0)
                y, x = np.unravel_index(int(depth.argmax()), depth.shape)
                found.append((float(x), float(y), name))
    return found


def named_places(
    drawing: Drawing, classes: Classes, size: int, clear: Rectangle
) -> list[tuple[str, NDArray[np.float64]]]:
    """The name of each part of a region that has room for it, and the place of the plane `(2,)` where it stands.

    Args:
        size: of the letters, on a picture of the box that is `PICTURE` pixels wide or high.
        clear: how far to the left, the top, the right and the bottom of each point that picture stays clear of names.
    """
    fit = Fit.of(drawing, (PICTURE, PICTURE))
    left, top, right, bottom = clear
    taken = [(x - left, y - top, x + right, y + bottom) for x, y in fit.pixels(drawing.points.positions).tolist()]
    found = name_places(drawing, classes, fit, size, taken)
    return [(name, np.array([x, PICTURE - y]) / fit.scale + fit.corner) for x, y, name in found]


def scale_bar(picture: Image.Image, drawing: Drawing, fit: Fit, unit: str, size: int) -> Rectangle:
    """A bar of round length in the box's lower left corner, with its length in words; returns the place that it takes.

    Args:
        size: of the letters in pixels.
    """
    (left, bottom), (right, _) = fit.pixels(np.array([drawing.low, drawing.high])).tolist()
    length = round_length(0.28 * (right - left) / fit.scale)
    text, letters, pen = f"{length:g} [{unit}]", font(size), ImageDraw.Draw(picture)
    left, bottom, tick = left + 1.2 * size, bottom - 1.2 * size, 0.4 * size
    right = left + length * fit.scale
    end = max(right, left + letters.getlength(text))
    box = (left - 0.6 * size, bottom - 2.1 * size, end + 0.6 * size, bottom + 0.6 * size)
    pen.rounded_rectangle(box, radius=size / 3, fill=PAPER)
    bar = [(left, bottom - tick), (left, bottom), (right, bottom), (right, bottom - tick)]
    pen.line(bar, INK, max(1, size // 7))
    pen.text((left, bottom - 0.6 * size), text, INK, letters, anchor="ls")
    return box


def round_length(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above.

    Example:
        >>> round_length(37.0), round_length(0.5)
        (20.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(most) + 1e-9)
    return float(next(power * step for step in (5, 2, 1) if power * step <= most * (1 + 1e-9)))
