"""One meaning a colour, in every view: blue is class 0, orange class 1, grey the manifold, pale the boundary on it."""

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

# Okabe and Ito's set and three more, all ten told apart under every common colour blindness. Shapes repeat the class
# for black and white.
CLASSES: tuple[Colour, ...] = (
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
SHAPES = ("circle", "diamond", "square", "triangle")
PAPER: Colour = (252, 251, 248)
INK: Colour = (28, 30, 33)
MUTED: Colour = (112, 113, 116)
RULE: Colour = (205, 202, 196)
MANIFOLD: Colour = (120, 120, 122)
ON_MANIFOLD: Colour = (247, 244, 237)
UNKNOWN: Colour = (190, 190, 190)
# A step to the boundary is ink, its parts along and off the manifold have hues that no class of two has.
ALONG: Colour = CLASSES[2]
OFF: Colour = CLASSES[3]
# From little to much, even in lightness, through hues that stand for no class.
SEQUENCE: tuple[Colour, ...] = (ON_MANIFOLD, (233, 190, 205), (196, 120, 180), (128, 70, 150), (58, 26, 92))


def class_colour(label: int) -> Colour:
    """The colour of a class; the set repeats after ten."""
    return CLASSES[label % len(CLASSES)]


def class_shape(label: int) -> str:
    """The marker of a class; the set repeats after four."""
    return SHAPES[label % len(SHAPES)]


def tint(colour: Colour, strength: float) -> Colour:
    """`colour` mixed into the paper: strength 0 is paper, 1 the colour itself.

    Example:
        >>> tint((0, 0, 0), 0.0) == PAPER
        True
    """
    mixed = [round(p + (c - p) * strength) for p, c in zip(PAPER, colour, strict=True)]
    return (mixed[0], mixed[1], mixed[2])


def relief_colours(relief: NDArray[np.float64], scale: float) -> NDArray[np.uint8]:
    """The colours `(V, 3)` of a boundary whose relief is `(V,)`: a diverging map, centred on zero.

    Blue where the manifold beneath the boundary is class 0, orange where it is class 1, pale where the two touch.
    Full colour is reached at `scale`. The power below one lets shallow dimples show.

    Example:
        >>> relief_colours(np.array([-1.0, 0.0, 1.0]), 1.0).tolist()
        [[0, 114, 178], [247, 244, 237], [213, 94, 0]]
    """
    depth = np.clip(relief / scale, -1.0, 1.0)[:, None]
    ends = np.where(depth > 0, np.array(CLASSES[1]), np.array(CLASSES[0]))
    weight = np.abs(depth) ** 0.8
    return np.asarray(np.rint((1 - weight) * np.array(ON_MANIFOLD) + weight * ends), dtype=np.uint8)


def sequential_colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The colours `(V, 3)` of shares `(V,)` of a range, pale at 0 and below, dark violet at 1 and above.

    Example:
        >>> sequential_colours(np.array([-1.0, 0.0, 1.0])).tolist()
        [[247, 244, 237], [247, 244, 237], [58, 26, 92]]
    """
    stops = np.linspace(0.0, 1.0, len(SEQUENCE))
    channels = [np.interp(shares, stops, channel) for channel in zip(*SEQUENCE, strict=True)]
    return np.asarray(np.rint(np.stack(channels, axis=1)), dtype=np.uint8)


def hexadecimal(colour: Colour) -> str:
    """`#rrggbb`, as style sheets and matplotlib take it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
