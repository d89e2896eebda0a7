"""Tests of the command `dimple compare`: its tables in the terminal, and its line of JSON."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from dimple import measure
from dimple.cli import main
from dimple.errors import RunError, UsageError
from dimple.experiment.outputs.report import read_comparison
from dimple.probes import Margin
from dimple.runs import RunFolder
from dimple.runs.atomic_io import write_bytes
from dimple.stats.paired import compare_pairs
from dimple.views.report.run_summary import flatten_settings, measured_settings
from tests.views.material import write_run


def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Return what the command prints."""
    monkeypatch.setattr("sys.argv", ["dimple", "compare", *map(str, words)])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return capsys.readouterr().out


def measure_plane(folder: Path, offset: float, norm: str = "l2", shift: float = 0.0, bounds: Any = None) -> Path:
    """Measure points of class 1 beside the plane where the first coordinate is the offset."""
    network = nn.Linear(2, 2).double().eval()
    network.weight.data = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    network.bias.data = torch.tensor([offset, -offset], dtype=torch.float64)
    x = np.linspace(0.1, 1.0, 12)[:, None] * np.array([[1.0, 0.3]]) + shift
    measure(network, x, np.ones(12, int), [Margin(norm=norm)], bounds=bounds, out=folder)
    return folder


def test_the_differences_at_the_same_samples_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [measure_plane(tmp_path / name, offset) for name, offset in (("near", 0.0), ("far", -0.25), ("in", 0.15))]
    page = tmp_path / "page.html"
    text = compare(monkeypatch, capsys, *runs[:2], "-o", page)
    assert "12 of the 12 in all runs are right under all" in " ".join(text.split())
    assert ["margin", "0.250", "0.250", "to", "0.250", "100%", "0.00049", "B", "larger"] in [
        line.split() for line in text.splitlines()
    ]
    assert text.splitlines()[-1] == str(page) and max(map(len, text.splitlines()[:-1])) <= 80
    three = compare(monkeypatch, capsys, *runs, "-o", page)
    assert ["margin", "C", "-0.150", "-0.150", "to", "-0.150", "0%", "0.00098", "C", "smaller"] in [
        line.split() for line in three.splitlines()
    ]
    answer = json.loads(compare(monkeypatch, capsys, *runs, "-o", page, "--json"))
    assert [run["letter"] for run in answer["runs"]] == ["A", "B", "C"] and answer["page"] == str(page)
    (split,) = answer["splits"]
    assert split["statistics"]["margin"]["unit"] == "l2, input units"
    # The lower medians of 12, 12 and 11 distances.
    assert split["statistics"]["margin"]["values"] == pytest.approx([0.509, 0.759, 0.441], abs=1e-3)
    found = {(row["quantity"], row["run"]): row for row in split["paired"]["rows"]}
    assert found["margin", "B"]["median"] == pytest.approx(0.25)
    assert (split["paired"]["count"], split["paired"]["total"]) == (11, 12)


def test_margins_in_two_norms_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [measure_plane(tmp_path / norm, -0.25, norm) for norm in ("l2", "linf")]
    answer = json.loads(compare(monkeypatch, capsys, *runs, "-o", tmp_path / "page.html", "--json"))
    (split,) = answer["splits"]
    assert split["statistics"]["margin"]["unit"] == "A: l2, input units; B: linf, input units"
    assert "margin" not in {row["quantity"] for row in split["paired"]["rows"]}


def test_distances_in_two_ranges_of_inputs_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [measure_plane(tmp_path / str(high), -0.25, bounds=(0, high)) for high in (1, 2)]
    answer = json.loads(compare(monkeypatch, capsys, *runs, "-o", tmp_path / "page.html", "--json"))
    (split,) = answer["splits"]
    unit = split["statistics"]["margin"]["unit"]
    assert unit == "A: inputs in 0 to 1: l2, input units; B: inputs in 0 to 2: l2, input units"
    assert {row["quantity"] for row in split["paired"]["rows"]} <= {"confidence"}


def test_runs_without_a_common_sample_are_not_paired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [measure_plane(tmp_path / str(shift), -0.25, shift=shift) for shift in (0.0, 0.1)]
    assert "nothing is paired" in compare(monkeypatch, capsys, *runs, "-o", tmp_path / "page.html")


def test_runs_that_differ_by_seed_have_a_mean_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fractions = (0.25, 0.5, 0.75)
    runs = []
    for seed, fraction in enumerate(fractions):
        run = write_run(tmp_path / str(seed), name="scene")
        write_bytes(run.path / "scene.yaml", f"name: scene\nseed: {seed}\n".encode())
        metrics = run.columns("metrics")
        metrics["gradient_off_manifold_fraction"] = np.full(len(metrics["step"]), fraction)
        run.write_table("metrics", metrics, run.units("metrics"))
        run.info["status"] = "complete"
        run.save()
        runs.append(run.path)
    page = tmp_path / "page.html"
    answer = json.loads(compare(monkeypatch, capsys, *runs, "-o", page, "--json"))
    assert list(answer["differences"]) == ["seed"]
    statistic = answer["splits"][0]["statistics"]["gradient_off_manifold_fraction"]["seeds"]
    assert (statistic["low"], statistic["high"], statistic["count"]) == (0.0, 1.0, 3)
    assert (statistic["mean"], statistic["standard_deviation"]) == (pytest.approx(0.5), pytest.approx(0.25))
    assert "0.500 ± 0.250" in compare(monkeypatch, capsys, *runs, "-o", page)
    # Student's t with two degrees of freedom is 4.303: the interval of a fraction is cut at 0 and 1.
    assert "all seeds" in page.read_text() and "95 %: 0 to 1.00, n 3" in page.read_text()


def test_runs_of_two_kinds_and_runs_that_are_only_trained_are_refused(tmp_path: Path) -> None:
    simulated = write_run(tmp_path / "simulated", name="scene")
    simulated.info["status"] = "complete"
    simulated.save()
    measured = measure_plane(tmp_path / "measured", -0.25)
    with pytest.raises(UsageError, match=r"have no statistics in common; .* dimple probe --run .*simulated measures"):
        read_comparison([simulated.path, measured])
    simulated.info["status"] = "trained"
    simulated.save()
    with pytest.raises(RunError, match="is trained and not measured; dimple simulate SCENE --out"):
        read_comparison([simulated.path, measured])


def test_measurements_of_simulated_runs_differ_in_their_scenes() -> None:
    def settings(learning_rate: float, sums: str) -> dict[str, str]:
        checksums = {"00000000.safetensors": sums, "00000009.safetensors": sums, "scene.yaml": sums}
        run = SimpleNamespace(
            settings={
                "model": "digits_convnet",
                "data": "digits",
                "run": "runs/a",
                "norm": "l2",
                "checksums": checksums,
            },
            info={"scene": {"training": {"lr": learning_rate}}},
        )
        return flatten_settings(measured_settings(cast("RunFolder", run)))

    first, second = settings(0.1, "a"), settings(0.2, "b")
    assert set(first) == {"run", "norm", "checksums.weights of the snapshots", "scene.training.lr"}
    differing = [name for name in first if first[name] != second[name]]
    assert differing == ["checksums.weights of the snapshots", "scene.training.lr"]


def test_distances_that_differ_by_rounding_are_equal() -> None:
    first = np.linspace(0.1, 1.0, 40)
    second = first * (1 + 3e-7)
    assert compare_pairs(first, second).p_value == 1.0 and compare_pairs(first, second).median == 0.0
    assert compare_pairs(first, first * (1 + 1e-4)).p_value < 1e-9
