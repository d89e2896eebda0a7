"""Tests of summaries of tables, against numpy."""

import numpy as np
import pytest
import torch

from dimple.experiment.probing.tables import compute_changes, quantile_table, summarize_steps
from dimple.tensors import generator

UNITS = {"step": "updates", "margin": "l2, input units"}


@pytest.mark.parametrize("count", range(1, 10))
def test_the_median_of_the_quantiles_is_that_of_the_statistics(count: int) -> None:
    margin = torch.rand(count, generator=generator(count, "margins")).double().numpy()
    table = {
        "step": np.zeros(count, dtype=np.int64),
        "split": np.full(count, "test"),
        "label": np.zeros(count, dtype=np.int64),
        "correct": np.ones(count, dtype=np.bool_),
        "margin": margin,
    }
    columns, _ = quantile_table(table, UNITS)
    (row,) = summarize_steps([table], UNITS)
    assert columns["q50"][0] == row["margin"] == np.quantile(margin, 0.5, method="lower")
    for column, level in (("q05", 0.05), ("q25", 0.25), ("q75", 0.75), ("q95", 0.95)):
        assert columns[column][0] in [np.quantile(margin, level, method=method) for method in ("lower", "higher")]


def test_the_change_is_that_of_the_medians_of_a_statistic_and_of_a_draw_of_its_null() -> None:
    finite = np.full(3, 2.0)
    table = {"margin_on_ratio": 1.5 * finite, "margin_on_ratio_draws": np.stack([finite, 9 * finite], axis=1)}
    refined = {"margin_on_ratio": 1.6 * finite, "margin_on_ratio_draws": finite[:, None] / 2}
    assert compute_changes(table, refined, {}) == {
        "margin_on_ratio_change": pytest.approx(0.1 / 1.5),
        "margin_on_ratio_null_change": -0.5,
    }
    missing = compute_changes(table, refined | {"margin_on_ratio": np.full(3, np.inf)}, {})
    assert np.isnan(missing["margin_on_ratio_change"])
