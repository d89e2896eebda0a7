"""Images beside their places: none covers a place, another one, or the rim, while there is room."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dimple.views.content.frame import PointSet
from dimple.views.drawing.insets import insets

SIZE = (640, 480)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(60, 580), st.integers(60, 420)), min_size=1, max_size=4, unique=True))
def test_insets_keep_clear_of_each_other_and_of_all_places(places: list[tuple[int, int]]) -> None:
    count, bar = len(places), (10.0, 430.0, 120.0, 470.0)
    pixels = (np.zeros((8, 8, 3), dtype=np.uint8),) * count
    points = PointSet(np.zeros((count, 2)), np.arange(count), None, pixels, ("3: cat",) * count)
    found = insets(points, np.array(places, dtype=np.float64), SIZE, 40, [bar])
    boxes = [inset.box for inset in found]
    for k, box in enumerate(boxes):
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= SIZE[0] and box[3] <= SIZE[1]
        assert not overlap(box, bar)
        assert not any(overlap(box, other) for other in boxes[:k])
        assert not any(box[0] < x < box[2] and box[1] < y < box[3] for x, y in places)
        assert found[k].place == places[k]


def test_points_without_pictures_have_no_insets() -> None:
    assert insets(PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64)), np.zeros((1, 2)), SIZE, 40) == []
