"""Columns of a table: which belong together, as curves over the steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.stats.aggregate import NULL
from dimple.views.content.frame import Curve
from dimple.views.content.labels import finite_or_nan, words


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """The numbers of several steps as columns, nan where one is missing; those that one step alone has are left out.

    Those of the last step come first, in its order: another one, such as the margin of the wrongly classified, may have
    ended before.

    Example:
        >>> columns_of([{"step": 0, "x": None}, {"step": 5, "x": 2.0}, {"step": 9, "x": 3.0, "y": 1.0}])
        {'step': array([0, 5, 9]), 'x': array([nan,  2.,  3.])}
        >>> columns_of([{"step": 0, "x": 4.0}, {"step": 5, "x": 2.0}, {"step": 9}])["x"]
        array([ 4.,  2., nan])
    """
    names = dict.fromkeys(
        name
        for row in (rows[-1], *rows)
        for name, value in row.items()
        if isinstance(value, int | float) and name != "samples"
    )
    columns = {
        name: np.array([np.nan if row.get(name) is None else row[name] for row in rows])
        for name in names
        if sum(row.get(name) is not None for row in rows) > 1
    }
    steps = np.array([row["step"] for row in rows], dtype=np.int64)
    return {"step": steps} | {name: values for name, values in columns.items() if name != "step"}


def curve_of(columns: Mapping[str, NDArray[Any]], column: str) -> Curve:
    """A column as a curve, with its null where there is one."""
    null = columns.get(column + NULL)
    return Curve(words(column), finite_or_nan(columns[column]), None if null is None else finite_or_nan(null))


def spans_decades(curves: Sequence[Curve]) -> bool:
    """Whether some sizes are far above others, so that a linear axis would hide most of a curve.

    Example:
        >>> spans_decades([Curve("loss", np.array([0.7, 0.001]))])
        True
    """
    values = np.concatenate([np.abs(curve.values[np.isfinite(curve.values)]) for curve in curves])
    values = values[values > 0]
    return len(values) > 0 and float(values.max()) > 20 * float(np.quantile(values, 0.1, method="lower"))
