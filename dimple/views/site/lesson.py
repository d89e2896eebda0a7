"""The lesson of a gallery: questions about its recorded scenes, with answers from their runs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from dimple.views.content.labels import format_number
from dimple.views.site.gallery import GalleryScene

# The scenes of the lesson: two in which the boundary clings, a control of each, and one that contradicts the model.
LESSON_SCENES = ("circle_in_2d", "moons_in_2d", "sphere_in_3d", "sphere_halves_in_3d", "torus_in_3d")


@final
@dataclasses.dataclass(frozen=True)
class Question:
    """A question about the page of a scene.

    Attributes:
        scene: the name of the scene.
        text: the question, which says what to do on the page.
        answer: returns the answer from the scene.
    """

    scene: str
    text: str
    answer: Callable[[GalleryScene], str]


def _first_phase(scene: GalleryScene) -> str:
    cling = scene.summary.get("cling_step")
    dimple = scene.summary.get("dimple_step")
    if cling is None:
        return "In this recording the boundary does not come to the data and stay there: there is no such step."
    metrics = scene.run.columns("metrics")
    accuracy = float(metrics["train_accuracy"][np.searchsorted(metrics["step"], cling)])
    when = "before they are all right" if dimple is None or cling < dimple else "and not before they are all right"
    return f"At step {cling}, when {accuracy:.0%} of the training points are right: it comes to the data {when}."


def _second_phase(scene: GalleryScene) -> str:
    dimple = scene.summary.get("dimple_step")
    values = scene.final_statistics
    depth = (
        f"At the end the boundary is {format_number(values['dimple_depth'])} from the training points, in the median."
    )
    if dimple is None:
        return f"In this recording the training points do not all become right. {depth}"
    return f"From step {dimple} on all training points are right: it bends to the right side of each. {depth}"


def _along_or_off(scene: GalleryScene) -> str:
    values = scene.final_statistics
    ratio, null = (format_number(values[name]) for name in ("margin_on_ratio", "margin_on_ratio_null"))
    shorter = "Off it" if values["margin_on_ratio"] > values["margin_on_ratio_null"] else "Neither"
    return (
        f"{shorter}: the way to the boundary along the manifold is {ratio} times as long as the shortest one, in the "
        f"median over the training points. Along random directions, as many as the manifold has, it is {null} times as "
        "long; only what exceeds this says anything about the manifold."
    )


def _chance(scene: GalleryScene) -> str:
    dim = scene.dim
    ambient_dim = scene.ambient_dim
    name = "gradient_off_manifold_fraction"
    found = format_number(scene.final_statistics[name])
    assert dim is not None
    return (
        f"The manifold has codimension {ambient_dim - dim} in {ambient_dim} dimensions, so by chance it is "
        f"{format_number((ambient_dim - dim) / ambient_dim)}. Measured at the last step: {found}."
    )


def _verdict(scene: GalleryScene) -> str:
    reason = str(scene.summary.get("verdict_reason", ""))
    return f"The verdict of the prediction is {scene.summary.get('verdict')}: {reason}."


QUESTIONS = (
    Question(
        "circle_in_2d",
        "Play the training. When has the boundary come close to the whole circle, and how many of the training points "
        "are right by then? (Compare with guessing.)",
        _first_phase,
    ),
    Question("circle_in_2d", "Play on. What changes near each training point, and how far does it go?", _second_phase),
    Question(
        "circle_in_2d",
        "Stop at the last step. From a training point, is the nearest way across the boundary along the circle or off "
        "it? How much of this would you see for a random direction?",
        _along_or_off,
    ),
    Question(
        "circle_in_2d",
        "Which fraction of the squared gradient of the score points off the circle if the gradient is a random "
        "direction? Which one is measured?",
        _chance,
    ),
    Question("sphere_in_3d", "The same for a sphere in space: what would chance be here?", _chance),
    Question(
        "sphere_in_3d",
        "Do the two phases come in the same order as on the circle? What would have to be seen to contradict them?",
        _verdict,
    ),
    Question(
        "sphere_halves_in_3d",
        "The same sphere, with its halves as classes, which are easy to tell apart. Does the boundary cling to it?",
        _verdict,
    ),
    Question("moons_in_2d", "Two moons with a class each. What does the boundary do here?", _verdict),
    Question(
        "torus_in_3d",
        "A torus, labeled like the sphere. Which condition of the prediction decides, and with which value?",
        _verdict,
    ),
)


def lesson_entries(scenes: Sequence[GalleryScene]) -> list[dict[str, Any]]:
    """Return the questions about the scenes of a gallery, with their answers, for its index."""
    by_name = {scene.name: scene for scene in scenes}
    return [
        {"scene": question.scene, "text": question.text, "answer": question.answer(by_name[question.scene])}
        for question in QUESTIONS
        if question.scene in by_name
    ]
