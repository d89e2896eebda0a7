"""The card of a training point that somebody pointed at."""

import numpy as np

from dimple.views.drawing.info_panels import LINE
from dimple.views.window.picking import Picked, picked_card


def test_a_point_on_the_boundary_has_a_card_that_shares_nothing_out() -> None:
    here, step = np.zeros(3), np.array([0.3, 0.0, 0.0])
    on_it, off_it = (Picked(0, 1, 1, here, way, here, way, {"margin": float(way[0])}) for way in (here, step))
    # The share of a step of no length along the manifold is not defined, so its line is missing.
    assert picked_card(off_it).height - picked_card(on_it).height == LINE
