"""The shipped scenes: each has a description, and runs; together they cover all dimensions."""

import dataclasses
from pathlib import Path

import pytest

from dimple.experiment import simulate
from dimple.levelsets import Adaptive, Dense, NoLevelSet
from dimple.probes import Offset
from dimple.scene import load_scene, shipped_scenes
from tests.built_in_scenes import MANIFOLD_SCENES

SCENES = shipped_scenes()
every_scene = pytest.mark.parametrize("name", SCENES)
# The dimension of a manifold and of its space, for curves, surfaces and solids in the spaces of the shipped scenes.
COVERED = {(1, 2)} | {(d, n) for n in (3, 4, 10, 100, 784) for d in (1, 2, 3) if d < n}


def test_the_gallery_is_large_and_covers_the_dimensions() -> None:
    dimensions = set()
    for name in MANIFOLD_SCENES:
        manifold = load_scene(name).manifold
        dimensions.add((manifold.dim, manifold.ambient_dim))
    assert len(SCENES) >= 16
    assert dimensions >= COVERED


@every_scene
def test_a_scene_starts_with_a_sentence_and_has_a_description(name: str) -> None:
    text = SCENES[name].read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    assert first.startswith("# ") and first.endswith(".") and len(first) <= 140
    comment = "".join(line for line in text.splitlines() if line.startswith("#"))
    assert "What to look for" in comment
    assert load_scene(name).name == name


@pytest.mark.parametrize("name", MANIFOLD_SCENES)
def test_a_scene_runs_for_a_few_steps(name: str, tmp_path: Path) -> None:
    scene = load_scene(name, ["training.steps=3", "snapshots.count=3"])
    data = dataclasses.replace(scene.data, test_points=20, heldout_points=20)
    levelset = scene.levelset
    if isinstance(levelset, Dense | Adaptive):
        levelset = dataclasses.replace(levelset, resolution=12)
    scene = dataclasses.replace(scene, data=data, probes=(Offset(null_draws=1),), levelset=levelset)
    run = simulate(scene, tmp_path / "run", film=False)
    assert run.info["status"] == "complete"
    summary = run.info["summary"]
    assert summary["steps"] == 3 and summary["verdict"] == "undecided"
    assert 0 < summary["final"]["boundary_distance"] <= min(scene.manifold.reach, 1.0) * (1 + 1e-9)
    assert len(run.meshes()) == len(run.steps)
    assert scene.manifold is not None
    assert (scene.manifold.ambient_dim > 3) == (scene.has_display_slice or isinstance(scene.levelset, NoLevelSet))
