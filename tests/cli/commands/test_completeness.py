"""`dimple certify` as a user types it."""

import json
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from dimple.experiment import simulate
from dimple.scene import load_scene


def test_the_proof_is_a_line_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["training.steps=5", "snapshots.count=3", "probes=[{kind: margin}]", "data.test_points=10"]
    run = simulate(load_scene("line_in_2d", short), tmp_path / "run", device="cpu", film=False)
    for words, code in ((["--cells", "32"], 0), (["--cells", "32", "--step", "0", "--json"], 0), (["--step", "9"], 2)):
        monkeypatch.setattr(sys, "argv", ["dimple", "certify", str(run.path), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        assert (stop.value.code or 0) == code
    shown = capsys.readouterr()
    line, rows = shown.out.splitlines()
    assert line.startswith("step 5: complete (certified to cell size 0.0")
    (proof,) = json.loads(rows)["proofs"]
    assert (proof["step"], proof["complete"], proof["undecided"]) == (0, True, 0)
    assert shown.err.startswith("dimple: --step 9: the run has no such snapshot")
