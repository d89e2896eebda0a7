"""The lesson of a gallery: its questions have answers, which are those of the recorded runs."""

from pathlib import Path

import numpy as np
import pytest

from dimple.runs.run import RunFolder
from dimple.scene import load_scene, shipped_scenes
from dimple.views.site.gallery import GalleryScene, write_index_page
from dimple.views.site.lesson import LESSON_SCENES, QUESTIONS, lesson_entries


def record(folder: Path, name: str, ratio: float, **summary: object) -> GalleryScene:
    info = {"name": name, "seed": 0, "device": "cpu", "versions": {}, "samples": {"shape": [2], "classes": ["a", "b"]}}
    run = RunFolder.create(folder / name, info, "seed: 0\n")
    values = {
        "step": [0, 10, 20], "train_accuracy": [0.5, 0.6, 1.0], "dimple_depth": [0.3, 0.2, 0.125],
        "margin_on_ratio": [1.0, 1.0, ratio], "margin_on_ratio_null": [1.4, 1.4, 1.5],
        "gradient_off_manifold_fraction": [0.5, 0.6, 0.875],
    }  # fmt: skip
    run.write_table("metrics", {column: np.array(numbers) for column, numbers in values.items()}, {})
    run.info["summary"] = {"verdict": "undecided", "verdict_reason": "nothing decided", **summary}
    return GalleryScene(run, "", 1, 2, f"dimple simulate {name}")


def answers(scene: GalleryScene) -> list[str]:
    return [entry["answer"] for entry in lesson_entries([scene])]


def test_each_scene_of_the_lesson_is_built_in_and_measures_what_is_asked() -> None:
    assert {question.scene for question in QUESTIONS} == set(LESSON_SCENES) <= set(shipped_scenes())
    for name in LESSON_SCENES:
        assert {type(probe).__name__ for probe in load_scene(name).probes} >= {"Margin", "OnOff", "Offset"}


def test_the_answers_are_those_of_the_run(tmp_path: Path) -> None:
    first, second, nearest, chance = answers(record(tmp_path, "circle_in_2d", 3.0, cling_step=10, dimple_step=20))
    assert (
        first
        == "At step 10, when 60% of the training points are right: it comes to the data before they are all right."
    )
    assert second.startswith("From step 20 on") and "0.125" in second
    assert nearest.startswith("Off it:") and "3.00 times" in nearest and "1.50 times" in nearest
    assert "codimension 1 in 2 dimensions" in chance and "0.500" in chance and "0.875" in chance


def test_another_outcome_has_other_answers(tmp_path: Path) -> None:
    first, second, nearest, _ = answers(record(tmp_path, "circle_in_2d", 1.2))
    assert "does not come to the data" in first and "do not all become right" in second
    assert nearest.startswith("Neither:")
    (late, *_) = answers(record(tmp_path / "b", "circle_in_2d", 3.0, cling_step=20, dimple_step=10))
    assert "100%" in late and "not before they are all right" in late
    assert answers(record(tmp_path, "torus_in_3d", 3.0)) == [
        "The verdict of the prediction is undecided: nothing decided."
    ]


@pytest.mark.parametrize("asked", [True, False])
def test_the_index_asks_only_in_a_lesson(asked: bool, tmp_path: Path) -> None:
    scene = record(tmp_path, "circle_in_2d", 3.0, cling_step=10, dimple_step=20)
    questions = lesson_entries([scene]) if asked else []
    text = write_index_page([scene], [], tmp_path / "index.html", questions).read_text()
    assert text.count("<details") == (4 if asked else 0)
    assert ('id="lesson"' in text) == asked
