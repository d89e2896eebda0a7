"""Tests of summaries of tables, against numpy."""

import numpy as np
import pytest
import torch

from dimple.experiment.probing.tables import compute_ratio_change, quantile_table, summarize_steps
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


def test_the_change_of_a_ratio_has_a_verdict_where_boundary_points_were_found() -> None:
    infinite = np.full(3, np.inf)
    finite = np.full(3, 2.0)
    missing = {"margin_unbounded": infinite, "margin_on": infinite, "margin_off": infinite}
    found = {"margin_unbounded": finite, "margin_on": 1.5 * finite, "margin_off": finite}
    assert compute_ratio_change(missing, missing)["margin_on_ratio_change_verdict"] == "undefined"
    assert compute_ratio_change(found, found)["margin_on_ratio_change_verdict"] == "settled"
    row = compute_ratio_change(found, found | {"margin_on": 1.6 * finite})
    assert row["margin_on_ratio_change"] == pytest.approx(0.1 / 1.5)
    assert row["margin_on_ratio_change_verdict"] == "unsettled"
    assert row["margin_off_ratio_change_verdict"] == "settled"
