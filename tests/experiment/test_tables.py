"""Tables of runs and measurements in other libraries: polars by Arrow, xarray by snapshot and point."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dimple import Recorder, Run, load_scene, measure, simulate
from dimple.errors import RunError
from dimple.tensors import generator


def test_polars_reads_measurements_and_runs(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    x = torch.rand(6, 2, generator=generator(0, "samples"))
    measurement = measure(nn.Linear(2, 2).eval(), x, None, bounds=None, out=tmp_path / "run")
    frame = polars.DataFrame(measurement)
    assert frame.columns[0] == "index" and frame.height == 6
    np.testing.assert_allclose(frame["margin"].to_numpy(), measurement["margin"].values)
    assert polars.DataFrame(Run.open(tmp_path / "run").measurements).height == 6


def test_xarray_has_snapshots_and_points(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    scene = load_scene("circle_in_2d", ["training.steps=6", "snapshots.count=3", "levelset={kind: none}"])
    run = simulate(scene, tmp_path / "run", film=False)
    data = run.to_xarray()
    assert list(data["step"]) == run.steps and data["margin"].dims == ("snapshot", "point")
    assert data["margin"].attrs["units"] == "l2, input units"
    test = data.where(data["split"] == "test", drop=True)
    last = run.points[(run.points["step"] == run.steps[-1]) & (run.points["split"] == "test")]
    np.testing.assert_allclose(test["margin"][-1], last["margin"])
    np.testing.assert_array_equal(test["index"], last["index"])


def test_a_recorded_training_is_a_data_set_and_unequal_steps_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    x = torch.rand(5, 2, generator=generator(0, "samples"))
    with Recorder(tmp_path / "run", x, None, bounds=None, max_overhead=1.0) as record:
        for step in range(3):
            record(step, nn.Linear(2, 2))
    run = Run.open(tmp_path / "run")
    assert dict(run.to_xarray().sizes) == {"snapshot": 3, "point": 5}
    columns, units = run.read_table("measurements")
    run._tables["measurements"] = ({name: values[:-1] for name, values in columns.items()}, units)
    with pytest.raises(RunError, match="its steps have different samples"):
        run.to_xarray()
