"""Scenes of more than three dimensions: which flat holds their manifold, and figures of half-spaces that are known."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dimple import experiment
from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.levelsets import Exact
from dimple.manifolds import Circle, CliffordTorus, Flat, Lift, Manifold, Sphere
from dimple.scene import load_scene, shipped_scenes
from dimple.scene.display_slice import draw_in, flat_of, require_flat, section_figures
from dimple.tensors import generator
from dimple.views.content.from_run import frames_of_run

SQUARE = Flat(low=(-0.5, -0.5), high=(0.5, 0.5), offset=())
CUBE = Flat(low=(0.0,) * 3, high=(1.0,) * 3, offset=())
LINE = Flat(low=(-0.5,), high=(0.5,), offset=())


@pytest.mark.parametrize(
    ("manifold", "span", "dim", "words"),
    [
        (LINE, 1, 2, "section of R^9: the line that holds the manifold, and the steepest direction off it"),
        (SQUARE, 2, 3, "section of R^9: the 2 dimensions that hold the manifold, and the steepest direction off it"),
        (Circle(), 2, 3, "section of R^9: the 2 dimensions that hold the manifold, and the steepest direction off it"),
        (Sphere(dim=2), 3, 3, "section of R^9: the 3 dimensions that hold the manifold"),
    ],
)
def test_the_section_holds_the_manifold_and_the_gradient(
    manifold: Manifold, span: int, dim: int, words: str, double: None
) -> None:
    lifted = Lift(of=manifold, ambient_dim=9)
    normal = torch.randn(9, generator=generator(0, "normal"))
    half_space = Boundary(lambda x: torch.stack([0 * x[:, 0], x @ normal - 0.1], dim=1))
    drawn = draw_in(lifted, 0, lifted.sample(20, generator(1, "points")), half_space)
    assert (drawn.span, drawn.section.dim, drawn.words) == (span, dim, words)
    everywhere = lifted.sample(200, generator(2, "points"))
    assert float(drawn.section.distance(everywhere).max()) < 1e-9
    axes = drawn.section.axes
    _, columns = flat_of(lifted, 0)
    assert torch.allclose(axes[:, :span] @ axes[:, :span].T, columns @ columns.T, atol=1e-9)
    if dim > span:
        off = normal - columns @ (columns.T @ normal)
        assert abs(float(axes[:, span] @ off)) == pytest.approx(float(off.norm()))


@pytest.mark.parametrize(
    ("manifold", "span"),
    [(CliffordTorus(), 4), (Sphere(dim=3), 4), (Flat(low=(0.0,) * 3, high=(1.0,) * 3, offset=()), 3)],
)
def test_what_no_section_holds_is_refused_with_the_way_out(manifold: Manifold, span: int) -> None:
    with pytest.raises(SceneError, match=rf"which spans {span}, and a direction off it; .* dimple section --run"):
        require_flat(Lift(of=manifold, ambient_dim=7), 0)


def test_the_figures_of_a_half_space_are_known(double: None) -> None:
    n, d = 30, 2
    square = Lift(of=SQUARE, ambient_dim=n)
    x = square.sample(40, generator(3, "points"))
    normal = torch.randn(n, generator=generator(4, "normal"))
    half_space = Boundary(lambda x: torch.stack([0 * x[:, 0], x @ normal - 3.0], dim=1))
    drawn = draw_in(square, 0, x, half_space)
    row = section_figures(drawn, square, half_space, x, half_space.predict(x), 0)
    gaps = (x @ normal - 3.0).abs()
    within = float((normal @ drawn.section.axes).norm())
    assert row["margin_section"] == pytest.approx(float((gaps / within).median()), rel=1e-6)
    # One direction off the square has all of the gradient off it; by chance it would have one part in n - d.
    assert row["section_share"] == pytest.approx(1.0)
    assert row["section_share_null"] == pytest.approx(1 / (n - d))
    # A random one is never steeper than the steepest, so the boundary is never nearer there.
    assert row["margin_section"] <= row["margin_section_null_low"] * (1 + 1e-9)
    on = float((normal @ square.tangent_basis(x[:1])[0]).norm())
    assert row["margin_section_null_high"] <= float((gaps / on).median()) * (1 + 1e-9)


def test_a_scene_in_many_dimensions_is_filmed_in_its_section(rendering: None, tmp_path: Path) -> None:
    changes = ["training.steps=3", "snapshots.count=3", "probes=[]", "data.test_points=10", "data.probe_points=10"]
    run = experiment.simulate(load_scene("plane_in_10d", changes), tmp_path / "run", device="cpu")
    assert run.info["section"]["dim"] == 3
    assert {"margin_section", "section_share"} <= set(run.metrics())
    frames = frames_of_run(run)
    assert [frame.step for frame in frames] == run.steps
    for frame in frames:
        assert frame.drawing.points.positions.shape[1] == 3
        assert np.abs(frame.drawing.points.positions[:, 2]).max() < 1e-5
        assert frame.note.startswith("section of R^10: the 2 dimensions that hold the manifold")
        assert [fact.name for fact in frame.facts][-2:] == ["margin in the section", "gradient in the section"]
        # The manifold lies in the section, in its true size.
        manifold = frame.drawing.layer("manifold").mesh
        assert manifold.area == pytest.approx(1.0, rel=1e-5)
        assert np.abs(manifold.vertices[:, 2]).max() < 1e-5
    assert {"film.mp4", "film.png", "page.html", "report.html"} <= {path.name for path in run.path.iterdir()}
    assert "section of R^10" in (run.path / "report.html").read_text()


def test_the_corners_of_a_section_cannot_be_set() -> None:
    scene = load_scene("plane_in_10d")
    scene = dataclasses.replace(scene, levelset=Exact(low=(0.0,) * 10, high=(1.0,) * 10))
    with pytest.raises(SceneError, match="a section's box is fitted to the data"):
        scene.domain(scene.samples())


@pytest.mark.parametrize("name", shipped_scenes())
def test_every_scene_that_can_be_drawn_is(name: str) -> None:
    scene: Any = load_scene(name)
    if scene.manifold.ambient_dim <= 3:
        assert scene.drawable
        return
    held = flat_of(scene.manifold, 0)[1].shape[1]
    assert scene.drawable == (held < 3 or (held == 3 and scene.manifold.dim < 3))
