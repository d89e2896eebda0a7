"""How robust the training points of a run are in the end: distributions beside their nulls, and the extreme points."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.runs.atomic_io import read_table
from dimple.runs.run import Run
from dimple.stats.aggregate import NULL
from dimple.views.charts.distributions import cumulative_shares, distribution_charts
from dimple.views.charts.matplotlib_svg import plot
from dimple.views.content.labels import words
from dimple.views.report.tables import cell

Columns = dict[str, NDArray[Any]]
SHOWN = 4
# What the table of points says of each, beside its null.
SAID = ("margin", "margin_any", "margin_on", "margin_off", "offset", "confidence")


def robustness(run: Run) -> dict[str, Any]:
    """The `charts` of the last snapshot's distributions and the table of its extreme training points, as `groups`."""
    table, units = read_table(run.path / "points.parquet")
    train, tested = at_the_end(table)
    if "margin" in train:
        # Both are the shortest way to the boundary; one line is enough.
        train.pop("margin_any", None)
    shown = train | tested
    charts = distribution_charts(shown, units)
    if "confidence" in shown:
        svg = plot(cumulative_shares(shown, ["confidence"], "probability"))
        charts.append({"title": "distribution of confidence", "svg": svg})
    return {"charts": charts, "unit": units.get("margin") or units.get("margin_any", ""), **extreme_points(train)}


def at_the_end(points: Columns) -> tuple[Columns, Columns]:
    """The training points at the last step; and what is the null of their margin and confidence, the test points'."""
    last = points["step"] == points["step"].max()
    train, test = ({n: v[last & (points["split"] == split)] for n, v in points.items()} for split in ("train", "test"))
    return train, {name + NULL: test[name] for name in ("margin", "confidence") if name in train and len(test["step"])}


def extreme_points(train: Columns) -> dict[str, Any]:
    """The correctly classified points with the least and the largest margins: `heads` of a table and its `groups`.

    Each cell is a figure and its null, which is empty where the table of points has none; see `cell`.

    Example:
        >>> found = extreme_points({name: np.array([1, 2]) for name in ("index", "label", "prediction", "margin")})
        >>> found["heads"], [one["value"] for one in found["groups"][0]["lines"][0]]
        (['point', 'class', 'margin'], ['1', '1', '1'])
    """
    name = next((name for name in ("margin", "margin_any") if name in train), None)
    if name is None:
        return {"heads": [], "groups": []}
    right = np.flatnonzero((train["label"] == train["prediction"]) & np.isfinite(train[name]))
    ordered = right[np.argsort(train[name][right], kind="stable")]
    least = ordered[: min(SHOWN, (len(ordered) + 1) // 2)]
    most = ordered[len(least) :][-SHOWN:]
    columns = [column for column in SAID if column in train]
    groups = (("the least robust points", least), ("the most robust points", most))
    return {
        "heads": ["point", "class", *map(words, columns)],
        "groups": [{"title": title, "lines": [_line(train, row, columns) for row in rows]} for title, rows in groups],
    }


def _line(train: Columns, row: int, columns: list[str]) -> list[dict[str, str]]:
    at = {name: values[row].item() for name, values in train.items() if values.dtype.kind in "fi"}
    return [cell(at, column) for column in ("index", "label", *columns)]
