"""The table of columns: every column that a run or a measurement holds has its entry."""

from pathlib import Path

import numpy as np
import pytest

from dimple.columns import COLUMNS, describe_column
from dimple.columns.page import columns_page
from dimple.stats.aggregate import comparison_column


def test_every_entry_has_label_unit_meaning_reading_and_source() -> None:
    for name, entry in COLUMNS.items():
        assert entry.label and not entry.label.endswith("."), name
        assert entry.unit and entry.source and not entry.source.endswith("."), name
        assert entry.meaning.endswith(".") and (entry.meaning[0].isupper() or entry.meaning.startswith("log")), name
        assert entry.meaning.count(". ") == 0 and entry.reading.endswith("."), name
        assert bool(entry.comparison) <= bool(entry.comparison_label), name


def test_the_page_of_the_columns_is_up_to_date_and_lists_all() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "columns.md").read_text()
    assert page == columns_page()
    assert all(f"| `{name}` |" in page for name in COLUMNS)


@pytest.mark.parametrize("name", ["margin_dct_03", "margin_pca_0028", "margin_dct_03_null_low", "margin_on_ratio_null"])
def test_families_and_companions_have_a_meaning(name: str) -> None:
    assert describe_column(name).meaning


def test_comparisons_are_those_of_the_statistics() -> None:
    assert comparison_column("train_accuracy") == "train_majority_accuracy"
    assert comparison_column("margin_on") == "margin_on_null"
    assert describe_column("train_majority_accuracy").meaning == "What `train_accuracy` is compared with."
    assert np.all([describe_column(entry.comparison).meaning for entry in COLUMNS.values() if entry.comparison])
