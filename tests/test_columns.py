"""The table of columns: every column that a run or a measurement holds has its entry."""

import numpy as np
import pytest

from dimple.columns import COLUMNS, describe_column
from dimple.stats.aggregate import comparison_column


def test_every_entry_is_a_label_and_one_sentence() -> None:
    for name, entry in COLUMNS.items():
        assert entry.label and not entry.label.endswith("."), name
        assert (entry.meaning.endswith((".", ".)")) and entry.meaning[0].isupper()) or entry.meaning[0].isdigit(), name


@pytest.mark.parametrize("name", ["margin_dct_03", "margin_pca_0028", "margin_dct_03_null_low", "margin_on_ratio_null"])
def test_families_and_companions_have_a_meaning(name: str) -> None:
    assert describe_column(name).meaning


def test_comparisons_are_those_of_the_statistics() -> None:
    assert comparison_column("train_accuracy") == "train_majority_accuracy"
    assert comparison_column("margin_on") == "margin_on_null"
    assert describe_column("train_majority_accuracy").meaning == "What `train_accuracy` is compared with."
    assert np.all([describe_column(entry.comparison).meaning for entry in COLUMNS.values() if entry.comparison])
