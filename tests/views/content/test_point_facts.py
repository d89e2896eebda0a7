"""What is said of one training point is what the tables say of it."""

import numpy as np

from dimple.views.content.point_facts import figures_of


def test_the_null_of_a_margin_is_the_lower_median_of_the_unseen_points_as_in_the_metrics() -> None:
    points = {
        "step": np.array([4] * 6 + [8]),
        "split": np.array(["train", "train", "test", "test", "test", "test", "test"]),
        "index": np.array([0, 1, 0, 1, 2, 3, 0]),
        "margin": np.array([0.5, 0.7, -0.1, 0.2, np.inf, 0.6, 9.0]),
    }
    found = figures_of(points, 4, 1)
    assert (found["margin"], found["margin_null"]) == (0.7, 0.2)
    assert figures_of(points, 8, 1) == {}
