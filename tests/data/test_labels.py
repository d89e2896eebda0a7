"""Label rules: their classes in cases with a known answer, and the balance of their classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dimple.data import LABEL_RULES
from dimple.data.labels import (
    AlternatingLabels,
    CheckerboardLabels,
    ExplicitLabels,
    HalfSpaceLabels,
    NoisyLabels,
    RandomLabels,
)
from dimple.data.manifold_labels import (
    ChartCheckerboardLabels,
    ComponentLabels,
    HarmonicLabels,
    ImageLabels,
    ManifoldLabels,
    RandomWaveLabels,
    VoronoiLabels,
)
from dimple.errors import DataError, SceneError
from dimple.manifolds import Circle, ConcentricSpheres, Embedding, Flat, Helix, Manifold, Moons, Sphere, Torus
from dimple.tensors import generator

SQUARE = Flat()
RULES = {
    "chart_checkerboard": (ChartCheckerboardLabels(3), Torus()),
    "harmonics": (HarmonicLabels(4, (1.0, 2.0, 1.0)), Sphere(2)),
    "waves": (RandomWaveLabels(0.4, (0.8, 0.2)), Torus()),
    "voronoi": (VoronoiLabels(7, 3), Helix()),
    "components": (ComponentLabels(), Moons()),
}


@pytest.mark.parametrize("name", RULES)
def test_labels_on_a_manifold_are_functions_of_the_position(name: str) -> None:
    """A point has the same class as a training and as a test point, for any generator and any other points."""
    unbound, manifold = RULES[name]
    assert LABEL_RULES[name] is type(unbound)
    rule = unbound.bind(manifold)
    x = manifold.sample(50, generator(0))
    y = rule.label_training_points(x, generator(1))
    assert y.dtype == torch.int64
    assert torch.equal(y, rule.label_new_points(x, x[:1], y[:1]))
    assert torch.equal(y[7:9], unbound.bind(manifold).label_training_points(x[7:9], generator(2)))
    with pytest.raises(SceneError, match="bind\\(manifold\\)"):
        unbound.label_training_points(x, generator(1))


def test_other_rules_do_not_depend_on_the_manifold() -> None:
    for cls in LABEL_RULES.values():
        if not issubclass(cls, ManifoldLabels | NoisyLabels):
            rule = cls()
            assert rule.bind(SQUARE) is rule


def test_the_checkerboard_in_the_chart_of_a_square_is_a_checkerboard_of_the_square() -> None:
    x = SQUARE.sample(200, generator(0))
    in_chart = ChartCheckerboardLabels(4).bind(SQUARE).label_training_points(x, generator(0))
    squares = torch.floor(x[:, :2] / 0.25).sum(1).long() % 2
    assert torch.equal(in_chart, squares)
    embedding = Embedding(SQUARE, ambient_dim=50)
    embedded = ChartCheckerboardLabels(4).bind(embedding).label_training_points(embedding.embed(x), generator(0))
    assert torch.equal(embedded, squares)


@pytest.mark.parametrize(("rule", "manifold"), [RULES["harmonics"], RULES["waves"]], ids=["harmonics", "waves"])
def test_fractions_are_fractions_of_the_volume(rule: HarmonicLabels | RandomWaveLabels, manifold: Manifold) -> None:
    y = rule.bind(manifold).label_training_points(manifold.sample(20_000, generator(3)), generator(0))
    expected = torch.tensor(rule.fractions) / sum(rule.fractions)
    assert torch.allclose(y.bincount() / len(y), expected, atol=0.02)


def test_a_harmonic_of_degree_k_has_k_periods_on_a_circle() -> None:
    circle = Circle(2.0)
    grid = circle.regular_grid(1000)
    assert grid is not None
    y = HarmonicLabels(5).bind(circle).label_training_points(grid, generator(0))
    assert int((y != y.roll(1)).sum()) == 10


def test_the_harmonic_of_an_embedded_sphere_is_that_of_the_sphere() -> None:
    """A function of the direction in R^10 is no harmonic on a sphere S^2 in it."""
    sphere = Sphere(2)
    embedding = Embedding(Embedding(sphere, ambient_dim=4, offset=(2.0,)), ambient_dim=10, offset=(-7.0,))
    y = sphere.sample(50, generator(0))
    rule = HarmonicLabels(3, seed=2)
    x = embedding.embed(embedding.base.embed(y))
    torch.testing.assert_close(rule.harmonic_function(embedding)(x), rule.harmonic_function(sphere)(y))
    on_surface = rule.bind(embedding).label_new_points(x, x, x)
    assert torch.equal(on_surface, rule.bind(sphere).label_new_points(y, y, y))


@pytest.mark.parametrize(("dim", "degree"), [(2, 3), (3, 4), (5, 2)])
def test_a_harmonic_is_an_eigenfunction_of_the_spheres_laplacian(dim: int, degree: int) -> None:
    """The Laplacian of f(x / |x|) in R^n is that of the unit sphere, by second differences."""
    value = HarmonicLabels(degree, seed=1).harmonic_function(Sphere(dim))
    x = Sphere(dim).sample(20, generator(0))
    h = 1e-3
    laplacian = torch.zeros(20, dtype=torch.float64)
    for axis in torch.eye(dim + 1, dtype=torch.float64):
        laplacian += (value(x + h * axis) + value(x - h * axis) - 2 * value(x)) / h**2
    expected = -degree * (degree + dim - 1) * value(x)
    assert torch.allclose(laplacian, expected, atol=1e-4 * float(expected.abs().max()))


def test_waves_change_class_sqrt_2_times_per_wavelength_along_a_line() -> None:
    """A random Gaussian field of one wavelength in the plane crosses its median sqrt(2) times per wavelength."""
    square = Flat((0.0, 0.0), (20.0, 20.0), ())
    rule = RandomWaveLabels(1.0).bind(square)
    line = torch.stack([torch.linspace(0, 20, 4000), torch.full((4000,), 7.0)], dim=1).double()
    lines = [rule.label_training_points(line + torch.tensor([0.0, shift]), generator(0)) for shift in range(10)]
    changes = sum(int((y[1:] != y[:-1]).sum()) for y in lines) / len(lines) / 20
    assert changes == pytest.approx(2**0.5, rel=0.15)


def test_voronoi_labels_have_the_class_of_the_nearest_center() -> None:
    rule = VoronoiLabels(5, 5, seed=2)
    centers = SQUARE.sample(5, generator(2, "centres"))
    assert rule.bind(SQUARE).label_training_points(centers, generator(0)).tolist() == [0, 1, 2, 3, 4]


def test_components_have_their_own_classes() -> None:
    spheres = ConcentricSpheres(2, (1.0, 2.0, 3.0))
    x = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]], dtype=torch.float64)
    assert ComponentLabels().bind(spheres).label_training_points(x, generator(0)).tolist() == [0, 1, 0]
    assert ComponentLabels(3).bind(spheres).label_training_points(x, generator(0)).tolist() == [0, 1, 2]
    with pytest.raises(SceneError, match="one component"):
        ComponentLabels().bind(SQUARE)


def test_an_image_lies_upright_over_the_chart(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 2] = 255
    pixels[1, 0] = 130
    file = tmp_path / "image.png"
    Image.fromarray(pixels).save(file)
    x = torch.tensor([[0.9, 0.9, 0.5], [0.1, 0.1, 0.5], [0.5, 0.9, 0.5], [0.1, 0.9, 0.5]], dtype=torch.float64)
    assert ImageLabels(str(file)).bind(SQUARE).label_training_points(x, generator(0)).tolist() == [1, 1, 0, 0]
    assert ImageLabels(str(file), 4).bind(SQUARE).label_training_points(x, generator(0)).tolist() == [3, 2, 0, 0]
    with pytest.raises(SceneError, match="3 dimensions"):
        ImageLabels(str(file)).bind(Sphere(3))


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_an_unreadable_image_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "image.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"image\.png"):
        ImageLabels(str(file)).bind(SQUARE)


def test_noise_changes_exactly_its_fraction_of_the_training_labels_only() -> None:
    rule = NoisyLabels(VoronoiLabels(6, 3), flip=0.25).bind(SQUARE)
    x = SQUARE.sample(400, generator(0))
    truth = VoronoiLabels(6, 3).bind(SQUARE).label_training_points(x, generator(1))
    noisy = rule.label_training_points(x, generator(1))
    assert int((truth != noisy).sum()) == 100
    assert set(noisy.tolist()) == {0, 1, 2}
    assert torch.equal(rule.label_new_points(x, x, noisy), truth)
    assert torch.equal(noisy, rule.label_training_points(x, generator(1)))


def test_alternating_labels_of_a_row_alternate() -> None:
    row = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
    y = AlternatingLabels().label_training_points(row, generator(0))
    assert int((y[1:] != y[:-1]).sum()) >= 9


def test_rules_that_need_only_the_points() -> None:
    x = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.2, 0.2]], dtype=torch.float64)
    assert CheckerboardLabels().label_training_points(x, generator(0)).tolist() == [0, 1, 0]
    assert HalfSpaceLabels((1.0, 1.0), 0.3).label_training_points(x, generator(0)).tolist() == [0, 0, 1]
    assert ExplicitLabels((1, 0, 1)).label_training_points(x, generator(0)).tolist() == [1, 0, 1]
    assert ExplicitLabels((1, 0, 1)).label_new_points(x + 0.01, x, torch.tensor([1, 0, 1])).tolist() == [1, 0, 1]
    fraction = RandomLabels(0.2).label_training_points(torch.zeros(5000, 2), generator(0)).double().mean()
    assert float(fraction) == pytest.approx(0.2, abs=0.02)
    with pytest.raises(SceneError, match="normal has 1"):
        HalfSpaceLabels().label_training_points(x, generator(0))
    with pytest.raises(SceneError, match="2 classes for 3"):
        ExplicitLabels((1, 0)).label_training_points(x, generator(0))
