"""Robustness of the training points at the end of a run: distributions, and the points with extreme margins."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.runs.run import RunFolder
from dimple.stats.aggregate import comparison_column
from dimple.views.charts.distributions import distribution_charts, make_cdf_drawer
from dimple.views.charts.matplotlib_svg import render_svg
from dimple.views.content.labels import column_label
from dimple.views.report.tables import statistic_cell

Columns = dict[str, NDArray[Any]]
MAX_POINTS_PER_GROUP = 4
# The columns of the table of points, each with its null.
POINT_TABLE_COLUMNS = ("margin", "margin_unbounded", "margin_on", "margin_off", "offset", "confidence")


def summarize_robustness(run: RunFolder) -> dict[str, Any]:
    """Return the `charts` of the distributions at the last snapshot, and its extreme training points as `groups`."""
    table, units = run.read_table("points")
    train, tested = last_step_points(table)
    if "margin" in train:
        # In a run without bounds both are the same distance; one line is enough.
        train.pop("margin_unbounded", None)
    shown = train | tested
    charts = distribution_charts(shown, units)
    if "confidence" in shown:
        svg = render_svg(make_cdf_drawer(shown, ["confidence"], "probability"))
        charts.append({"title": "distribution of confidence", "svg": svg})
    return {"charts": charts, "unit": units.get("margin") or units.get("margin_unbounded", ""), **extreme_points(train)}


def last_step_points(points: Columns) -> tuple[Columns, Columns]:
    """Return the columns of the training points at the last step, and those of the test points as their comparison."""
    last = points["step"] == points["step"].max()
    train, test = ({n: v[last & (points["split"] == split)] for n, v in points.items()} for split in ("train", "test"))
    return train, {
        comparison_column(name): test[name] for name in ("margin", "confidence") if name in train and len(test["step"])
    }


def extreme_points(train: Columns) -> dict[str, Any]:
    """Return the correctly classified points with the smallest and the largest margins, as `heads` and `groups`.

    Each cell is made by `statistic_cell`; its null is empty where the table of points has none.

    Example:
        >>> found = extreme_points({name: np.array([1, 2]) for name in ("index", "label", "prediction", "margin")})
        >>> found["heads"], [one["value"] for one in found["groups"][0]["lines"][0]]
        (['point', 'class', 'margin'], ['1', '1', '1'])
    """
    name = next((name for name in ("margin", "margin_unbounded") if name in train), None)
    if name is None:
        return {"heads": [], "groups": []}
    right = np.flatnonzero((train["label"] == train["prediction"]) & np.isfinite(train[name]))
    ordered = right[np.argsort(train[name][right], kind="stable")]
    least = ordered[: min(MAX_POINTS_PER_GROUP, (len(ordered) + 1) // 2)]
    most = ordered[len(least) :][-MAX_POINTS_PER_GROUP:]
    columns = [column for column in POINT_TABLE_COLUMNS if column in train]
    groups = (("the least robust points", least), ("the most robust points", most))
    return {
        "heads": ["point", "class", *map(column_label, columns)],
        "groups": [
            {"title": title, "lines": [_point_cells(train, row, columns) for row in rows]} for title, rows in groups
        ],
    }


def _point_cells(train: Columns, row: int, columns: list[str]) -> list[dict[str, str]]:
    at = {name: values[row].item() for name, values in train.items() if values.dtype.kind in "fi"}
    return [statistic_cell(at, column) for column in ("index", "label", *columns)]
