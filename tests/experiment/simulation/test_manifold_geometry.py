"""Tests of the geometry of a scene, against values computed by hand."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.data import SyntheticData
from dimple.data.sampling import FarthestPointSampling, GridSampling
from dimple.experiment.simulation.manifold_geometry import compute_scene_geometry, write_picture
from dimple.manifolds import Circle, CliffordTorus, Embedding, Helix, Moons, Segment, Sphere
from dimple.scene import Scene, load_scene
from dimple.views.style.colors import CLASS_COLORS


def test_five_points_on_a_line() -> None:
    geometry = compute_scene_geometry(load_scene("line_in_2d"))
    assert (geometry.dim, geometry.ambient_dim, geometry.codim, geometry.component_count) == (1, 2, 1, 1)
    assert geometry.class_counts == (2, 3)
    assert geometry.class_separation == pytest.approx(0.25)
    assert geometry.covering_radius == pytest.approx(0.125, abs=1e-3)
    assert math.isinf(geometry.required_covering_radius) and geometry.is_densely_sampled


@pytest.mark.parametrize(("per_side", "is_dense"), [(8, False), (9, True)])
def test_a_regular_polygon_samples_its_circle_densely_by_the_theory(per_side: int, is_dense: bool) -> None:
    geometry = compute_scene_geometry(
        Scene(manifold=Circle(radius=0.5), data=SyntheticData(sampling=GridSampling(per_side=per_side)))
    )
    assert geometry.covering_radius == pytest.approx(2 * 0.5 * math.sin(math.pi / (2 * per_side)), abs=1e-3)
    assert geometry.class_separation == pytest.approx(2 * 0.5 * math.sin(math.pi / per_side))
    # 2 sin(pi / 2N) < sqrt(3/5)/2 from N = 9 on.
    assert geometry.is_densely_sampled is is_dense


def test_farthest_points_cover_better_than_uniform_ones() -> None:
    geometry = compute_scene_geometry(
        Scene(manifold=Sphere(radius=0.3), data=SyntheticData(sampling=FarthestPointSampling(count=60)))
    )
    assert geometry.covering_radius < geometry.covering_radius_null
    assert geometry.volume == pytest.approx(4 * math.pi * 0.09)


def test_components_are_counted_and_the_reach_is_exact_by_a_formula_only() -> None:
    assert compute_scene_geometry(Scene(manifold=Moons())).component_count == 2
    assert compute_scene_geometry(Scene(manifold=CliffordTorus())).reach_is_exact
    assert not compute_scene_geometry(Scene(manifold=Moons())).reach_is_exact


@pytest.mark.parametrize("manifold", [Circle(), Helix(), Sphere()], ids=lambda member: type(member).__name__)
def test_the_picture_shows_both_classes(manifold: Circle | Helix | Sphere, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    assert write_picture(Scene(manifold=manifold), file)
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for color in CLASS_COLORS[:2]:
        assert (pixels == np.array(color)).all(1).sum() > 100


@pytest.mark.parametrize("manifold", [Circle(), Segment(), Sphere()], ids=lambda member: type(member).__name__)
def test_a_manifold_in_a_flat_of_many_dimensions_is_drawn(manifold: Circle | Segment | Sphere, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    assert write_picture(Scene(manifold=Embedding(base=manifold, ambient_dim=20, offset=(3.0,))), file)
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for color in CLASS_COLORS[:2]:
        assert (pixels == np.array(color)).all(1).sum() > 100


def test_a_manifold_of_four_dimensions_is_not_drawn(tmp_path: Path) -> None:
    assert not write_picture(Scene(manifold=CliffordTorus()), tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_the_same_scene_has_the_same_geometry() -> None:
    scene = Scene(manifold=Sphere(), seed=3)
    assert compute_scene_geometry(scene) == compute_scene_geometry(scene)
    assert compute_scene_geometry(scene) != compute_scene_geometry(dataclasses.replace(scene, seed=4))
