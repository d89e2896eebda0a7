"""What tables sum up to, against numpy."""

import numpy as np
import pytest
import torch

from dimple.experiment.probing.tables import quantile_table, search_change, step_rows
from dimple.tensors import generator

UNITS = {"step": "updates", "margin": "l2, input units"}


@pytest.mark.parametrize("count", range(1, 10))
def test_the_median_of_the_quantiles_is_that_of_the_figures(count: int) -> None:
    margin = torch.rand(count, generator=generator(count, "margins")).double().numpy()
    table = {
        "step": np.zeros(count, dtype=np.int64),
        "split": np.full(count, "test"),
        "label": np.zeros(count, dtype=np.int64),
        "correct": np.ones(count, dtype=np.bool_),
        "margin": margin,
    }
    columns, _ = quantile_table(table, UNITS)
    (row,) = step_rows([table], UNITS)
    assert columns["q50"][0] == row["margin"] == np.quantile(margin, 0.5, method="lower")
    for end, share in (("q05", 0.05), ("q25", 0.25), ("q75", 0.75), ("q95", 0.95)):
        near = np.quantile(margin, share, method="lower"), np.quantile(margin, share, method="higher")
        assert columns[end][0] in near


def test_where_nothing_was_crossed_more_search_decides_nothing() -> None:
    none, some = np.full(3, np.inf), np.full(3, 2.0)
    lost = {"margin_any": none, "margin_on": none, "margin_off": none}
    found = {"margin_any": some, "margin_on": 1.5 * some, "margin_off": some}
    assert search_change(lost, lost)["on_ratio_change_verdict"] == "undefined"
    assert search_change(found, found)["on_ratio_change_verdict"] == "settled"
    farther = found | {"margin_on": 1.6 * some}
    row = search_change(found, farther)
    assert row["on_ratio_change"] == pytest.approx(0.1 / 1.5) and row["on_ratio_change_verdict"] == "unsettled"
    assert row["off_ratio_change_verdict"] == "settled"
