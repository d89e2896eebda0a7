"""Claims that are run in parts by several processes: verdicts, poison, what is missing, and refusals."""

import json
import re
from pathlib import Path

import pytest
import torch

from dimple.claims import runner, shards
from dimple.claims.experiments.base import CPU
from dimple.claims.row_store import RowStore
from dimple.errors import DataError, IncompleteError, RunError, SceneError
from dimple.workers import Workers
from tests.claims.known_paper import KILLED_SEED, Known
from tests.claims.test_runner import run_command

pytestmark = pytest.mark.usefixtures("known_paper")


def run_part(out: Path, part: int, parts: int = 3, workers: Workers | None = None) -> runner.Outcome:
    return shards.run_part(
        (), part, parts, mode="quick", out=out, data=(), device=torch.device("cpu"), workers=workers or Workers()
    )


def test_parts_run_every_seed_once_and_give_the_verdicts_of_a_whole_run(tmp_path: Path) -> None:
    whole = runner.run_claims(out=tmp_path / "whole")
    Known.runs.clear()
    out = tmp_path / "parts"
    for part in (2, 0):
        assert run_part(out, part) == runner.Outcome()
    found = shards.status(out)
    assert (found.shards, found.done, found.missing, found.poison) == (8, 5, 3, 0)
    assert (found.parts, found.missing_parts) == (3, [1])
    assert found.seconds_left == pytest.approx(3 * found.seconds / 5, abs=1e-3)
    sentence = (
        r"3 of 8 shards are missing: known2026\.large, seed 1, known2026\.large, seed 4, known2026\.large, seed 7; run "
        r"them with the same dimple claims \(--array=1\), then gather"
    )
    with pytest.raises(IncompleteError, match=sentence):
        shards.gather(out)
    run_part(out, 1)
    run_part(out, 1)
    assert sorted(Known.runs) == list(range(8)) and shards.missing_parts(out) == []
    gathered = shards.gather(out).to_json()["leaves"]
    assert [leaf | {"seconds": 0} for leaf in gathered] == [leaf | {"seconds": 0} for leaf in whole.to_json()["leaves"]]


def test_a_seed_that_kills_its_process_twice_is_poison_and_the_others_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KILLED_SEED, "2")
    with Workers(2, isolated=True) as workers:
        outcome = run_part(tmp_path, 0, 1, workers)
    assert [shard.seed for shard in outcome.poison] == [2] and list(outcome.errors) == outcome.poison
    found = shards.status(tmp_path)
    assert (found.done, found.missing, found.poison) == (7, 1, 1)
    monkeypatch.delenv(KILLED_SEED)
    # The same command tries it again.
    assert run_part(tmp_path, 0, 1) == runner.Outcome()
    assert Known.runs == [2] and not list(tmp_path.rglob("*.poison"))
    shards.gather(tmp_path)


def test_poison_ends_the_command_with_6_after_the_verdicts_on_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KILLED_SEED, "2")
    assert run_command(monkeypatch, "--jobs", "2", "--out", str(tmp_path), "--json") == 6
    printed = capsys.readouterr()
    assert "1 shards killed their process twice, most likely for lack of memory: known2026.large, seed 2" in printed.err
    assert [leaf["verdict"] for leaf in json.loads(printed.out)["leaves"]] == ["not run"] * 3
    assert len(RowStore(tmp_path).read(Known().key)) == 7 and (tmp_path / "index.html").exists()


def test_the_commands_run_parts_show_what_is_missing_and_gather(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "my claims")
    claims = ("claims", "--jobs", "1", "--out", out)
    assert run_command(monkeypatch, "--shard", "0/2", words_before=claims) == 0
    assert f"part 0/2 is run; dimple gather '{out}' judges all parts" in capsys.readouterr().err
    assert run_command(monkeypatch, words_before=("gather", out, "--missing")) == 0
    assert capsys.readouterr().out == "--array=1\n"
    assert run_command(monkeypatch, words_before=("gather", out)) == 6
    assert "4 of 8 shards are missing" in capsys.readouterr().err
    assert run_command(monkeypatch, words_before=("status", out)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{out}: 4 of 8 shards measured, 4 missing"
    assert lines[1] == "parts with missing shards: --array=1, of 2"
    Known.failing[5] = SceneError("the loss is nan; lower the rate")
    assert run_command(monkeypatch, "--shard", "1/2", "--json", words_before=claims) == 6
    printed = capsys.readouterr()
    assert "known2026.large, seed 5: the loss is nan; lower the rate" in printed.err
    assert "1 shards of part 1/2 failed; the others are stored" in printed.err
    assert json.loads(printed.out)["missing_parts"] == [1]
    Known.failing.clear()
    assert run_command(monkeypatch, "--shard", "1/2", words_before=claims) == 0
    capsys.readouterr()
    assert run_command(monkeypatch, words_before=("status", out)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"next: dimple gather '{out}'"
    for _ in range(2):
        assert run_command(monkeypatch, words_before=("gather", out)) == 0
        assert "1 supported, 1 undecided, 1 not run" in capsys.readouterr().out
    Known.failing[3] = KeyboardInterrupt()
    assert run_command(monkeypatch, "--shard", "0/1", "--out", str(tmp_path / "stopped"), "--jobs", "1") == 130
    assert len(RowStore(tmp_path / "stopped").read(Known().key)) == 3


def test_a_folder_that_is_divided_otherwise_or_not_at_all_is_refused(tmp_path: Path) -> None:
    runner.run_claims(["known2026.large"], out=tmp_path / "whole")
    with pytest.raises(RunError, match=r"has no parts of dimple claims --shard; dimple claims --out .* judges what is"):
        shards.status(tmp_path / "whole")
    run_part(tmp_path, 0)
    with pytest.raises(RunError, match=r"an unfinished division into 3 parts with other settings \(parts\), 5 shards"):
        run_part(tmp_path, 0, 4)
    for part in (1, 2):
        run_part(tmp_path, part)
    # What is finished is in nobody's way.
    run_part(tmp_path, 0, 4)
    assert shards.status(tmp_path).parts == 4
    plan = tmp_path / "rows" / shards.PLAN_FILE
    for text in ("[]", "{", plan.read_text().replace("4", "0"), plan.read_text().replace("quick", "slow")):
        plan.write_text(text)
        with pytest.raises(RunError, match=re.escape(f"{plan}: is damaged (")):
            shards.status(tmp_path)


def test_a_part_needs_the_data_of_all_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Known, "datasets", ("mnist",))
    monkeypatch.setenv("DIMPLE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match=r"known2026\.large needs mnist: give --data mnist:PATH, on every machine"):
        run_part(tmp_path, 0)
    assert Known.runs == []


def test_rows_on_a_disk_without_locks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunError, match=r"cannot be locked \(Function not implemented\); choose an out= on a disk with"):
        RowStore(tmp_path).add(Known(), 0, Known().replicate(0, runner.Resources({}, CPU)), 1.0)
