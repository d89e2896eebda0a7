"""Runs, verdicts, resumption, verification and pages of claims, on an experiment whose rows are known."""

import functools
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dimple.claims import recompute, runner
from dimple.claims.catalogue import choose_leaves, load_paper, load_papers
from dimple.claims.figure import draw_diagram
from dimple.claims.page import write_claims_page
from dimple.claims.row_store import RowStore
from dimple.claims.tables import to_csv
from dimple.claims.verdicts import judge, judge_paper
from dimple.cli.app import main
from dimple.errors import RunError, SceneError, UsageError
from dimple.workers import Advance, Task
from tests.claims.known_paper import PAPER, Known

pytestmark = pytest.mark.usefixtures("known_paper")


def test_each_leaf_gets_the_verdict_of_its_rows(tmp_path: Path) -> None:
    claims = runner.run_claims(out=tmp_path)
    verdicts = {one.id: one.judgement.verdict for one in claims.leaves}
    assert verdicts == {"known2026.large": "supported", "known2026.near": "undecided", "known2026.later": "not run"}
    large = claims.to_json()["leaves"][0]
    # The median over the parts of a seed is the middle one of -inf, value, inf.
    assert (large["n"], large["estimate"], large["low"], large["high"]) == (8, 13.5, 10.0, 17.0)
    assert (large["threshold"], large["comparison"], large["null"]) == (5.0, "at least", 1.0)
    # Leaves with the same experiment share its replicas.
    assert sorted(Known.runs) == list(range(8))


def test_stored_replicas_are_not_run_again_and_an_interrupted_run_continues(tmp_path: Path) -> None:
    Known.failing[5] = KeyboardInterrupt()
    broken = runner.run_claims(out=tmp_path)
    done = set(Known.runs)
    assert broken.is_interrupted and 0 < len(done) < 8
    assert broken.leaves[0].judgement.reason == f"{len(done)} of 8 seeds so far"
    Known.failing.clear()
    first = runner.run_claims(out=tmp_path)
    assert sorted(Known.runs) == list(range(8)) and not first.is_interrupted
    again = runner.run_claims(out=tmp_path)
    assert sorted(Known.runs) == list(range(8))
    assert again.to_json()["leaves"] == first.to_json()["leaves"]


def test_the_full_run_takes_its_own_experiment_and_more_seeds(tmp_path: Path) -> None:
    runner.run_claims(out=tmp_path)
    claims = runner.run_claims(out=tmp_path, mode="full")
    assert [len(one.rows) for one in claims.leaves] == [20, 20, 20]
    assert claims.leaves[2].judgement.verdict == "contradicted"
    # 8 seeds of the quick run are stored; 12 are new, and 20 of the leaf that the quick run leaves out.
    assert len(Known.runs) == 8 + 12 + 20


def test_a_replica_that_fails_leaves_its_claims_not_run_with_the_sentence(tmp_path: Path) -> None:
    Known.failing[2] = SceneError("the loss is nan; lower the rate")
    claims = runner.run_claims(out=tmp_path)
    assert {one.judgement.verdict for one in claims.leaves} == {"not run"}
    assert claims.leaves[0].judgement.reason == "seed 2: the loss is nan; lower the rate"


class Losing:
    """Workers that lose the replica of one seed."""

    def run_unordered(
        self, tasks: list[Task[Any]], advance: Advance, lost: Callable[[Task[Any]], Any]
    ) -> Iterator[Any]:
        for task in tasks:
            assert isinstance(task, functools.partial)
            yield lost(task) if task.args[0].seed == 2 else task(advance)


def test_a_replica_that_kills_its_process_leaves_the_others_stored(tmp_path: Path) -> None:
    claims = runner.run_claims(out=tmp_path, workers=Losing())  # type: ignore[arg-type]
    assert claims.leaves[0].judgement.reason.startswith("seed 2: killed its process twice, most likely for lack of")
    assert sorted(Known.runs) == [0, 1, 3, 4, 5, 6, 7]
    runner.run_claims(out=tmp_path)
    assert Known.runs[-1] == 2


def test_data_that_are_missing_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Known, "datasets", ("mnist",))
    monkeypatch.setenv("DIMPLE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    claims = runner.run_claims(out=tmp_path)
    assert claims.leaves[0].judgement.reason == "needs mnist: give --data mnist:PATH"


def test_a_value_that_does_not_exist_counts_against_both_verdicts() -> None:
    (paper,) = (load_paper(PAPER, "known2026.yaml"),)
    leaf = paper.leaves[0]
    rows = {seed: {"": {"value": 10.0, "null_value": 1.0}} for seed in range(8)}
    assert judge(leaf, rows).verdict == "supported"
    rows[0] = {"": {"value": math.nan, "null_value": 1.0}}
    assert judge(leaf, rows).verdict == "undecided"
    low = {seed: {"": {"value": 1.0, "null_value": 1.0}} for seed in range(8)}
    assert judge(leaf, low).verdict == "contradicted"


def test_any_criterion_contradicts_at_its_share_of_the_level() -> None:
    leaf = load_paper(PAPER, "known2026.yaml").leaves[1]
    rows = {seed: {"": {"value": 10.0, "gap": 5.0}} for seed in range(8)}
    judgement = judge(leaf, rows)
    assert judgement.verdict == "contradicted"
    assert judgement.reason.startswith("gap 5 [5, 5], has to be at most 1")
    # At a level of .01 each of two criteria has .005, which eight seeds cannot reach.
    assert judge(leaf, rows, level=0.01).verdict == "undecided"


def test_primary_leaves_that_are_not_run_take_part_in_the_correction() -> None:
    text = PAPER.replace("{id: later,", "{id: later, primary: true,")
    paper = load_paper(text, "known2026.yaml")
    rows = {seed: {"": {"value": 10.0 + seed, "null_value": 1.0}} for seed in range(8)}
    judgements = judge_paper(paper, {"large": rows, "near": "0 of 8 seeds so far", "later": "0 of 8 seeds so far"})
    assert judgements["large"].level == pytest.approx(0.025)
    assert judgements["large"].verdict == "supported"


def test_verification_recomputes_verdicts_and_compares_thresholds(tmp_path: Path) -> None:
    claims = runner.run_claims(out=tmp_path)
    file = tmp_path / "claims.json"
    assert recompute.find_differences(file) == []
    content = json.loads(file.read_text())
    content["leaves"][0]["verdict"] = "contradicted"
    content["leaves"][1]["estimate"] = 12.5
    content["leaves"][2]["hash"] = "0" * 16
    file.write_text(json.dumps(content))
    differences = recompute.find_differences(file)
    assert [sentence.partition(":")[0] for sentence in differences] == [
        "known2026.large",
        "known2026.near",
        "known2026.later",
    ]
    assert "verdict is 'contradicted', and its rows and thresholds give 'supported'" in differences[0]
    assert "estimate is 12.5, and its rows and thresholds give 0.0" in differences[1]
    changes = {"statement": "The moon is cheese.", "n": 999, "null": 0.0, "estimate": None, "threshold": 0.1}
    for key, value in changes.items():
        changed = claims.to_json()
        changed["leaves"][0][key] = value
        file.write_text(json.dumps(changed))
        assert any(f"known2026.large: {key} is" in sentence for sentence in recompute.find_differences(file)), key
    dropped = claims.to_json()
    del dropped["leaves"][0]
    file.write_text(json.dumps(dropped))
    assert recompute.find_differences(file) == ["known2026.large: has rows, and is not in the file"]
    RowStore(tmp_path).path(claims.leaves[0].experiment.key).unlink()
    assert any("without its rows" in sentence for sentence in recompute.find_differences(file))
    file.write_text("{}")
    with pytest.raises(RunError, match=r"claims\.json: is not a readable claims\.json"):
        recompute.find_differences(file)


def test_rows_of_other_settings_or_another_version_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Known().key
    assert Known(shift=1.0).key != key
    monkeypatch.setattr(Known, "version", 2)
    assert Known().key != key


def test_rows_survive_storage_and_a_damaged_table_is_named(tmp_path: Path) -> None:
    store = RowStore(tmp_path)
    rows = {"a": {"value": math.inf, "gap": 1e-300}, "b": {"value": -math.inf, "gap": 0.1}}
    store.add(Known(), 7, rows, 1.5)
    assert store.read(Known().key) == {7: rows}
    assert store.seconds(Known().key) == 1.5
    store.path(Known().key).write_bytes(b"PAR1")
    with pytest.raises(RunError, match="remove it to run it again"):
        store.read(Known().key)


def test_the_page_and_the_table_tell_what_was_predicted_and_found(tmp_path: Path) -> None:
    claims = runner.run_claims(out=tmp_path)
    page = write_claims_page(claims, tmp_path, {"sphere_in_3d": "films/sphere_in_3d/page.html"}).read_text()
    for text in ("A known &lt;result&gt;", "It is large.", "judged at 95 %", "Holm", "What a sceptic asks", "<svg"):
        assert text in page
    lines = to_csv(claims).splitlines()
    assert len(lines) == 4 and lines[1].startswith("known2026.large,known2026,True,supported,8,13.5")


def test_unknown_names_are_answered() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'known2026\.large'"):
        choose_leaves(("known2026.larg",))


def test_a_paper_has_at_most_six_primary_leaves() -> None:
    leaf = PAPER[PAPER.index("  - {id: large") : PAPER.index("  - {id: near")]
    with pytest.raises(SceneError, match="7 primary"):
        load_paper(PAPER + leaf.lstrip("\n") * 6, "known2026.yaml")


def test_a_criterion_has_one_bound() -> None:
    with pytest.raises(SceneError, match=r"known2026\.yaml:.*at_least, at_most, within; give one"):
        load_paper(PAPER.replace("at_least: 5.0", "at_least: 5.0, at_most: 6.0"), "known2026.yaml")


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str, words_before: tuple[str, ...] = ("claims",)) -> int:
    monkeypatch.setattr("sys.argv", ["dimple", *words_before, *words])
    with pytest.raises(SystemExit) as stop:
        main()
    code = stop.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def test_the_command_prints_runs_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "--list") == 0
    assert "known2026.large (primary, quick)" in capsys.readouterr().out
    assert run_command(monkeypatch, "--show", "known2026.near") == 0
    assert "It is near 10" in capsys.readouterr().out
    assert run_command(monkeypatch, "--show", "known2026.near", "--json") == 0
    assert "It is near 10" in json.loads(capsys.readouterr().out)["claim"][0]
    assert run_command(monkeypatch, "--list", "--json") == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert json.loads(first)["id"] == "known2026.large"
    assert Known.runs == []
    assert run_command(monkeypatch, "known2026", "--out", str(tmp_path), "--jobs", "1", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    leaves = json.loads(line)["leaves"]
    assert [leaf["verdict"] for leaf in leaves] == ["supported", "undecided", "not run"]
    assert leaves[2]["estimate"] is None
    assert {"index.html", "claims.json", "claims.csv", "rows"} <= {file.name for file in tmp_path.iterdir()}
    assert run_command(monkeypatch, "--out", str(tmp_path), "--jobs", "1") == 0
    assert "1 supported, 1 undecided, 1 not run" in capsys.readouterr().out
    file = tmp_path / "claims.json"
    assert run_command(monkeypatch, "--verify", str(file)) == 0
    file.write_text(file.read_text().replace('"verdict": "supported"', '"verdict": "contradicted"', 1))
    assert run_command(monkeypatch, "--verify", str(file), "--json") == 5
    printed = capsys.readouterr()
    assert (
        len(json.loads(printed.out.splitlines()[-1])["differences"]) == 1
        and "thresholds give 'supported'" in printed.err
    )
    assert run_command(monkeypatch, "--verify", str(file)) == 5
    assert "thresholds give 'supported'" in capsys.readouterr().err
    assert run_command(monkeypatch, "nothing") == 2


def test_every_paper_of_the_package_is_complete() -> None:
    for paper in load_papers():
        assert paper.leaves
        assert len({leaf.id for leaf in paper.leaves}) == len(paper.leaves)


def test_a_diagram_shows_the_fraction_of_the_seeds_in_every_cell() -> None:
    cells = [(scale, steps) for scale in (1.0, 2.0) for steps in (10.0, 20.0)]
    rows = {
        seed: {
            f"{cell}": {"scale": cell[0], "codimension": 1.0, "steps": cell[1], "clings": float(seed < 2 * cell[0])}
            for cell in cells
        }
        for seed in range(8)
    }
    svg = draw_diagram(("scale", "codimension", "steps", "clings"), rows)
    texts = re.findall(r">([\d.]+)</text>", svg)
    assert texts.count("0.25") == 2 and texts.count("0.5") == 2
    assert "steps 10" in svg and "codimension" in svg


def test_a_leaf_has_enough_replicas_to_be_contradicted() -> None:
    many = "".join(f", {{column: value, statistic: s{number}, at_least: 1.0}}" for number in range(8))
    text = PAPER.replace("at_least: 5.0, null_column: null_value}", "at_least: 5.0}" + many)
    with pytest.raises(SceneError, match=r"large has 8 replicas in the quick run.*give at least 9"):
        load_paper(text, "known2026.yaml")


def test_the_files_hold_what_is_stored_and_the_answer_what_was_asked(tmp_path: Path) -> None:
    runner.run_claims(["known2026.large"], out=tmp_path)
    claims = runner.run_claims(["known2026.later"], out=tmp_path, mode="quick")
    assert [one.id for one in claims.leaves] == ["known2026.large", "known2026.near", "known2026.later"]
    assert [one.id for one in claims.only_asked().leaves] == ["known2026.later"]
    first = runner.run_claims(["known2026.large"], out=tmp_path / "other")
    # Both leaves share the experiment, and with it its rows.
    assert [one.id for one in first.leaves] == ["known2026.large", "known2026.near"]


def test_a_folder_that_cannot_be_made_is_answered_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/rows: cannot be made .*; choose another out="):
        runner.run_claims(out=tmp_path / "file")
    assert Known.runs == []
