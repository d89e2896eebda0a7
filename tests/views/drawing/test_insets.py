"""Insets cover no point, no other inset and no border of the picture while there is enough space."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dimple.views.content.frame import PointSet
from dimple.views.drawing.insets import place_insets

SIZE = (640, 480)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(60, 580), st.integers(60, 420)), min_size=1, max_size=4, unique=True))
def test_insets_cover_neither_each_other_nor_points(pixels: list[tuple[int, int]]) -> None:
    count = len(pixels)
    scale_bar = (10.0, 430.0, 120.0, 470.0)
    images = (np.zeros((8, 8, 3), dtype=np.uint8),) * count
    points = PointSet(np.zeros((count, 2)), np.arange(count), None, images, ("3: cat",) * count)
    insets = place_insets(points, np.array(pixels, dtype=np.float64), SIZE, 40, [scale_bar])
    rectangles = [inset.rectangle for inset in insets]
    for k, (left, top, right, bottom) in enumerate(rectangles):
        assert left >= 0 and top >= 0 and right <= SIZE[0] and bottom <= SIZE[1]
        assert not overlap(rectangles[k], scale_bar)
        assert not any(overlap(rectangles[k], other) for other in rectangles[:k])
        assert not any(left < x < right and top < y < bottom for x, y in pixels)
        assert insets[k].position == pixels[k]


def test_points_without_images_have_no_insets() -> None:
    assert place_insets(PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64)), np.zeros((1, 2)), SIZE, 40) == []
