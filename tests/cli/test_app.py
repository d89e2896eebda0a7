"""Tests of the command line: results on stdout, one line for each mistake, exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from dimple.experiment.probing.config import PROBE_KINDS
from dimple.probes.margin import METHODS

SHORT = ["--set", "training.steps=5", "--set", "snapshots.count=3", "--set", "data.test_points=10"]
SHORT += ["--set", "data.heldout_points=10", "--set", "probes=[{kind: margin}]", "--no-film", "--device", "cpu"]


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["dimple", *words])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def test_json_is_one_line_and_the_only_thing_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, stdout, stderr = run(monkeypatch, capsys, "simulate", "line_in_2d", "--out", str(out), "--json", *SHORT)
    assert code == 0, stderr
    assert stdout.count("\n") == 1
    line = json.loads(stdout)
    assert line["run"] == str(out) and line["steps"] == 5
    assert line["final"]["margin"] is None or line["final"]["margin_test"] is not None
    assert set(line["seconds"]) == {"train", "measure", "report"}


def test_scenes_are_listed_with_their_descriptions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, _ = run(monkeypatch, capsys, "scenes")
    lines = dict(line.split("  ", 1) for line in stdout.splitlines())
    assert code == 0
    assert {"sphere_in_3d", "sphere_in_3d_default", "line_in_2d", "plane_in_3d"} <= set(lines)
    assert all(text.strip() for text in lines.values())


SCENE = "manifold: {kind: sphere}\n"
INVALID_SCENES = [
    ("manifold: {kind: sphere, raduis: 0.3}", "x.yaml:1: unknown key manifold.raduis; did you mean 'radius'?"),
    ("manifold: {kind: spher}", "x.yaml:1: manifold.kind is 'spher'; did you mean 'sphere'?"),
    (SCENE + "seed: 1\nseed: 2", "x.yaml:3: duplicate key seed"),
    (SCENE + "seed: '1'", "x.yaml:2: seed is '1'; it must be"),
    (SCENE + "seed: true", "x.yaml:2: seed is True"),
    ("manifold: {kind: sphere, radius: .nan}", "x.yaml:1: manifold.radius is nan; it must be finite"),
    ("manifold: {kind: sphere, radius: -1}", "x.yaml:1: manifold.radius is -1"),
    (SCENE + "training: {steps: 0}", "x.yaml:2: training.steps is 0"),
    (SCENE + "data: {sampling: {kind: farthest_point, count: -5}}", "x.yaml:2: data.sampling.count is -5"),
    (SCENE + "name: ../x", "x.yaml:2: name is '../x'; names match"),
    ("manifold: !!python/object/apply:os.system ['touch hacked']", "x.yaml:1: "),
    ("seed: 1", "manifold"),
    ("", "expected one mapping"),
]


@pytest.mark.parametrize(("text", "message"), INVALID_SCENES)
def test_an_invalid_scene_gives_one_line_with_its_position(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text)
    code, stdout, stderr = run(monkeypatch, capsys, "simulate", "x.yaml")
    assert (code, stdout) == (3, "")
    assert stderr.startswith("dimple: ") and stderr.count("\n") == 1
    assert re.search(r"x\.yaml:\d+:\d+: ", stderr)
    assert message in re.sub(r"(x\.yaml:\d+):\d+", r"\1", stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.yaml"]


def test_all_mistakes_of_a_scene_are_reported_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("manifold: {kind: sphere, raduis: 1}\nseed: -1\ntraining:\n  steps: 0\n  lr: fast\n")
    code, stdout, stderr = run(monkeypatch, capsys, "scenes", "check", "x.yaml")
    assert (code, stdout) == (3, "")
    lines = stderr.splitlines()
    assert [line.split()[1] for line in lines] == ["x.yaml:1:26:", "x.yaml:2:1:", "x.yaml:4:3:", "x.yaml:5:3:"]
    assert "seed is -1" in lines[1] and "manifold.raduis" in lines[0] and "training.lr is 'fast'" in lines[3]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["simulate", "sphere_in_3"], 3, "did you mean 'sphere_in_3d'?"),
        (["simulate", "missing.yaml"], 3, "missing.yaml"),
        (["simulate", "sphere_in_3d", "--set", "training.stepz=3"], 3, "--set training.stepz"),
        (["simulate", "sphere_in_3d", "--set", "training.steps"], 2, "key.path=value"),
        (
            ["simulate", "sphere_in_3d", "--resolution", "0"],
            3,
            "dimple: --resolution: levelset.resolution is 0; it must be",
        ),
        (["simulate", "sphere_in_3d", "--seed", "-1"], 3, "dimple: --seed: seed is -1; it must be"),
        (["simulate", "sphere_in_3d", "--device", "cuda:99"], 7, "cuda:99"),
        (["simulate", "sphere_in_3d", "--device", "gpu"], 7, "'gpu'"),
        (
            ["simulate", "sphere_in_3d", "--out", "occupied"],
            5,
            "occupied: is not empty and holds no run; choose another --out",
        ),
        (["simulate", "sphere_in_3d", "--out", "a_file/run"], 5, "a_file/run: cannot be made"),
        (["simulate", "sphere_in_3d", "--jobs", "0"], 2, "--jobs is 0"),
        (["view", "nowhere"], 5, "nowhere: no such run folder"),
        (["report", "nowhere"], 5, "nowhere: no such run folder"),
        (["probe", "--model", "resnet21"], 2, "did you mean 'resnet"),
        (["probe", "--probe", "margn"], 2, "--probe is margn; did you mean 'margin'? (choose from"),
        (["probe", "--probe", "xyz"], 2, "--probe is xyz; choose from"),
        (["probe", "--method", "deepfol"], 2, "--method is deepfol; did you mean 'deepfool'? (choose from"),
        (["probe", "--run", "r", "--data", "digits"], 2, "--run brings its own networks and data; leave out --data"),
        (["slice", "--run", "r", "--model", "digits_convnet"], 2, "leave out --model"),
        (["probe", "--model", "resnet20"], 4, "resnet20"),
        (["probe", "--model", "code/zoo.py:net"], 2, "zoo.py is not there; name a file"),
        (["probe", "--data", "npz:empty", "--weights", "none"], 4, "empty: is a folder, not an .npz file"),
        (["probe", "--weights", "none.pt"], 4, "none.pt"),
        (["probe", "--weights", "empty.pt"], 4, "empty.pt"),
        (["probe", "--data", "cifar10:empty", "--model", "resnet20", "--weights", "none"], 4, "empty"),
        (["probe", "--data", "imagenet:x"], 2, "imagenet"),
        (["probe", "--probe", "margins"], 2, "margins"),
        (["probe", "--norm", "l3"], 2, "--norm is 'l3'"),
        (["probe", "--samples", "0"], 2, "--samples is 0"),
        (["probe", "--checkpoints", "no*.pt"], 4, "no*.pt"),
        (["probe", "--weights", "a", "--checkpoints", "b"], 2, "exclude each other"),
    ],
)
def test_a_mistake_gives_one_line_and_its_exit_code(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("occupied").mkdir()
    Path("occupied/thesis.tex").write_text("mine")
    Path("empty").mkdir()
    Path("a_file").write_text("")
    Path("empty.pt").write_text("")
    exit_code, stdout, stderr = run(monkeypatch, capsys, *words)
    assert (exit_code, stdout) == (code, ""), stderr
    assert stderr.count("\n") == 1 and message in stderr
    assert Path("occupied/thesis.tex").read_text() == "mine"
    assert not Path("runs").exists()


def test_an_unknown_command_is_answered_by_typer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, stderr = run(monkeypatch, capsys, "simulat")
    assert code == 2 and stdout == "" and "simulate" in stderr


def test_debug_shows_the_traceback_of_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dimple", "simulate", "nothing.yaml", "--debug"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Traceback" in result.stderr and "SceneError" in result.stderr


def test_help_and_version_need_no_torch(tmp_path: Path) -> None:
    code = "import sys, dimple.cli; assert 'torch' not in sys.modules; print(dimple.__version__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("words", [(), ("scenes",)])
def test_a_terminal_of_80_columns_shows_every_summary_in_full(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, stdout, _ = run(monkeypatch, capsys, *words, "--help")
    summaries = stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert code == 0 and len(summaries) >= 5
    assert all(summary.startswith("  ") and summary.endswith(".") for summary in summaries)
    assert not any(summary.endswith("...") for summary in summaries)


def test_the_help_of_probe_lists_every_probe_and_method(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, stdout, _ = run(monkeypatch, capsys, "probe", "--help")
    assert {*PROBE_KINDS, *METHODS} <= set(re.findall(r"\w+", stdout))


@pytest.mark.parametrize("command", ["simulate", "probe", "slice"])
def test_the_output_folder_has_a_short_flag(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, stdout, _ = run(monkeypatch, capsys, command, "--help")
    assert "-o, --out FOLDER" in stdout
