"""The estimate of a simulation: a short trial that leaves nothing behind, and counts the passes of the whole."""

import json
import tempfile
from pathlib import Path

import pytest

from dimple import estimate, load_scene, simulate
from dimple.cli import main

CHANGES = ["training.steps=60", "snapshots.count=6", "levelset={kind: none}"]


def test_the_passes_of_a_simulation_are_known_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scene = load_scene("circle_in_2d", CHANGES)
    found = estimate(scene)
    assert not list(tmp_path.iterdir())
    run = simulate(scene, tmp_path / "run", film=False)
    spent = sum(cost["forwards"] + cost["backwards"] for cost in run.info["passes"].values())
    assert 0.5 < found.passes / spent < 2 and found.seconds > 0
    # Passes are counted for each snapshot.
    longer = load_scene("circle_in_2d", [*CHANGES, "snapshots.count=11"])
    ratio = len(scene.snapshots.steps(60)) / len(longer.snapshots.steps(60))
    assert found.passes / estimate(longer).passes == pytest.approx(ratio)


def test_the_command_prints_the_estimate_and_makes_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for change in CHANGES for word in ("--set", change)]
    for extra in ([], ["--json"]):
        monkeypatch.setattr(
            "sys.argv", ["dimple", "simulate", "circle_in_2d", *words, "--no-film", "--estimate", *extra]
        )
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        answer = capsys.readouterr().out
        assert json.loads(answer)["seconds"] > 0 if extra else answer.startswith("about ")
    assert not list(tmp_path.iterdir())
