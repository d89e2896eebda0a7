"""The answers of the command line to questions about quantities, kinds of scenes and probes."""

import subprocess
import sys
from pathlib import Path

import pytest

from dimple import load_scene, simulate
from dimple.cli.app import main
from dimple.cli.commands.probe import PROBE_MEANINGS
from dimple.columns import COLUMNS
from dimple.experiment.probing.config import PROBE_KINDS
from dimple.scene.build import build
from dimple.scene.kinds import choose_kinds, describe_kind, scene_kinds
from dimple.scene.scene import FAMILIES
from dimple.scene.yaml_nodes import parse_yaml
from dimple.settings import settings
from dimple.stats.aggregate import is_comparison_column
from dimple.views.content.labels import format_number


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["dimple", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    code = stop.value.code
    out, err = capsys.readouterr()
    return (code if isinstance(code, int) else 0), out, err


def test_a_quantity_is_explained_and_an_unknown_one_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "explain", "margin_on_ratio_null")
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    assert " ".join(out.split()).startswith(
        "margin_on_ratio_null: margin along the manifold / free margin, null [x free margin] The same"
    )
    code, _, err = run(monkeypatch, capsys, "explain", "margin_onn_ratio")
    assert code == 2 and "did you mean 'margin_on_ratio'" in err
    code, out, _ = run(monkeypatch, capsys, "explain")
    assert code == 0 and all(f"{name}: " in out for name in COLUMNS)


def test_every_number_of_a_run_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ["training.steps=3", "snapshots.count=2", "levelset={kind: none}"]
    simulated = simulate(load_scene("circle_in_2d", changes), tmp_path / "run", film=False)
    code, out, _ = run(monkeypatch, capsys, "explain", str(tmp_path / "run"))
    assert code == 0 and out.startswith(f"verdict: {simulated.info['summary']['verdict']}")
    final = simulated.info["summary"]["final"]
    missing = [name for name in final if not is_comparison_column(name, final) and f"\n{name} = " not in out]
    assert missing == []
    # A comparison stands beside its number.
    majority = final["train_majority_accuracy"]
    assert f"\ntrain_accuracy = {final['train_accuracy']:.3f}".rstrip("0") in out
    assert f" samples, largest class {format_number(majority)}: training accuracy" in " ".join(out.split())


@pytest.mark.parametrize("key", [*scene_kinds()])
def test_the_line_of_a_kind_is_one_that_a_scene_accepts(key: str) -> None:
    base = next(base for base, table in FAMILIES.items() if table.keys() >= set(scene_kinds()[key]))
    holder = settings(type("Holder", (), {"__annotations__": {"member": base}, "__module__": __name__}))
    for kind, schema in choose_kinds(key)[key].items():
        sentence, line = describe_kind(kind, schema)
        assert sentence and line.startswith(f"{{kind: {kind}")
        if "..." not in line and "[]" not in line:
            assert isinstance(build(parse_yaml(f"member: {line}", kind), holder, FAMILIES).member, base)


def test_kinds_and_probes_are_listed_without_torch() -> None:
    program = (
        "import sys; from dimple.cli import main; sys.argv = {words}\n"
        "try: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    for words in (["dimple", "scenes", "kinds", "objective"], ["dimple", "probe", "--list"], ["dimple", "explain"]):
        code = program.format(words=words)
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout.splitlines()[-1] == "False"


def test_every_probe_has_a_sentence() -> None:
    assert PROBE_MEANINGS.keys() == set(PROBE_KINDS)
