"""`dimple probe` with networks and data of the user, from the words of the command to the tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dimple import Run
from tests.cli.test_app import run

SMALL = ("--probe", "margin", "--samples", "8", "--null-draws", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table whose classes a half-space separates, and networks whose boundary is a known plane."""
    monkeypatch.chdir(tmp_path)
    x = np.random.Generator(np.random.PCG64(0)).standard_normal((40, 3)) * 4
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["kind"] = np.where(x[:, 0] > 1, "up", "down")
    table.to_csv("points.csv", index=False)
    for seed in ("one", "two"):
        (tmp_path / seed).mkdir()
        for epoch in (1, 2):
            save_file(plane(1.0), f"{seed}/epoch{epoch}.safetensors")
    return tmp_path


def plane(place: float) -> dict[str, torch.Tensor]:
    """Return the weights of two scores whose boundary is x_0 = place."""
    return {"0.weight": torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]), "0.bias": torch.tensor([0.0, -place])}


def test_the_margins_of_a_table_are_those_of_the_plane(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", "mlp", "--weights", "one/epoch1.safetensors", "--data", "points:points.csv", "--label", "kind")
    code, _, stderr = run(monkeypatch, capsys, "probe", *words, *SMALL, "-o", "run")
    assert (code, stderr) == (0, "")
    columns, _ = Run.open("run").read_table("measurements")
    x = pd.read_csv("points.csv")["a"].to_numpy()[columns["index"]]
    assert columns["margin"] == pytest.approx(np.abs(x - 1))
    assert columns["correct"].all()


def test_bounds_cut_margins_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--model", "mlp", "--weights", "w.pt", "--data", "points:points.csv", "--label", "kind")
    save_file(plane(30.0), "w.pt")
    code, _, stderr = run(monkeypatch, capsys, "probe", *words, *SMALL, "--bounds=-20,20", "-o", "run")
    assert code == 0, stderr
    columns, _ = Run.open("run").read_table("measurements")
    # No point of the box lies beyond the plane.
    assert not np.isfinite(columns["margin"]).any()
    code, _, stderr = run(monkeypatch, capsys, "probe", *words, *SMALL, "--bounds=-2,2", "-o", "other")
    assert code == 4 and "values must lie in the bounds -2 to 2" in stderr


def test_several_folders_of_checkpoints_are_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--model", "mlp", "--data", "points:points.csv", "--label", "kind", *SMALL)
    code, stdout, stderr = run(monkeypatch, capsys, "probe", *words, "-o", "out", "--json", "one", "two")
    assert code == 0, stderr
    assert stdout.count("\n") == 2 and "comparison.html compares the series" in stderr
    assert (Path("out") / "comparison.html").exists()
    assert [Run.open(f"out/{name}").info["summary"]["rows"][-1]["step"] for name in ("one", "two")] == [2, 2]


@pytest.mark.filterwarnings("default:.*is removed from the names")
def test_a_network_of_a_file_takes_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("dimple_probe_nets.py").write_text(
        "from torch import nn\n"
        "def make(inputs, width=3):\n"
        "    return nn.Sequential(nn.Linear(inputs, width), nn.Linear(width, 2))\n"
    )
    network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    save_file({f"net.{name}": value for name, value in network.state_dict().items()}, "w.pt")
    words = ("--weights", "w.pt", "--data", "points:points.csv", "--label", "kind", *SMALL)
    code, _, stderr = run(
        monkeypatch, capsys, "probe", "--model", "dimple_probe_nets.py:make(3, width=5)", *words, "-o", "run"
    )
    assert (code, "'net.' is removed" in stderr) == (0, True), stderr
    code, _, stderr = run(
        monkeypatch, capsys, "probe", "--model", "dimple_probe_nets.py:make(3, width=4)", *words, "-o", "other"
    )
    assert code == 4 and "of another shape" in stderr
