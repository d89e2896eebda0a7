"""The quantities of a training point are those of the tables."""

import numpy as np

from dimple.views.content.point_facts import point_statistics


def test_a_margin_is_compared_with_the_lower_median_of_the_test_points_as_in_the_metrics() -> None:
    points = {
        "step": np.array([4] * 6 + [8]),
        "split": np.array(["train", "train", "test", "test", "test", "test", "test"]),
        "index": np.array([0, 1, 0, 1, 2, 3, 0]),
        "margin": np.array([0.5, 0.7, -0.1, 0.2, np.inf, 0.6, 9.0]),
    }
    statistics = point_statistics(points, 4, 1)
    assert (statistics["margin"], statistics["margin_test"]) == (0.7, 0.2)
    assert point_statistics(points, 8, 1) == {}
