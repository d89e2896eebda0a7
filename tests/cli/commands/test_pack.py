"""Tests of the commands `dimple pack` and `dimple check`."""

import json
import sys
from pathlib import Path

import pytest
import torch

from dimple.cli import main
from dimple.runs import RunFolder

INFO = {"name": "x", "seed": 0, "device": "cpu", "versions": {"dimple": "0"}}


def run_command(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["dimple", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_check_names_the_files_that_are_not_as_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("good", "bad", "old"):
        run = RunFolder.create(name, INFO, "seed: 0\n")
        with run.finishing():
            run.write_snapshot(3, {"w": torch.zeros(4)}, 0.5)
    RunFolder.create("running", INFO, "seed: 0\n")
    assert run_command(["pack", "good"], monkeypatch) == 0
    assert run_command(["check", "good", "good.dimple", "running"], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "good: whole, 3 files", "good.dimple: whole, 3 files", "running: whole, 2 files; the run is not finished"
    ]  # fmt: skip
    Path("bad/snapshots/00000003.safetensors").write_bytes(b"torn")
    Path("bad/scene.yaml").unlink()
    Path("old/manifest.jsonl").unlink()
    cause = "an older version of dimple wrote it, or the manifest was removed"
    assert run_command(["check", "bad", "good", "old", "absent"], monkeypatch) == 5
    assert capsys.readouterr().out.splitlines() == [
        "bad/snapshots/00000003.safetensors: has 4 bytes, and the run wrote 136",
        "bad/scene.yaml: is missing",
        "good: whole, 3 files",
        f"old: has no manifest.jsonl, so its files cannot be checked: {cause}",
        "absent: no such run; name the folder of a run, or a packed run",
    ]
    assert run_command(["check", "bad", "--json"], monkeypatch) == 5
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["run"] == "bad" and len(result["problems"]) == 2 and result["is_finished"]
