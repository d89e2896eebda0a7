"""The info panel of a picked training point."""

import numpy as np

from dimple.views.drawing.info_panels import LINE_HEIGHT
from dimple.views.window.picking import PickedPoint, draw_picked_point


def test_a_point_on_the_boundary_has_no_on_manifold_fraction() -> None:
    position = np.zeros(3)
    on_boundary, off_boundary = (
        PickedPoint(0, 1, 1, position, step, position, step, {"margin": float(step[0])})
        for step in (position, np.array([0.3, 0.0, 0.0]))
    )
    # The on-manifold fraction of a step of length 0 is undefined, so its line is missing.
    assert draw_picked_point(off_boundary).height - draw_picked_point(on_boundary).height == LINE_HEIGHT
