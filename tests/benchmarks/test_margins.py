"""The benchmark of the margins runs as a script and writes its files, with the peers that are installed."""

import importlib
import importlib.util
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "margins.py"
KEYS = {"case", "norm", "method", "library", "median", "mean", "passes", "seconds", "found", "ratio"}


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.syspath_prepend(BENCHMARK.parent)
    monkeypatch.setattr(
        sys, "argv", [str(BENCHMARK), "--model", "digits_convnet", "--quick", "--samples", "8", *options]
    )
    runpy.run_path(str(BENCHMARK), run_name="__main__")


def test_rows_distances_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "margins.json"
    peers = ["foolbox"] if importlib.util.find_spec("foolbox") is not None else []
    wanted = ["l2 dimple closest(", "l2 dimple fab(15)", *(f"l2 {peer} deepfool(50" for peer in peers)]
    run(monkeypatch, "--json", str(target), *(word for text in wanted for word in ("--only", text)))
    printed = capsys.readouterr().out
    rows = {row["method"]: row for row in json.loads(target.read_text())}
    assert {row["library"] for row in rows.values()} == {"dimple", *peers}
    assert all(row.keys() >= KEYS for row in rows.values())
    assert all(line in printed for line in ("40 passes: median", "closest(5)"))
    for max_passes in (5, 15, 40):
        assert 0 < rows[f"closest({max_passes})"]["passes"] <= max_passes
        assert rows[f"closest({max_passes})"]["found"] == 1
    # The ratio is the median over the images of the distance / the smallest distance of any method.
    known = np.load(target.with_suffix(".npz"))
    best = np.min([known[name] for name in known.files], axis=0)
    distances = known["digits_convnet digits l2 dimple fab(15)"]
    assert rows["fab(15)"]["ratio"] == pytest.approx(np.quantile(distances / best, 0.5, method="inverted_cdf"))
    assert target.with_suffix(".png").stat().st_size > 10_000

    # A run with --add continues from these rows and distances.
    earlier, loaded = importlib.import_module("fronts").load_rows(target)
    assert list(earlier.values()) == list(rows.values())
    assert set(loaded) == set(earlier)
