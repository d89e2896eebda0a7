"""Short keys of `training` in scene files, and the flat form that version 0.2.0 wrote."""

from pathlib import Path

import pytest

from dimple.errors import SceneError
from dimple.scene import Scene, load_scene, scene_text
from dimple.training import SGD, Adam, Averaging, Stop, Training
from dimple.training.objectives import Adversarial, Standard, Trades

SCENE = "manifold: {kind: circle}\n"


def load(folder: Path, text: str, *changes: str) -> Scene:
    (folder / "a.yaml").write_text(SCENE + text)
    return load_scene(str(folder / "a.yaml"), changes)


def test_short_keys_stand_for_the_long_ones(tmp_path: Path) -> None:
    short = load(tmp_path, "training: {kind: trades, steps: 7, lr: 0.1, objective: {eps: 0.3}}")
    long = load(
        tmp_path, "training: {objective: {kind: trades, eps: 0.3}, stop: {steps: 7}, optimizer: {kind: adam, lr: 0.1}}"
    )
    assert short == long
    assert short.training == Training(Trades(eps=0.3), Adam(lr=0.1), stop=Stop(steps=7))


def test_the_flat_form_of_stored_scenes_is_read(tmp_path: Path) -> None:
    adam = "training: {kind: standard, steps: 600, lr: 0.001, optimizer: adam, momentum: 0.0, weight_decay: 0.1}"
    sgd = "training: {kind: standard, steps: 600, lr: 0.01, optimizer: sgd, momentum: 0.9, weight_decay: 0.0}"
    stop = Stop(steps=600)
    assert load(tmp_path, adam).training == Training(Standard(), Adam(lr=0.001, weight_decay=0.1), stop=stop)
    assert load(tmp_path, sgd).training == Training(Standard(), SGD(lr=0.01, momentum=0.9), stop=stop)


def test_all_settings_read_back_from_their_text(tmp_path: Path) -> None:
    scene = load(
        tmp_path,
        "training: {objective: {kind: adversarial, norm: linf, restrict: off}, optimizer: {kind: sgd, momentum: 0.9}, "
        "schedule: {kind: one_cycle, warmup: 0.1}, batch_size: 8, epochs: 3, averaging: {decay: 0.9}, clip_norm: 1.0}",
    )
    assert scene.training.objective == Adversarial(norm="linf", restrict="off")
    assert scene.training.averaging == Averaging(decay=0.9)
    (tmp_path / "b.yaml").write_text(scene_text(scene))
    assert load_scene(str(tmp_path / "b.yaml")) == scene


@pytest.mark.parametrize(
    "training",
    [
        "{steps: 5, stop: {steps: 6}}",
        "{lr: 0.1, optimizer: {lr: 0.1}}",
        "{kind: trades, objective: {kind: trades}}",
    ],
)
def test_a_value_in_both_forms_is_one_mistake(training: str, tmp_path: Path) -> None:
    with pytest.raises(
        SceneError, match=r"a.yaml:2:\d+: training.\w+ and training.\w+.\w+ are the same; give one of them$"
    ):
        load(tmp_path, f"training: {training}")


def test_the_command_line_wins_in_either_form(tmp_path: Path) -> None:
    assert load(tmp_path, "training: {stop: {steps: 5}}", "training.steps=6").training.stop == Stop(steps=6)
    assert load(tmp_path, "training: {steps: 5}", "training.stop.steps=6").training.stop == Stop(steps=6)
    with pytest.raises(SceneError, match="are the same"):
        load(tmp_path, "", "training.stop.steps=6", "training.steps=6")


def test_a_mistake_has_the_name_that_was_written(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"a.yaml:2:\d+: training.lr is 'fast'"):
        load(tmp_path, "training: {lr: fast}")
    with pytest.raises(SceneError, match=r"a.yaml:2:\d+: training.optimizer.lr is 'fast'"):
        load(tmp_path, "training: {optimizer: {lr: fast}}")
    with pytest.raises(SceneError, match=r"a.yaml:2:\d+: training.kind is 'trads'; did you mean 'trades'\?"):
        load(tmp_path, "training: {kind: trads}")
    with pytest.raises(SceneError, match=r"unknown key training.momentum"):
        load(tmp_path, "training: {momentum: 0.9}")


IMAGES = "data: {kind: digits}\nprobes: [{kind: margin}, {kind: onoff, tangents: local_pca}]\n"


def load_images(folder: Path, text: str, *changes: str) -> Scene:
    (folder / "a.yaml").write_text(text)
    return load_scene(str(folder / "a.yaml"), changes)


def test_the_tangents_of_a_probe_are_those_of_the_scene(tmp_path: Path) -> None:
    short = load_images(tmp_path, IMAGES)
    long = load_images(
        tmp_path, "data: {kind: digits}\nprobes: [{kind: margin}, {kind: onoff}]\ntangents: {kind: local_pca}"
    )
    assert short == long and short.tangents is not None
    changed = load_images(tmp_path, IMAGES, "tangents={kind: global_pca, dim: 3}")
    assert type(changed.tangents).__name__ == "GlobalPCAEstimator"
    assert type(load_images(tmp_path, IMAGES, "probes[1].tangents=class_pca").tangents).__name__ == "ClassPCAEstimator"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            IMAGES + "tangents: {kind: global_pca}",
            r"a.yaml:2:40: probes\[1\].tangents and tangents .* give one of them",
        ),
        (IMAGES.replace("local_pca", "{dim: 3}"), r"probes\[1\].tangents is {'dim': 3}; it must be a name such as"),
        (
            IMAGES.replace("local_pca", "localpca"),
            r"a.yaml:2:40: tangents.kind is 'localpca'; did you mean 'local_pca'",
        ),
        (IMAGES.replace("kind: margin", "kind: margin, tangents: class_pca"), r"probes\[1\].tangents and tangents"),
    ],
)
def test_tangents_that_are_no_name_or_given_twice_are_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=sentence):
        load_images(tmp_path, text)
