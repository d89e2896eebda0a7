"""A run folder: atomic writes, no changes to other files, and clear errors."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dimple.errors import RunError
from dimple.runs import RunFolder
from dimple.runs.atomic_io import atomic_replace, read_table, write_bytes, write_table

INFO = {"name": "x", "seed": 0, "device": "cpu", "versions": {"dimple": "0"}}


def test_a_snapshot_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    run.write_snapshot(12, {"0.weight": weight}, 0.1 + 0.2)
    state, loss = RunFolder.open(tmp_path / "run").read_snapshot(12)
    assert torch.equal(state["0.weight"], weight) and loss == 0.1 + 0.2
    assert run.steps == [12]


def test_arrays_of_any_memory_layout_come_back_unchanged(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    weight = torch.arange(6.0).reshape(2, 3).T
    run.write_snapshot(0, {"0.weight": weight, "count": torch.tensor(7)}, 0.5)
    state, _ = run.read_snapshot(0)
    assert torch.equal(state["0.weight"], weight) and state["count"].shape == ()
    run.write_geometry({"axes": weight.numpy(), "even": np.arange(8)[::2]})
    assert (run.geometry()["axes"] == weight.numpy()).all() and run.geometry()["even"].tolist() == [0, 2, 4, 6]
    run.write_cache("a", {"axes": weight.numpy()})
    cached = run.read_cache("a")
    assert cached is not None and (cached["axes"] == weight.numpy()).all()


def test_a_table_keeps_values_units_and_infinities(tmp_path: Path) -> None:
    columns = {"step": np.array([0, 5]), "margin": np.array([np.inf, -0.25]), "split": np.array(["train", "test"])}
    write_table(tmp_path / "t.parquet", columns, {"margin": "l2, input units"})
    read, units = read_table(tmp_path / "t.parquet")
    assert units == {"step": "", "margin": "l2, input units", "split": ""}
    for name, values in columns.items():
        assert read[name].tolist() == values.tolist()


def test_an_infinite_value_differs_from_a_missing_one(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {"name": "a"}, "seed: 0\n")
    values = {"margin_on": math.inf, "margin_misclassified": -math.inf, "logit_margin": math.nan, "x": 0.1}
    run.info["summary"] = {"rows": [values]}
    run.save()
    (row,) = RunFolder.open(run.path).info["summary"]["rows"]
    assert row == values | {"logit_margin": None}

    def refuse_constant(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    json.loads((run.path / "run.json").read_text(), parse_constant=refuse_constant)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
    with pytest.raises(RunError, match=r"file\.bin: cannot be written \(No space left on device\)"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_replace(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be written, since the folder .*absent is missing; make it"):
        write_bytes(tmp_path / "absent" / "a.png", b"")
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_not_overwritten_without_force(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    run.info["status"] = "complete"
    run.save()
    with pytest.raises(RunError, match="already holds a finished run"):
        RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    assert RunFolder.create(tmp_path / "run", INFO, "seed: 0\n", force=True).info["status"] == "running"


def test_an_unfinished_run_continues_only_with_the_same_settings(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", INFO, "seed: 0\n").info["seconds"]["train"] = 1.0
    assert RunFolder.create(tmp_path / "run", INFO, "seed: 0\n").info["status"] == "running"
    with pytest.raises(RunError, match="other settings"):
        RunFolder.create(tmp_path / "run", INFO, "seed: 1\n")
    with pytest.raises(RunError, match="other versions"):
        RunFolder.create(tmp_path / "run", INFO | {"device": "cuda"}, "seed: 0\n")


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_with_other_files_is_never_changed(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="is not empty and holds no run; choose another out="):
        RunFolder.create(tmp_path, INFO, "seed: 0\n", force=force)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "cannot be read"), ('{"format": 99}', "reads formats up to 2"), ("[]", "is no mapping")],
)
def test_an_invalid_run_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_snapshot_is_named(tmp_path: Path, damage: str) -> None:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    run.write_snapshot(3, {"w": torch.zeros(4)}, 0.5)
    file = tmp_path / "run" / "snapshots" / "00000003.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(
        RunError,
        match=r"00000003\.safetensors: (is not a readable snapshot|has [0-9]+ bytes, and the run wrote)",
    ):
        run.read_snapshot(3)
