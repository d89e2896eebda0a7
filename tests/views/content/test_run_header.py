"""The texts at the head of a run: lower bounds, dates and what a fall is made of."""

import math
from typing import Any

import numpy as np

from dimple.views.charts.figures import FigureSource
from dimple.views.content.run_header import describe_conditions, describe_fall, describe_phases

FALL = {
    "first_step": 20, "last_step": 40, "translation": [0.04, 0.01], "tilt": [0.05, 0.02], "angle": [50.0, 12.0],
    "angle_null": 60.0, "translation_fraction": 0.5,
}  # fmt: skip


def summary_of(**changes: Any) -> dict[str, Any]:
    return {"starts_beyond_limit": True, "final": {"search_limit": 0.3}, "fall": FALL | changes, "cling_step": 20}


def test_a_fall_is_split_only_where_its_distances_are_known() -> None:
    assert describe_fall(summary_of()).startswith(
        "Step 20 is the first at which all points have a boundary within 0.3, the limit of the search. From then until "
        "step 40, the fall is 50 % translation"
    )
    unknown = describe_fall(summary_of(translation=[math.nan, 0.01], tilt=[math.nan, 0.02], translation_fraction=None))
    assert unknown.startswith("How much of the fall until step 40 is translation is not decided, because some points")
    assert "%" not in unknown and "within 0.3, the limit of the search" in unknown
    # Files of a run hold null for a number that is not finite; an earlier run holds distances cut at the limit.
    assert describe_fall(summary_of(translation=[None, 0.01], tilt=[None, 0.02])) == unknown
    assert describe_fall({"fall": FALL}) == ""


def test_a_date_from_a_lower_bound_is_the_latest() -> None:
    assert describe_phases(summary_of(), [0, 20, 40])[0]["step"] == "20 at the latest"
    assert describe_phases(summary_of() | {"starts_beyond_limit": False}, [0, 20, 40])[0]["step"] == "20"


def test_a_condition_marks_a_lower_bound_and_tells_its_value_from_its_threshold() -> None:
    rows = [
        {"statement": "distance", "value": 0.3, "threshold": 0.0, "met": True, "is_lower_bound": True},
        {"statement": "fraction", "value": 0.98002, "threshold": 0.98041, "met": None},
        {"statement": "snapshots", "value": 1.0, "threshold": 1.0, "met": True},
        {"statement": "nothing", "value": None, "threshold": 0.5, "met": None},
    ]
    texts = [(row["value"], row["threshold"]) for row in describe_conditions({"conditions": rows})]
    assert texts == [
        ("\N{GREATER-THAN OR EQUAL TO} 0.3", "at least 0"),
        ("0.98", "at least 0.9804"),
        ("1", "at least 1"),
        ("unknown", "at least 0.5"),
    ]


def test_the_data_of_a_figure_say_where_a_distance_is_a_lower_bound() -> None:
    columns = {"step": np.arange(3), "boundary_distance": np.array([0.3, 0.2, 0.1])}
    columns["boundary_distance_found"] = np.array([0.0, 0.5, 1.0])
    figure = FigureSource(columns, {"boundary_distance": "l2, input units"}).figure(["boundary_distance"])
    assert list(figure.data["boundary_distance_found"]) == [0.0, 0.5, 1.0]
