"""What a run measured at one of its training points, beside chance, as lines of a card."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from dimple.stats.aggregate import NULL, median
from dimple.views.content.frame import Fact
from dimple.views.content.labels import number

LENGTHS = "lengths are l2 distances between inputs"
# Columns of points.parquet that have a null of their own, and how they are called beside a point.
COMPARED = {
    "margin_section": "margin in the section",
    "margin_on": "margin along the manifold only",
    "margin_off": "margin off the manifold only",
    "gradient_off_share": "gradient off the manifold, share",
}


def figures_of(points: Mapping[str, NDArray[Any]], step: int, index: int) -> dict[str, float]:
    """The figures of a training point in a snapshot; as the null of its margin the median of the unseen points.

    Args:
        points: the columns of points.parquet.
        index: the row of the training points.
    """
    if not points:
        return {}
    at = points["step"] == step
    train = at & (points["split"] == "train") & (points["index"] == index)
    if not train.any():
        return {}
    row = int(train.argmax())
    numbers = {name: float(values[row]) for name, values in points.items() if name != "split"}
    test = at & (points["split"] == "test")
    if "margin" in numbers and test.any():
        numbers["margin" + NULL] = median(points["margin"][test])
    return numbers


def margin_fact(figures: Mapping[str, float]) -> Fact:
    """The margin beside that of unseen points."""
    return _fact(figures, "margin", "margin (null: unseen points)" if "margin" + NULL in figures else "margin")


def share_fact(figures: Mapping[str, float], share: float) -> Fact:
    """The share of the squared length of a step that lies along the manifold, beside that of a random direction."""
    off = figures.get("gradient_off_share_null")
    null = figures.get("on_share_null", None if off is None else 1 - off)
    return Fact("share along, of the square", number(share), "" if null is None else number(null))


def compared_facts(figures: Mapping[str, float]) -> list[Fact]:
    """What else was measured there and has a null."""
    return [_fact(figures, column, name) for column, name in COMPARED.items() if column in figures]


def _fact(figures: Mapping[str, float], column: str, name: str) -> Fact:
    null = number(figures[column + NULL]) if column + NULL in figures else ""
    return Fact(name, number(figures[column]), null)
