"""The benchmark of the window runs as a script and writes its file."""

import json
import runpy
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "views.py"


def test_rows_have_all_keys_and_the_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendering: None) -> None:
    target = tmp_path / "views.json"
    monkeypatch.setattr(sys, "argv", [str(BENCHMARK), "--quick", "--json", str(target)])
    runpy.run_path(str(BENCHMARK), run_name="__main__")
    rows = json.loads(target.read_text())
    assert all(row.keys() == {"case", "ours", "peer", "peer_name", "unit", "ratio"} for row in rows)
    assert [row["peer_name"] for row in rows if row["peer"]] == ["pyvista add_mesh(name=)"] * 3
    assert all(row["ours"] > 0 for row in rows)
