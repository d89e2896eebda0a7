"""Colors of all views: blue for class 0, orange for class 1, gray for the manifold."""

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

# The palette of Okabe and Ito with three more colors. All ten are distinguishable with every common color blindness.
# The shape of a marker shows the class as well, for black and white.
CLASS_COLORS: tuple[Color, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (230, 159, 0),
    (120, 94, 40),
    (90, 90, 90),
    (240, 228, 66),
    (60, 16, 72),
)
MARKER_SHAPES = ("circle", "diamond", "square", "triangle")
BACKGROUND_COLOR: Color = (252, 251, 248)
FOREGROUND_COLOR: Color = (28, 30, 33)
MUTED_COLOR: Color = (112, 113, 116)
GRID_LINE_COLOR: Color = (205, 202, 196)
MANIFOLD_COLOR: Color = (120, 120, 122)
ZERO_DEPTH_COLOR: Color = (247, 244, 237)
MISSING_VALUE_COLOR: Color = (190, 190, 190)
# Colors of the two parts of a perturbation; neither is the color of class 0 or class 1.
ON_MANIFOLD_COLOR: Color = CLASS_COLORS[2]
OFF_MANIFOLD_COLOR: Color = CLASS_COLORS[3]
# From small to large values, with evenly decreasing lightness and hues that belong to neither class 0 nor class 1.
SEQUENTIAL_COLORS: tuple[Color, ...] = (
    ZERO_DEPTH_COLOR,
    (233, 190, 205),
    (196, 120, 180),
    (128, 70, 150),
    (58, 26, 92),
)


def class_color(label: int) -> Color:
    """Return the color of a class; the colors repeat after ten classes."""
    return CLASS_COLORS[label % len(CLASS_COLORS)]


def class_shape(label: int) -> str:
    """Return the shape of the marker of a class; the shapes repeat after four classes."""
    return MARKER_SHAPES[label % len(MARKER_SHAPES)]


def tint(color: Color, strength: float) -> Color:
    """Return a mixture of a color with the background: at strength 0 the background, at strength 1 the color.

    Example:
        >>> tint((0, 0, 0), 0.0) == BACKGROUND_COLOR
        True
    """
    mixed = [round(p + (c - p) * strength) for p, c in zip(BACKGROUND_COLOR, color, strict=True)]
    return (mixed[0], mixed[1], mixed[2])


def depth_colors(manifold_depth: NDArray[np.float64], depth_scale: float) -> NDArray[np.uint8]:
    """Return the colors `(V, 3)` of depths of the manifold `(V,)` on a diverging map, centered at zero.

    The color is blue where the manifold is in class 0, orange where it is in class 1, and pale where it touches the
    boundary. It is full at `depth_scale` and beyond. An exponent below one keeps shallow dimples visible.

    Example:
        >>> depth_colors(np.array([-1.0, 0.0, 1.0]), 1.0).tolist()
        [[0, 114, 178], [247, 244, 237], [213, 94, 0]]
    """
    depth = np.clip(manifold_depth / depth_scale, -1.0, 1.0)[:, None]
    ends = np.where(depth > 0, np.array(CLASS_COLORS[1]), np.array(CLASS_COLORS[0]))
    weight = np.abs(depth) ** 0.8
    return np.asarray(np.rint((1 - weight) * np.array(ZERO_DEPTH_COLOR) + weight * ends), dtype=np.uint8)


def sequential_colors(fractions: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the colors `(V, 3)` of fractions `(V,)` of a range, pale at 0 and below, dark violet at 1 and above.

    Example:
        >>> sequential_colors(np.array([-1.0, 0.0, 1.0])).tolist()
        [[247, 244, 237], [247, 244, 237], [58, 26, 92]]
    """
    stops = np.linspace(0.0, 1.0, len(SEQUENTIAL_COLORS))
    channels = [np.interp(fractions, stops, channel) for channel in zip(*SEQUENTIAL_COLORS, strict=True)]
    return np.asarray(np.rint(np.stack(channels, axis=1)), dtype=np.uint8)


def to_hex(color: Color) -> str:
    """Return a color in the form `#rrggbb`, for style sheets and matplotlib."""
    return "#{:02x}{:02x}{:02x}".format(*color)
