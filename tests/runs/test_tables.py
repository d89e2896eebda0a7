"""Columns go through a table as pyarrow itself converts them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dimple.runs.atomic_io import read_table, write_table

COLUMNS = {
    "floats": np.array([1.0, np.nan, np.inf, -0.0]),
    "single": np.arange(4, dtype=np.float32),
    "half": np.arange(4, dtype=np.float16),
    "strided": np.arange(8.0)[::2],
    "numbers": np.arange(4, dtype=np.int32),
    "flags": np.array([True, False, True, True]),
    "words": np.array(["a", "é", "", "long word"]),
    "objects": np.array(["a", None, "b", "c"], object),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("count", [4, 0])
def test_a_column_is_that_of_pyarrow(name: str, count: int, tmp_path: Path) -> None:
    values = COLUMNS[name][:count]
    write_table(tmp_path / "table.parquet", {name: values}, {name: "unit"})
    stored = pq.ParquetFile(tmp_path / "table.parquet").read().column(name)
    expected = pa.chunked_array([pa.array(values)])
    assert stored.type == expected.type and str(stored) == str(expected)
    columns, units = read_table(tmp_path / "table.parquet")
    assert units == {name: "unit"}
    assert columns[name].dtype == expected.to_numpy().dtype
    np.testing.assert_array_equal(columns[name], expected.to_numpy())
