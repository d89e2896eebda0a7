"""The figures of a scene's geometry, where a pencil gives them too."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.data import Synthetic
from dimple.data.sampling import Lattice, Spread
from dimple.experiment.simulation.manifold_geometry import geometry_of, write_picture
from dimple.manifolds import Circle, CliffordTorus, Helix, Lift, Moons, Segment, Sphere
from dimple.scene import Scene, load_scene
from dimple.views.style.colors import CLASSES


def test_five_points_on_a_line() -> None:
    shown = geometry_of(load_scene("line_in_2d"))
    assert (shown.dim, shown.ambient_dim, shown.codim, shown.pieces) == (1, 2, 1, 1)
    assert shown.class_counts == (2, 3)
    assert shown.opposite == pytest.approx(0.25)
    assert shown.cover == pytest.approx(0.125, abs=1e-3)
    assert math.isinf(shown.cover_asked) and shown.is_covered


@pytest.mark.parametrize(("per_side", "covered"), [(8, False), (9, True)])
def test_an_even_polygon_covers_its_circle_when_the_theory_says(per_side: int, covered: bool) -> None:
    shown = geometry_of(Scene(manifold=Circle(radius=0.5), data=Synthetic(sampling=Lattice(per_side=per_side))))
    assert shown.cover == pytest.approx(2 * 0.5 * math.sin(math.pi / (2 * per_side)), abs=1e-3)
    assert shown.opposite == pytest.approx(2 * 0.5 * math.sin(math.pi / per_side))
    # 2 sin(pi / 2N) < sqrt(3/5)/2 from N = 9 on.
    assert shown.is_covered is covered


def test_spread_points_cover_better_than_uniform_ones() -> None:
    shown = geometry_of(Scene(manifold=Sphere(radius=0.3), data=Synthetic(sampling=Spread(count=60))))
    assert shown.cover < shown.cover_null
    assert shown.volume == pytest.approx(4 * math.pi * 0.09)


def test_the_pieces_are_counted_and_a_found_reach_is_told_from_a_formula() -> None:
    assert geometry_of(Scene(manifold=Moons())).pieces == 2
    assert geometry_of(Scene(manifold=CliffordTorus())).reach_is_exact
    assert not geometry_of(Scene(manifold=Moons())).reach_is_exact


@pytest.mark.parametrize("manifold", [Circle(), Helix(), Sphere()], ids=lambda member: type(member).__name__)
def test_the_picture_shows_both_classes(manifold: Circle | Helix | Sphere, tmp_path: Path) -> None:
    file = tmp_path / "shown.png"
    assert write_picture(Scene(manifold=manifold), file)
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in CLASSES[:2]:
        assert (pixels == np.array(colour)).all(1).sum() > 100


@pytest.mark.parametrize("manifold", [Circle(), Segment(), Sphere()], ids=lambda member: type(member).__name__)
def test_a_flat_of_many_dimensions_is_looked_into(manifold: Circle | Segment | Sphere, tmp_path: Path) -> None:
    file = tmp_path / "shown.png"
    assert write_picture(Scene(manifold=Lift(of=manifold, ambient_dim=20, offset=(3.0,))), file)
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in CLASSES[:2]:
        assert (pixels == np.array(colour)).all(1).sum() > 100


def test_there_is_no_picture_beyond_space(tmp_path: Path) -> None:
    assert not write_picture(Scene(manifold=CliffordTorus()), tmp_path / "shown.png")
    assert list(tmp_path.iterdir()) == []


def test_the_same_scene_has_the_same_figures() -> None:
    scene = Scene(manifold=Sphere(), seed=3)
    assert geometry_of(scene) == geometry_of(scene)
    assert geometry_of(scene) != geometry_of(dataclasses.replace(scene, seed=4))
