"""Display slices of scenes with more than three dimensions, and their statistics for known half-spaces."""

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
from dimple.manifolds import Circle, CliffordTorus, Embedding, Flat, Manifold, Sphere
from dimple.scene import load_scene
from dimple.scene.display_slice import affine_hull, build_display_slice, compute_slice_statistics, require_display_slice
from dimple.tensors import generator
from dimple.views.content.from_run import frames_from_run
from tests.built_in_scenes import MANIFOLD_SCENES

SQUARE = Flat(low=(-0.5, -0.5), high=(0.5, 0.5), offset=())
CUBE = Flat(low=(0.0,) * 3, high=(1.0,) * 3, offset=())
LINE = Flat(low=(-0.5,), high=(0.5,), offset=())


@pytest.mark.parametrize(
    ("manifold", "span", "dim", "description"),
    [
        (LINE, 1, 2, "slice of R^9: the line that contains the manifold, and the steepest direction off it"),
        (SQUARE, 2, 3, "slice of R^9: the 2 dimensions that contain the manifold, and the steepest direction off it"),
        (Circle(), 2, 3, "slice of R^9: the 2 dimensions that contain the manifold, and the steepest direction off it"),
        (Sphere(dim=2), 3, 3, "slice of R^9: the 3 dimensions that contain the manifold"),
    ],
)
def test_the_slice_contains_the_manifold_and_the_gradient(
    manifold: Manifold, span: int, dim: int, description: str, double: None
) -> None:
    embedding = Embedding(base=manifold, ambient_dim=9)
    normal = torch.randn(9, generator=generator(0, "normal"))
    half_space = Boundary(lambda x: torch.stack([0 * x[:, 0], x @ normal - 0.1], dim=1))
    display_slice = build_display_slice(embedding, 0, embedding.sample(20, generator(1, "points")), half_space)
    assert (display_slice.span_dim, display_slice.affine_slice.dim, display_slice.description) == (
        span,
        dim,
        description,
    )
    samples = embedding.sample(200, generator(2, "points"))
    assert float(display_slice.affine_slice.distance(samples).max()) < 1e-9
    axes = display_slice.affine_slice.axes
    _, columns = affine_hull(embedding, 0)
    assert torch.allclose(axes[:, :span] @ axes[:, :span].T, columns @ columns.T, atol=1e-9)
    if dim > span:
        off = normal - columns @ (columns.T @ normal)
        assert abs(float(axes[:, span] @ off)) == pytest.approx(float(off.norm()))


@pytest.mark.parametrize(
    ("manifold", "span"),
    [(CliffordTorus(), 4), (Sphere(dim=3), 4), (Flat(low=(0.0,) * 3, high=(1.0,) * 3, offset=()), 3)],
)
def test_a_manifold_that_no_slice_contains_is_refused_with_an_alternative(manifold: Manifold, span: int) -> None:
    with pytest.raises(SceneError, match=rf"spans {span} dimensions, so that no slice of 3 .* dimple slice --run"):
        require_display_slice(Embedding(base=manifold, ambient_dim=7), 0)


def test_the_statistics_of_a_half_space_are_known(double: None) -> None:
    n = 30
    d = 2
    square = Embedding(base=SQUARE, ambient_dim=n)
    x = square.sample(40, generator(3, "points"))
    normal = torch.randn(n, generator=generator(4, "normal"))
    half_space = Boundary(lambda x: torch.stack([0 * x[:, 0], x @ normal - 3.0], dim=1))
    display_slice = build_display_slice(square, 0, x, half_space)
    row = compute_slice_statistics(display_slice, square, half_space, x, half_space.predict(x), 0)
    margins = (x @ normal - 3.0).abs()
    within = float((normal @ display_slice.affine_slice.axes).norm())
    assert row["margin_in_slice"] == pytest.approx(float((margins / within).median()), rel=1e-6)
    # One direction off the square has all of the off-manifold gradient; by chance it has the fraction 1 / (n - d).
    assert row["gradient_slice_fraction"] == pytest.approx(1.0)
    assert row["gradient_slice_fraction_null"] == pytest.approx(1 / (n - d))
    # A random direction is never steeper than the steepest, so the boundary is never nearer there.
    assert row["margin_in_slice"] <= row["margin_in_slice_null_low"] * (1 + 1e-9)
    on = float((normal @ square.tangent_basis(x[:1])[0]).norm())
    assert row["margin_in_slice_null_high"] <= float((margins / on).median()) * (1 + 1e-9)


def test_a_scene_in_many_dimensions_is_filmed_in_its_slice(rendering: None, tmp_path: Path) -> None:
    changes = ["training.steps=3", "snapshots.count=3", "probes=[]", "data.test_points=10", "data.heldout_points=10"]
    run = experiment.simulate(load_scene("plane_in_10d", changes), tmp_path / "run", device="cpu")
    assert run.info["slice"]["dim"] == 3
    assert {"margin_in_slice", "gradient_slice_fraction"} <= set(run.columns("metrics"))
    frames = frames_from_run(run)
    assert [frame.step for frame in frames] == run.steps
    for frame in frames:
        assert frame.drawing.points.positions.shape[1] == 3
        assert np.abs(frame.drawing.points.positions[:, 2]).max() < 1e-5
        assert frame.note.startswith("slice of R^10: the 2 dimensions that contain the manifold")
        assert [fact.name for fact in frame.facts][-2:] == [
            "margin in the slice",
            "fraction of the gradient in the slice",
        ]
        # The manifold lies in the slice, in its true size.
        manifold = frame.drawing.layer("manifold").mesh
        assert manifold.area == pytest.approx(1.0, rel=1e-5)
        assert np.abs(manifold.vertices[:, 2]).max() < 1e-5
    assert {"film.mp4", "film.png", "page.html", "report.html"} <= {path.name for path in run.path.iterdir()}
    assert "slice of R^10" in (run.path / "report.html").read_text()


def test_the_corners_of_a_slice_cannot_be_set() -> None:
    scene = load_scene("plane_in_10d")
    scene = dataclasses.replace(scene, levelset=Exact(low=(0.0,) * 10, high=(1.0,) * 10))
    with pytest.raises(SceneError, match="in a slice the box is fitted to the data"):
        scene.display_bounds(scene.samples())


@pytest.mark.parametrize("name", MANIFOLD_SCENES)
def test_every_scene_that_can_be_drawn_is_drawn(name: str) -> None:
    scene: Any = load_scene(name)
    if scene.manifold.ambient_dim <= 3:
        assert scene.is_drawable
        return
    hull_dim = affine_hull(scene.manifold, 0)[1].shape[1]
    assert scene.is_drawable == (hull_dim < 3 or (hull_dim == 3 and scene.manifold.dim < 3))
