"""Tests of the command `dimple completeness`."""

import json
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from dimple.experiment import simulate
from dimple.scene import load_scene


def test_the_result_is_a_line_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["training.steps=5", "snapshots.count=3", "probes=[{kind: margin}]", "data.test_points=10"]
    run = simulate(load_scene("line_in_2d", short), tmp_path / "run", device="cpu", film=False)
    for words, code in (
        (["--resolution", "32"], 0),
        (["--resolution", "32", "--step", "0", "--json"], 0),
        (["--step", "9"], 2),
    ):
        monkeypatch.setattr(sys, "argv", ["dimple", "completeness", str(run.path), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        assert (stop.value.code or 0) == code
    output = capsys.readouterr()
    line, json_line = output.out.splitlines()
    assert line.startswith("step 5: complete (proven to cell size 0.0")
    assert json.loads(json_line)["resolution"] == 32
    (result,) = json.loads(json_line)["results"]
    assert (result["step"], result["is_complete"], result["undecided_cells"]) == (0, True, 0)
    assert output.err.startswith("dimple: step 9 is no snapshot of the run")
