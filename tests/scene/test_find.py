"""Names in scene files are checked without torch, with the sentences of the full check."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dimple.errors import SceneError
from dimple.scene import check_scene_names, load_scene, shipped_scenes
from dimple.scene.find import SCHEMA_FILE
from dimple.scene.kinds import scene_kinds
from dimple.scene.scene import FAMILIES, Scene
from dimple.scene.schema import json_schema


def test_the_exported_schema_is_that_of_the_classes() -> None:
    exported = json.loads(SCHEMA_FILE.read_text())
    assert exported == json.loads(json.dumps(json_schema(Scene, FAMILIES))), (
        "write it again: dimple scenes schema > dimple/scene/schema.json"
    )


@pytest.mark.parametrize("name", sorted(shipped_scenes()))
def test_every_built_in_scene_passes(name: str) -> None:
    check_scene_names(name)


@pytest.mark.parametrize(
    "changes",
    [
        ["training.stepz=3"],
        ["manifold.kind=spere"],
        ["manifold.radiuss=1"],
        ["data.sampling={kind: unifrom}"],
        ["probes=[{kind: margin, budget: 3}, {kind: onof}]"],
        ["budget=3", "film.sise=[640, 480]"],
        ["levelset={kind: grid}"],
        ["manifold={kind: embed, inner: {kind: sphere, dimm: 2}}"],
    ],
    ids=str,
)
def test_a_mistake_gets_the_sentence_of_the_full_check(changes: list[str]) -> None:
    with pytest.raises(SceneError) as early:
        check_scene_names("sphere_in_3d", changes)
    with pytest.raises(SceneError) as full:
        load_scene("sphere_in_3d", changes)
    assert set(early.value.args) <= set(full.value.args)


# Rules of one value, as its annotation gives them.
PLAIN_RULE = re.compile(r"it must be (greater|less|finite|an? |')|it must have at (least|most)")
VALUES = ["-1", "3.5", ".nan", "'x'", "[]", "null"]


def fields() -> Iterator[tuple[str, str]]:
    """The plain keys of the scene and of every kind that can stand in it, each with the text of a scene before it."""
    for path, kinds in scene_kinds().items():
        if path.split(".")[0] in ("manifold", "levelset", "network", "film"):
            for kind, schema in kinds.items():
                for key in schema["properties"]:
                    if key not in ("kind", "base"):
                        yield path, f"kind: {kind}, {key}"
    for key in ("seed", "name", "replicas", "training.steps", "training.lr", "snapshots.count", "film.size"):
        yield "", key


def sentences(check: Callable[[], object]) -> set[str]:
    try:
        check()
    except SceneError as error:
        return set(error.args)
    return set()


@pytest.mark.parametrize(("path", "key"), list(fields()), ids=str)
def test_a_value_is_refused_as_by_the_full_check(path: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    for value in VALUES:
        if not path:
            text = "".join(f"{' ' * depth}{word}:\n" for depth, word in enumerate(key.split(".")))[:-1] + f" {value}\n"
        else:
            text = f"{path}: {{{key}: {value}}}\n"
        file.write_text(text if path == "manifold" else text + "manifold: {kind: sphere}\n")
        early = sentences(lambda: check_scene_names(str(file)))
        full = sentences(lambda: load_scene(str(file)))
        assert early <= full, (text, early - full)
        # What the full check adds are rules about several values, which the class gives.
        assert early or not any(PLAIN_RULE.search(sentence) for sentence in full), (text, full)


def test_classes_of_the_user_and_wrong_forms_are_left_to_the_full_check() -> None:
    check_scene_names("sphere_in_3d", ["training={objective: {kind: mine:Slow, anything: 3}}", "film=3"])


def test_a_wrong_name_is_answered_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch was loaded')\n")
    command = [sys.executable, "-m", "dimple", "simulate", "sphere_in_3d", "--set", "training.stepz=3"]
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": path})
    assert answer.returncode == 3
    assert answer.stderr.startswith("dimple: --set training.stepz: unknown key training.stepz; did you mean 'steps'?")
