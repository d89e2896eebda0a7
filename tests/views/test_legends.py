"""Legends name what is seen at the present step, and nothing else: classes, rings, outlines, boundary and hatching."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.views.content.frame import Frame
from dimple.views.content.from_run import frames_from_run
from dimple.views.film.caption import LayoutCanvas, write_legend
from dimple.views.film.layout import FRAME_SIZE
from dimple.views.web.page import write_web_page
from dimple.views.window.legend import _entries
from tests.views import slices
from tests.views.browser import Browser, needs_browser
from tests.views.material import plane_frames, space_frames, write_run


class Words(LayoutCanvas):
    """A canvas that remembers its texts."""

    def __init__(self) -> None:
        super().__init__(Image.new("RGB", FRAME_SIZE), 1.0)
        self.texts: list[str] = []

    def text(self, position: tuple[float, float], text: str, *options: object, **more: object) -> None:
        self.texts.append(text)


def film_legend(frame: Frame, has_outlines: bool = False) -> list[str]:
    canvas = Words()
    write_legend(canvas, frame, (0, 0), 790, has_outlines)
    return canvas.texts


def window_legend(frame: Frame) -> list[str]:
    return [name for _, name in _entries([frame.drawing], 1, show_hidden=True, show_manifold=True)]


def with_predictions(frame: Frame, predictions: np.ndarray) -> Frame:
    points = dataclasses.replace(frame.drawing.points, predictions=predictions)
    return dataclasses.replace(frame, drawing=dataclasses.replace(frame.drawing, points=points))


@pytest.mark.parametrize("frame", [space_frames()[1], plane_frames()[0], slices.frame(2), slices.frame(3)])
def test_rings_are_explained_where_there_are_some(frame: Frame) -> None:
    assert "ringed: misclassified" in film_legend(frame) and "misclassified" in window_legend(frame)
    right = with_predictions(frame, frame.drawing.points.labels)
    assert "ringed: misclassified" not in film_legend(right) and "misclassified" not in window_legend(right)


def test_a_boundary_is_explained_where_there_is_one() -> None:
    without, outside, *_ = space_frames()
    color = "color: depth of the manifold in a class, input units"
    assert color in film_legend(outside) and color not in film_legend(without)
    hollow = "hollow: behind the boundary"
    assert hollow in window_legend(outside) and hollow not in window_legend(without)
    assert hollow in film_legend(outside, has_outlines=True) and hollow not in film_legend(outside)


@pytest.mark.parametrize("dim", [2, 3])
def test_hatching_is_explained_where_there_is_some(dim: int) -> None:
    frame = slices.frame(dim)
    word = "hatched" if dim == 2 else "pale"
    assert f"{word}: some pixel is outside its range" in film_legend(frame)
    assert "pale: outside the input range" in window_legend(frame)
    signs = np.stack(np.meshgrid(*[[slices.LOW, slices.HIGH]] * dim), axis=-1).reshape(-1, dim)
    for valid in (None, signs):
        drawings = [
            dataclasses.replace(drawing, class_regions=dataclasses.replace(drawing.class_regions, valid_vertices=valid))
            for drawing in frame.drawings
            if drawing.class_regions is not None
        ]
        control = dataclasses.replace(frame.control, drawing=drawings[1]) if frame.control else None
        everywhere = dataclasses.replace(frame, drawing=drawings[0], control=control)
        assert not any("range" in text for text in film_legend(everywhere) + window_legend(everywhere))


@needs_browser
def test_the_legend_of_a_page_follows_step_and_buttons(browser: Browser, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    points = run.columns("points")
    points["prediction"] = np.where(points["step"] == 100, points["label"], points["prediction"])
    run.write_table("points", points, {})
    browser.open(write_web_page(run, frames_from_run(run), tmp_path / "page.html"), "step=100")

    def legend() -> str:
        browser.wait("!view.moving")
        browser.settle()
        return str(browser.run("byId('legend').innerText"))

    assert "ringed" not in legend() and "depth of the manifold" in legend() and "hollow" not in legend()
    browser.key("ArrowLeft")
    # The boundary lies around all points: those in front are outlines.
    assert "ringed" in legend() and "hollow" in legend()
    browser.key("b")
    assert "depth of the manifold" not in legend() and "hollow" not in legend() and "data manifold" in legend()
    browser.key("m")
    assert "data manifold" not in legend()
    browser.key("b")
    browser.key("Home")
    assert "depth of the manifold" not in legend()
