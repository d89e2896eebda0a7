"""The entry of a column: what it is, how to read it, and what it is compared with."""

import dataclasses
from typing import final

# Units of several columns.
DISTANCE = "input units, in the norm of the measurement"
L2 = "l2, input units"
FRACTION = "fraction"
YES_OR_NO = "yes or no; over samples, the fraction of yes"
# Sources of several columns.
DEFINITION = "by definition"
SHAMIR = "Shamir, Melamed, BenShmuel 2021"
XU = "Xu et al. 2023, Exploring and exploiting decision boundary dynamics"


@final
@dataclasses.dataclass(frozen=True)
class ColumnMeaning:
    """The meaning of a column.

    Attributes:
        label: a few words for tables and charts.
        unit: in words.
        meaning: one sentence: the quantity.
        reading: how to read it: what is large, what is small, what is chance.
        source: where it is from.
        comparison: the column of the values that it is compared with, where that is no null of random subspaces or
            permutations, such as the accuracy of always predicting the most frequent class.
        comparison_label: a few words for that comparison.
        null: one sentence: what its null is, where that is not the same quantity in random subspaces.
        short_label: for captions and legends of films, which have less space.
        is_exact: whether it is a count, a setting or a bound, which has no interval, and no statistic of samples.
    """

    label: str
    unit: str = ""
    meaning: str = ""
    reading: str = ""
    source: str = ""
    comparison: str = ""
    comparison_label: str = ""
    short_label: str = ""
    is_exact: bool = False
    null: str = ""

    @property
    def text(self) -> str:
        """The meaning and how to read it, as sentences.

        Example:
            >>> ColumnMeaning("margin", DISTANCE, "The distance.", "Large is robust.").text
            'The distance. Large is robust.'
        """
        return f"{self.meaning} {self.reading}".strip()
