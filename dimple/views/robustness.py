"""How robust the training points of a run are in the end: distributions beside their nulls, and the extreme points."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.runs.files import read_table
from dimple.runs.store import Run
from dimple.views.page import plot
from dimple.views.probe_report import cumulative_shares, distribution_charts
from dimple.views.wording import NULL, null_text, number, words

Columns = dict[str, NDArray[Any]]
SHOWN = 4
# What the table of points says of each, beside its null.
SAID = ("margin", "margin_any", "margin_on", "margin_off", "offset", "confidence")


def robustness(run: Run) -> dict[str, Any]:
    """The `charts` of the last snapshot's distributions and the table of its extreme training points, as `groups`.

    The null of margin and confidence are the same figures at test points, that of the others a random subspace.
    """
    table, units = read_table(run.path / "points.parquet")
    last = table["step"] == table["step"].max()
    train, test = ({n: v[last & (table["split"] == split)] for n, v in table.items()} for split in ("train", "test"))
    if "margin" in train:
        # Both are the shortest way to the boundary; one line is enough.
        train.pop("margin_any", None)
    shown = dict(train)
    shown |= {name + NULL: test[name] for name in ("margin", "confidence") if name in train and len(test["step"])}
    charts = distribution_charts(shown, units)
    if "confidence" in shown:
        source = plot(cumulative_shares(shown, ["confidence"], "confidence"), (6.2, 3.4))
        charts.append({"title": "distribution of confidence", "source": source})
    return {"charts": charts, "unit": units.get("margin") or units.get("margin_any", ""), **extreme_points(train)}


def extreme_points(train: Columns) -> dict[str, Any]:
    """The correctly classified points with the least and the largest margins: `heads` of a table and its `groups`.

    Each cell is a figure and its null, which is empty where the table of points has none.

    Example:
        >>> found = extreme_points({name: np.array([1, 2]) for name in ("index", "label", "prediction", "margin")})
        >>> found["heads"], found["groups"][0]["lines"]
        (['point', 'class', 'margin'], [[('1', ''), ('1', ''), ('1', '')]])
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


def _line(train: Columns, row: int, columns: list[str]) -> list[tuple[str, str]]:
    at = {name: values[row].item() for name, values in train.items() if values.dtype.kind in "fi"}
    figures = [(number(at[column]), null_text(at, column)) for column in columns]
    return [(str(at["index"]), ""), (str(at["label"]), ""), *figures]
