"""Classes of a user in scenes and runs: allowed by their file, known by its sum, and refused without."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple import Run, load_scene
from dimple.errors import SceneError, UsageError
from dimple.experiment import simulate
from dimple.networks import module_network
from dimple.scene import allow_code, own_code
from dimple.scene.scene import FAMILIES
from dimple.tensors import generator
from dimple.training import Stop, Training

CODE = '''
from torch import nn

from dimple.data import LabelRule
from dimple.data.labels import RandomLabels
from dimple.settings import settings
from dimple.training import Objective


@settings
class Sharp(Objective):
    """The cross-entropy of scaled scores."""

    scale: float = 4.0

    def loss(self, network, batch):
        return nn.functional.cross_entropy(self.scale * network(batch.x), batch.y)
'''
CHANGES = ["training={kind: own_training:Sharp, steps: 4}", "snapshots.count=2", "levelset.resolution=8", "probes=[]"]


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """A file of code; what it registers is forgotten after the test."""
    before = {base: dict(table) for base, table in FAMILIES.items()}
    allowed = dict(own_code._allowed)
    (tmp_path / "own_training.py").write_text(CODE)
    factories = dict(module_network.FACTORIES)
    yield tmp_path / "own_training.py"
    module_network.FACTORIES.clear()
    module_network.FACTORIES.update(factories)
    for base, table in FAMILIES.items():
        table.clear()
        table.update(before[base])
    own_code._allowed.clear()
    own_code._allowed.update(allowed)
    sys.modules.pop("own_training", None)


def dimple(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dimple", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_with_a_class_of_its_user_can_be_read_and_made_again(code: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="own_training:Sharp"):
        load_scene("circle_in_2d", CHANGES)
    assert allow_code(code) == ["own_training:Sharp"]
    run = simulate(load_scene("circle_in_2d", CHANGES), tmp_path / "run", film=False)
    assert run.scene == load_scene("circle_in_2d", CHANGES)
    scene = run.path / "scene.yaml"
    again = dimple("simulate", scene, "-o", tmp_path / "again", "--no-film", "--jobs", 2, "--allow-code", code)
    assert again.returncode == 0, again.stderr
    for name, values in run.columns("points").items():
        np.testing.assert_array_equal(values, Run.open(tmp_path / "again").columns("points")[name])
    proven = dimple("--allow-code", code, "completeness", run.path)
    assert proven.returncode == 0, proven.stderr


def test_without_the_file_a_run_opens_from_its_tables_and_says_what_needs_the_code(code: Path, tmp_path: Path) -> None:
    allow_code(code)
    run = simulate(load_scene("circle_in_2d", CHANGES), tmp_path / "run", film=False)
    own_code._allowed.clear()
    opened = Run.open(run.path)
    assert len(opened.metrics) == 2
    with pytest.raises(SceneError, match=r"was made with classes of own_training.py; .* --allow-code own_"):
        _ = opened.scene
    answer = dimple("completeness", run.path)
    assert (answer.returncode, answer.stderr.count("\n")) == (3, 1)


def test_a_file_that_has_changed_is_refused(code: Path, tmp_path: Path) -> None:
    allow_code(code)
    run = simulate(load_scene("circle_in_2d", CHANGES), tmp_path / "run", film=False)
    code.write_text(CODE + "\nCHANGED = True\n")
    allow_code(code)
    with pytest.raises(SceneError, match=r"was made with another own_training.py \(sha256 [0-9a-f]{12}, the file has"):
        _ = Run.open(run.path).scene


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("1 / 0", "fails with ZeroDivisionError"),
        ("x = 1", "holds no class that a scene can use"),
        ("def (", "fails with SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used_is_answered_with_a_sentence(
    content: str | None, problem: str, code: Path, tmp_path: Path
) -> None:
    file = tmp_path / "other_code.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SceneError, match=problem):
        allow_code(file)


def test_a_class_without_a_file_is_known_in_its_own_process(code: Path, tmp_path: Path) -> None:
    namespace: dict[str, object] = {"__name__": "notebook"}
    exec(CODE, namespace)
    scene = load_scene("circle_in_2d", CHANGES[1:])
    import dataclasses

    own = dataclasses.replace(scene, training=Training(objective=namespace["Sharp"](), stop=Stop(steps=4)))  # type: ignore[operator]
    run = simulate(own, tmp_path / "run", film=False)
    assert run.scene == own
    assert run.info["code"] == {"notebook": {"file": "notebook", "sha256": ""}}


NETWORKS = """
import torch
from torch import nn

_hidden = 5
fixed = nn.Linear(2, 2)


def logit(width=_hidden):
    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))


def lazy():
    return nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2))


def broken():
    raise RuntimeError("no network")


def wide(width):
    return nn.Linear(width, 2)
"""


@pytest.fixture
def networks(code: Path) -> Path:
    """A file with networks."""
    file = code.with_name("own_networks.py")
    file.write_text(NETWORKS)
    return file


def module(name: str) -> list[str]:
    return ["training.steps=4", *CHANGES[1:], f"network={{kind: module, name: '{name}'}}"]


def test_a_scene_trains_a_network_of_its_user(networks: Path, tmp_path: Path) -> None:
    assert allow_code(networks) == [f"own_networks:{name}" for name in ("fixed", "logit", "lazy", "broken")]
    for name in ("fixed", "logit", "lazy"):
        scene = load_scene("circle_in_2d", module(f"own_networks:{name}"))
        run = simulate(scene, tmp_path / name, film=False)
        assert run.scene == scene
        assert run.info["code"]["own_networks"]["file"] == "own_networks.py"
        before, after = (list(run.network(step).parameters()) for step in (0, 4))
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        # The objects of the file are not trained, and the global stream of torch does not matter.
        torch.rand(3)
        again = scene.network.build(2, generator(scene.seed, "network"))
        assert all(torch.equal(a, b.double()) for a, b in zip(before, again.parameters(), strict=True))
    command = ("simulate", tmp_path / "logit" / "scene.yaml", "-o", tmp_path / "other", "--no-film", "--jobs", 2)
    refused = dimple(*command)
    assert (refused.returncode, refused.stderr.count("\n")) == (3, 1)
    assert "is code that was not allowed" in refused.stderr
    allowed = dimple(*command, "--allow-code", networks)
    assert allowed.returncode == 0, allowed.stderr
    for key, values in Run.open(tmp_path / "logit").columns("points").items():
        np.testing.assert_array_equal(values, Run.open(tmp_path / "other").columns("points")[key])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("os:abort", r"network.name is 'os:abort', which is code that was not allowed; .* --allow-code os.py"),
        ("own_networks:wide", r"wide\(\) fails: TypeError"),
        ("own_networks:narrow", "own_networks:narrow', which is code that was not allowed"),
        ("own_networks:broken", r"broken\(\) fails: .*no network"),
        ("resnet20", r"network\.name: resnet20 takes 3 x 32 x 32 images, the scene has 2"),
        ("resnet21", "model 'resnet21' is unknown; did you mean"),
    ],
)
def test_a_network_that_a_scene_cannot_have_is_answered_with_a_sentence(
    name: str, problem: str, networks: Path, tmp_path: Path
) -> None:
    allow_code(networks)
    scene = load_scene("circle_in_2d", module(name))
    with pytest.raises((SceneError, UsageError), match=problem) as raised:
        simulate(scene, tmp_path / "run", film=False)
    assert "\n" not in str(raised.value)
