"""Scenes that are wrong or enormous: what they may cost, and what a user is told."""

import contextlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import strategies as st

from dimple.cli.commands.scenes import check
from dimple.experiment.simulation import simulate_scene
from dimple.progress import show_progress
from dimple.scene import load_scene
from dimple.scene.find import shipped_scenes
from dimple.workers import Workers
from tests.attacks.hostile import attempt, changed_bytes, describe, require_answer, try_many

BASE = "circle_in_2d"


def check_scene(scene: str, *changes: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        check(scene, list(changes))


def start(folder: Path, scene: str, *changes: str) -> None:
    """Do what `dimple simulate` does before its first step."""
    simulate_scene._start(load_scene(scene, changes), folder / "run", None, "cpu", False, show_progress, Workers())


BILLION = 10**9
# Changes of a scene, and a part of the sentence that a user sees; empty where the scene is sound.
VALUES: dict[str, tuple[tuple[str, ...], str]] = {
    **{
        f"{key} of a billion": ((f"{key}={BILLION}",), "it must be less than or equal to")
        for key in (
            "training.steps",
            "training.epochs",
            "training.batch_size",
            "snapshots.count",
            "replicas",
            "film.fps",
            "film.hold",
            "levelset.resolution",
            "data.sampling.count",
            "data.sampling.oversample",
            "data.test_points",
            "data.heldout_points",
            "probes.1.null_draws",
            "probes.0.max_passes",
        )
    },
    **{
        f"{change} ": ((change,), message)
        for change, message in {
            "training.objective={kind: adversarial, steps: 1000000000}": "less than or equal to",
            "probes=[{kind: margin, restarts: 1000000000}]": "less than or equal to",
            "probes=[{kind: curvature, steps: 1000000000}]": "less than or equal to",
            "probes=[{kind: exact, nodes: 1000000000}]": "less than or equal to",
            "data.labels={kind: chart_checkerboard, cells: 1000000000}": "less than or equal to",
            "data.labels={kind: harmonics, degree: 1000000000}": "less than or equal to",
            "data.sampling={kind: grid, per_side: 1000000000}": "less than or equal to",
            "levelset={kind: dense, resolution: 1000000}": "less than or equal to",
            "manifold={kind: sphere, dim: 1000000000}": "less than or equal to",
            "manifold={kind: embed, base: {kind: circle}, ambient_dim: 1000000000}": "less than or equal to",
            "network.widths=[1000000000]": "less than or equal to",
            "network.widths=[10000000, 10000000]": "weights and needs 2.4e+06 GB of memory; the limit is 16 GB",
            "network={kind: two_layer, width: 10000000}": "",
            "training.steps=10000000": "",
            "training.lr=1e300": "between 1e-30 and 1e+30 in size",
            "training.lr=1e-300": "between 1e-30 and 1e+30 in size",
            "manifold.radius=1e300": "between 1e-30 and 1e+30 in size",
            "manifold.radius=1e-300": "between 1e-30 and 1e+30 in size",
            "data.noise=1e300": "between 1e-30 and 1e+30 in size",
            "film.turn=1e300": "between 1e-30 and 1e+30 in size",
            "training.clip_norm=1e-300": "between 1e-30 and 1e+30 in size",
            "data.sampling={kind: uniform, count: 1000000}": "1000000 x 1000000 distances and needs",
            "data.sampling={kind: farthest_point, count: 10000000, oversample: 10000000}": "hours; the limit is 1000",
            "data.sampling={kind: farthest_point, count: 100, oversample: 10000000}": "GB of memory; the limit is",
        }.items()
    },
    "a sphere of 100,000 dimensions": (
        ("manifold={kind: sphere, dim: 100000}", "levelset={kind: none}"),
        "GB of memory; the limit is 16 GB",
    ),
    "an embedding in 3,000 dimensions": (
        ("manifold={kind: embed, base: {kind: circle}, ambient_dim: 3000}", "levelset={kind: none}"),
        "",
    ),
    "a residual network of 10,000 layers": (("network={kind: resnet, depth: 9998}",), "takes images"),
    "a million points": (
        ("data.labels={kind: half_space, normal: [1.0, 0.0]}", "data.sampling={kind: uniform, count: 1000000}"),
        "",
    ),
    "a hundred million updates a replica": (
        (
            "training.steps=10000000",
            "replicas=10000",
            "data.labels={kind: half_space, normal: [1.0, 0.0]}",
            "data.sampling={kind: uniform, count: 10000}",
        ),
        "hours; the limit is 1000 hours: make it smaller, or raise the limit, as with DIMPLE_MAX_HOURS=",
    ),
    "draws at many points": (
        ("probes=[{kind: onoff, null_draws: 10000, max_passes: 1000000}]", "data.test_points=100000"),
        "hours; the limit is 1000 hours",
    ),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.filterwarnings("ignore")
def test_enormous_settings_are_answered_in_bounded_memory_and_time(kind: str, tmp_path: Path) -> None:
    changes, message = VALUES[kind]
    found = attempt(check_scene, BASE, *changes)
    if message:
        found.require_bounded()
        assert message in found.answer, found
    else:
        assert found.answer == "read"
    started = attempt(start, tmp_path, BASE, *changes)
    # The check of a file adds the place of a value.
    assert found.answer.endswith(started.answer.removeprefix("refused: "))


def keys(count: int) -> str:
    return "\n".join(f"key{number}: 1" for number in range(count))


# Texts of a scene, and a part of the sentence that a user sees.
TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "60,000 keys": (lambda: keys(60_000), "has more than 500 keys"),
    "400 unknown keys": (lambda: keys(400), "and 381 more mistakes"),
    "a key of 900,000 letters": (lambda: f"{'k' * 900_000}: 1", "is not YAML|unknown key"),
    "a word of 900,000 letters": (lambda: f"manifold: {{kind: {'k' * 900_000}}}", "manifold.kind is"),
    "a list of 200,000 numbers": (
        lambda: f"manifold: {{kind: circle}}\nnetwork: {{widths: [{'1,' * 200_000}1]}}",
        "has more than 50000 values",
    ),
    "lists 100,000 deep": (lambda: "a: " + "[" * 100_000, "too deep"),
    "aliases": (lambda: "a: &a [1]\nb: *a", "aliases are not allowed"),
    "escapes": (lambda: 'name: "\\e[31mred\\u202e"\nmanifold: {kind: circle}', "names match"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_enormous_texts_are_answered_in_bounded_memory_and_time(kind: str, tmp_path: Path) -> None:
    make, message = TEXTS[kind]
    file = tmp_path / "scene.yaml"
    file.write_text(make(), encoding="utf-8")
    found = attempt(check_scene, str(file))
    answer = found.answer
    assert len(answer.splitlines()) <= 20
    assert all(len(line) < 3000 for line in answer.splitlines())
    assert found.seconds < 10 and found.megabytes < 300, found
    assert any(part in answer for part in message.split("|")), answer


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing"])
def test_what_is_no_regular_file_is_refused_wherever_a_scene_names_it(kind: str, tmp_path: Path) -> None:
    path = {"device": Path("/dev/zero")}.get(kind, tmp_path / "thing.yaml")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    for function, arguments in (
        (check_scene, (str(path),)),
        (check_scene, (BASE, f"data.labels={{kind: image, file: '{path}'}}")),
        (check_scene, (BASE, f"manifold={{kind: decoder, weights: '{path}'}}")),
        (check_scene, (BASE, "manifold=null", f"data={{kind: npz, file: '{path}'}}")),
    ):
        found = attempt(function, *arguments)
        found.require_bounded()


def scene_values(value: Any) -> st.SearchStrategy[Any]:
    """Return values to put in the place of one in a scene."""
    numbers = st.sampled_from([0, -1, 1, 2, 10**4, 10**7, 10**9, 2**63, 1e300, 1e-300, 1e12, -1e12, 0.5, True, None])
    words = st.sampled_from(["", "x", "none", "a:b", "../x", "relu", "\u202e", "$\\frac", "-"])
    return st.one_of(numbers, words, st.just([]), st.just({}), st.just([value]), st.just({"kind": value}))


@st.composite
def changed_scenes(draw: st.DrawFn) -> dict[str, Any]:
    """Return a shipped scene in which some values are others, left out, or under another key."""
    text = draw(st.sampled_from(sorted(shipped_scenes().values()))).read_text(encoding="utf-8")
    scene: dict[str, Any] = yaml.safe_load(text)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = scene
        while True:
            places = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not places:
                break
            key = draw(st.sampled_from(places))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            change = draw(st.sampled_from(["value", "leave out", "key"]))
            if change == "value" or isinstance(place, list):
                place[key] = draw(scene_values(place[key]))
            elif change == "leave out":
                del place[key]
            else:
                place[draw(st.sampled_from(["kind", "count", "dim", "steps", "x"]))] = place.pop(key)
            break
    return scene


def try_scenes(count: int, path: Path) -> None:
    file = path / "scene.yaml"

    def read(scene: dict[str, Any]) -> None:
        file.write_text(yaml.safe_dump(scene), encoding="utf-8")
        require_answer(load_scene, str(file))

    try_many(read, changed_scenes(), count)


def try_texts(count: int, path: Path) -> None:
    file = path / "scene.yaml"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        require_answer(load_scene, str(file))

    try_many(read, changed_bytes(shipped_scenes()[BASE].read_bytes()), count)


def try_checks(count: int, path: Path) -> None:
    """Check scenes, and start those that are sound, each in a process of its own."""
    file = path / "scene.yaml"

    def read(scene: dict[str, Any]) -> None:
        file.write_text(yaml.safe_dump(scene), encoding="utf-8")
        if describe(load_scene, str(file)) == "read":
            found = attempt(check_scene, str(file))
            assert found.answer.startswith(("refused", "read")) or found.answer == "hang", (found, scene)
            assert found.answer != "hang", scene

    try_many(read, changed_scenes(), count)


@pytest.mark.filterwarnings("ignore")
def test_changed_scenes_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    try_scenes(25, tmp_path)
    try_texts(25, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_thousands_of_changed_scenes_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    try_scenes(2000, tmp_path)
    try_texts(2000, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_hundreds_of_changed_scenes_are_checked_or_refused_in_a_sentence(tmp_path: Path) -> None:
    try_checks(300, tmp_path)
