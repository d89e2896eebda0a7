"""The axes of space as a camera sees them, with a bar of round length, as a small picture."""

import math

import numpy as np
from PIL import Image, ImageDraw

from dimple.views.content.camera import VIEW_ANGLE, Camera
from dimple.views.drawing.class_regions import round_length
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR
from dimple.views.style.fonts import load_font

# Pixels at scale 1.
AXIS_LENGTH = 24
TEXT_SIZE = 12
MARGIN = 8
BACKGROUND_ALPHA = 225
# The bar is at most this fraction of the height of the view.
MAX_BAR_FRACTION = 0.16
# Axes that point at the viewer, shorter than this fraction of their length, have no name.
MIN_NAMED_FRACTION = 0.3
AXIS_NAMES = "xyz"


def scale_bar(camera: Camera, height: int) -> tuple[float, float]:
    """Return a round length, and how many pixels it has at the point in the middle of a view of this height."""
    unit_pixels = height / 2 / math.tan(math.radians(VIEW_ANGLE / 2))
    unit_pixels /= float(np.linalg.norm(camera.focal_point - camera.position))
    length = round_length(MAX_BAR_FRACTION * height / unit_pixels)
    return length, length * unit_pixels


def draw_axes(camera: Camera, height: int, unit: str, scale: int = 1) -> Image.Image:
    """Draw the directions of x, y and z, and beside them a bar with its length.

    The bar has this length at the point in the middle of the view; what is nearer appears larger.

    Args:
        camera: of the view.
        height: of the view, in pixels of the picture.
        unit: of lengths in the view.
        scale: pixels of the picture for one of the window.
    """
    length, bar = scale_bar(camera, height)
    text = f"{length:g} [{unit}]"
    font = load_font(TEXT_SIZE * scale)
    side = 2 * (AXIS_LENGTH + TEXT_SIZE) * scale
    width = side + math.ceil(max(bar, font.getlength(text))) + 2 * MARGIN * scale
    image = Image.new("RGBA", (width, side), (*BACKGROUND_COLOR, BACKGROUND_ALPHA))
    draw = ImageDraw.Draw(image)
    right = np.cross(camera.forward, camera.up)
    right /= np.linalg.norm(right)
    up = np.cross(right, camera.forward)
    # The axes that point away from the viewer come first, so that the others are drawn over them.
    for axis in np.argsort(-camera.forward):
        tip = np.array([right[axis], -up[axis]])
        end = side / 2 + AXIS_LENGTH * scale * tip
        draw.line([(side / 2, side / 2), tuple(end.tolist())], FOREGROUND_COLOR, max(1, round(1.5 * scale)))
        if np.linalg.norm(tip) > MIN_NAMED_FRACTION:
            name_at = end + 0.7 * TEXT_SIZE * scale * tip / np.linalg.norm(tip)
            draw.text(tuple(name_at.tolist()), AXIS_NAMES[axis], FOREGROUND_COLOR, font, anchor="mm")
    left = side + MARGIN * scale
    base = side - 1.5 * MARGIN * scale
    tick = 5 * scale
    corners = [(left, base - tick), (left, base), (left + bar, base), (left + bar, base - tick)]
    draw.line(corners, FOREGROUND_COLOR, max(1, round(1.5 * scale)))
    draw.text((left + 3 * scale, base - 4 * scale), text, FOREGROUND_COLOR, font, anchor="ls")
    return image
