"""Bad scenes: `scenes check` and `simulate` answer each with one sentence, with file, line and column of its key."""

import sys
from pathlib import Path

import pytest

from dimple.cli import main

SPHERE = "manifold: {kind: sphere}\n"
DIGITS = "data: {kind: digits, "
BAD = {
    "a manifold that no picture holds": (
        "seed: 1\nmanifold: {kind: clifford_torus}\nlevelset:\n  kind: dense",
        "3:1: levelset: this manifold spans 4 dimensions",
    ),
    "one component": (
        SPHERE + "data:\n  labels: {kind: components}",
        "3:12: data.labels.kind is 'components'; Sphere has one component",
    ),
    "a normal of wrong length": (
        SPHERE + "data:\n  labels:\n    kind: half_space\n    normal: [1.0, 0.0]",
        "5:5: data.labels.normal",
    ),
    "one class": (
        SPHERE + "data: {labels: {kind: half_space, normal: [1.0, 0.0, 0.0], level: 9.0}}",
        "2:8: data.labels gives all 60",
    ),
    "no chart": (SPHERE + "data: {sampling: {kind: grid}}", "2:19: data.sampling.kind is 'grid'"),
    "a point off the manifold": (
        SPHERE + "data: {sampling: {kind: explicit, points: [[0.0, 0.0, 1.0],\n  [9.0, 9.0, 9.0]]}}",
        "3:3: data.sampling.points[1] is [9.0, 9.0, 9.0]",
    ),
    "an empty box": (
        SPHERE + "levelset: {kind: dense, low: [1.0, 1.0, 1.0], high: [0.0, 0.0, 0.0]}",
        "2:25: levelset.low [1.0, 1.0, 1.0] must be below",
    ),
    "corners in a slice": (
        "manifold: {kind: embed, base: {kind: sphere}, ambient_dim: 4}\nlevelset: {low: [0.0, 0.0, 0.0, 0.0]}",
        "2:1: levelset: low and high are for R^2 and R^3",
    ),
    "an image that does not exist": (SPHERE + "slice: {images: [100]}", "2:9: slice.images names 100"),
    "no tangents": (DIGITS + "subset: 50}\nprobes: [{kind: onoff}]", "2:1: probes lists onoff, which needs tangent"),
    "a network of images": (SPHERE + "network:\n  kind: convnet", "3:3: network.kind is 'convnet', which takes images"),
    "factors of wrong length": (
        SPHERE + "network: {first_layer_weight_scale: [1.0, 2.0]}",
        "2:11: network.first_layer_weight_scale has 2 factors",
    ),
    "too many images": (DIGITS + "subset: 99999}", "1:22: data.subset is 99999"),
    "one class of images": (DIGITS + "classes: [3]}", "1:22: data.classes is [3]"),
    "a probe twice": (SPHERE + "probes: [{kind: margin}, {kind: margin}]", "2:1: probes lists a kind twice"),
    "two kinds of data": (SPHERE + "data: {kind: digits}", "1:1: manifold is set, and data names images"),
    "no manifold": ("seed: 1", "1:1: the key manifold is missing"),
    "a value out of range": (SPHERE + "training:\n  steps: -3", "3:3: training.steps is -3"),
    "an unknown key": (SPHERE + "training:\n  stepz: 3", "3:3: unknown key training.stepz"),
    "a seed that runs over": (SPHERE + f"replicas: 2\nseed: {2**63 - 1}", "3:1: Scene.seed is 9223372036854775808"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("words", [("scenes", "check", "x.yaml"), ("simulate", "x.yaml", "--no-film")], ids=" ".join)
def test_a_bad_scene_is_refused_with_its_place(
    words: tuple[str, ...],
    text: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(text + "\n")
    monkeypatch.setattr(sys, "argv", ["dimple", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 3
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"dimple: x.yaml:{message}"), lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.yaml"]
