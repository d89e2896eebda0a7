"""Tests of `dimple scenes` and its commands: output, files and refusals."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from dimple.cli.commands.scenes import STARTER_SCENE
from dimple.manifolds import MANIFOLDS
from dimple.scene import load_scene, shipped_scenes


class Program:
    """The command `dimple scenes`, run in a temporary folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["dimple", "scenes", *words])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        output = self.capsys.readouterr()
        return code, output.out, output.err


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    monkeypatch.chdir(tmp_path)
    return Program(monkeypatch, capsys)


def test_the_command_lists_one_line_for_each_scene(scenes: Program) -> None:
    code, stdout, stderr = scenes()
    assert (code, stderr) == (0, "")
    lines = dict(line.split("  ", 1) for line in stdout.splitlines())
    assert list(lines) == list(shipped_scenes())
    assert all(text.strip().endswith(".") for text in lines.values())


def test_show_prints_the_geometry_and_draws_it(scenes: Program, tmp_path: Path) -> None:
    code, stdout, stderr = scenes("show", "sphere_in_3d")
    assert (code, stderr) == (0, "")
    values = dict(line.split("  ", 1) for line in stdout.splitlines() if "  " in line)
    assert values["dimension"].strip() == "2 in R^3, codimension 1"
    assert values["reach"].strip() == "0.300"
    assert values["area"].strip() == "1.13"
    assert values["training points"].strip().startswith("60: ")
    assert [path.name for path in tmp_path.iterdir()] == ["sphere_in_3d-geometry.png"]
    assert (tmp_path / "sphere_in_3d-geometry.png").read_bytes().startswith(b"\x89PNG")


def test_show_prints_one_line_of_json(scenes: Program, tmp_path: Path) -> None:
    code, stdout, _ = scenes("show", "line_in_2d", "--json", "--no-picture")
    assert code == 0 and stdout.count("\n") == 1
    line = json.loads(stdout)
    assert (line["name"], line["dim"], line["codim"], line["class_counts"]) == ("line_in_2d", 1, 1, [2, 3])
    # A line has no finite reach, and JSON no infinity.
    assert line["reach"] is None and line["required_covering_radius"] is None and line["picture"] is None
    assert list(tmp_path.iterdir()) == []


def test_show_takes_overrides(scenes: Program) -> None:
    _, stdout, _ = scenes("show", "sphere_in_3d", "--json", "--no-picture", "--set", "manifold.radius=2.0")
    assert json.loads(stdout)["volume"] == pytest.approx(16 * math.pi)


def test_a_missing_picture_is_explained(scenes: Program, tmp_path: Path) -> None:
    Path("four.yaml").write_text("manifold: {kind: clifford_torus}\nlevelset: {kind: none}\n")
    code, stdout, stderr = scenes("show", "four.yaml", "--out", "four.png")
    assert code == 0 and "2 in R^4, codimension 2" in stdout
    assert stderr.count("\n") == 1 and "no picture" in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["four.yaml"]


def test_check_builds_points_and_network(scenes: Program, tmp_path: Path) -> None:
    code, stdout, stderr = scenes("check", "sphere_in_3d")
    assert (code, stderr) == (0, "")
    assert stdout == "sphere_in_3d: valid; 60 training points on a manifold of dimension 2 in R^3\n"
    assert list(tmp_path.iterdir()) == []


def test_the_schema_has_every_manifold_also_inside_another(scenes: Program) -> None:
    code, stdout, _ = scenes("schema")
    schema = json.loads(stdout)
    assert code == 0
    assert {"$ref": "#/$defs/Manifold"} in schema["properties"]["manifold"]["anyOf"]
    kinds = {choice["properties"]["kind"]["const"]: choice for choice in schema["$defs"]["Manifold"]["anyOf"]}
    assert set(kinds) == set(MANIFOLDS)
    assert kinds["embed"]["properties"]["base"] == {"$ref": "#/$defs/Manifold"}


def test_new_writes_a_valid_scene(scenes: Program) -> None:
    code, stdout, stderr = scenes("new", "mine.yaml")
    assert (code, stdout, stderr) == (0, "mine.yaml\n", "")
    assert scenes("check", "mine.yaml")[0] == 0
    assert load_scene("mine.yaml").name == "mine"


def test_the_commented_settings_of_a_new_scene_are_the_defaults(tmp_path: Path) -> None:
    plain = tmp_path / "scene.yaml"
    written_out = tmp_path / "full.yaml"
    plain.write_text(STARTER_SCENE)
    settings = [line.removeprefix("# ") for line in STARTER_SCENE.splitlines()]
    keys = ("seed:", "manifold:", "data:", "network:", "training:", "snapshots:", "probes:", "levelset:", " ")
    written_out.write_text("\n".join(["name: scene", *(line for line in settings if line.startswith(keys))]))
    full, short = load_scene(str(written_out)), load_scene(str(plain))
    assert full.training.last_step(60) == short.training.last_step(60) == 1000
    stop = short.training.stop
    assert dataclasses.replace(full, training=dataclasses.replace(full.training, stop=stop)) == short
    assert written_out.read_text().count("\n") == 16


def test_new_replaces_a_file_only_with_force(scenes: Program) -> None:
    Path("scene.yaml").write_text("mine")
    code, stdout, stderr = scenes("new")
    assert (code, stdout) == (2, "") and "scene.yaml: already exists" in stderr
    assert Path("scene.yaml").read_text() == "mine"
    assert scenes("new", "--force")[0] == 0
    assert Path("scene.yaml").read_text() == STARTER_SCENE


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["show", "sphere_in_3"], 3, "did you mean 'sphere_in_3d'?"),
        (["show", "sphere_in_3d", "--out", "missing/picture.png"], 5, "missing/picture.png: cannot be written"),
        (["check", "none.yaml"], 3, "none.yaml"),
        (["check", "bad.yaml"], 3, "network.first_layer_weight_scale has 2 factors; the space has 3 coordinates"),
        (["check", "sphere_in_3d", "--set", "data.labels.fraction=2"], 3, "data.labels.fraction"),
        (["new", "missing/scene.yaml"], 5, "missing/scene.yaml: cannot be written"),
    ],
)
def test_a_mistake_gives_one_line_and_its_exit_code(
    words: list[str], code: int, message: str, scenes: Program, tmp_path: Path
) -> None:
    Path("bad.yaml").write_text("manifold: {kind: sphere}\nnetwork: {first_layer_weight_scale: [1.0, 2.0]}\n")
    exit_code, stdout, stderr = scenes(*words)
    assert (exit_code, stdout) == (code, ""), stderr
    assert stderr.count("\n") == 1 and message in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]
