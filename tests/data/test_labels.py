"""Every rule for labels: what it says where the answer is known, and how its classes are balanced."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dimple.data import LABELLINGS
from dimple.data.labels import Alternating, Checkerboard, Given, HalfSpace, Noisy, Random
from dimple.data.manifold_labels import Centres, ChartCheckerboard, Components, Field, Harmonics, Picture, RandomWaves
from dimple.errors import DataError, SceneError
from dimple.manifolds import Circle, ConcentricSpheres, Flat, Helix, Lift, Manifold, Moons, Sphere, Torus
from dimple.tensors import generator

SQUARE = Flat()
RULES = {
    "chart_checkerboard": (ChartCheckerboard(3), Torus()),
    "harmonics": (Harmonics(4, (1.0, 2.0, 1.0)), Sphere(2)),
    "waves": (RandomWaves(0.4, (0.8, 0.2)), Torus()),
    "centres": (Centres(7, 3), Helix()),
    "components": (Components(), Moons()),
}


@pytest.mark.parametrize("name", RULES)
def test_fields_are_functions_of_the_place(name: str) -> None:
    """The same point has the same class as a training and as a test point, whatever the generator and the others."""
    field, manifold = RULES[name]
    assert LABELLINGS[name] is type(field)
    rule = field.on(manifold)
    x = manifold.sample(50, generator(0))
    y = rule.labels(x, generator(1))
    assert y.dtype == torch.int64
    assert torch.equal(y, rule.extend(x, x[:1], y[:1]))
    assert torch.equal(y[7:9], field.on(manifold).labels(x[7:9], generator(2)))
    with pytest.raises(SceneError, match="on\\(manifold\\)"):
        field.labels(x, generator(1))


def test_every_other_rule_needs_no_manifold() -> None:
    for cls in LABELLINGS.values():
        if not issubclass(cls, Field | Noisy):
            rule = cls()
            assert rule.on(SQUARE) is rule


def test_the_checkerboard_of_the_chart_is_that_of_the_square() -> None:
    x = SQUARE.sample(200, generator(0))
    in_chart = ChartCheckerboard(4).on(SQUARE).labels(x, generator(0))
    squares = torch.floor(x[:, :2] / 0.25).sum(1).long() % 2
    assert torch.equal(in_chart, squares)
    lifted = Lift(SQUARE, ambient_dim=50)
    assert torch.equal(ChartCheckerboard(4).on(lifted).labels(lifted.place(x), generator(0)), squares)


@pytest.mark.parametrize(("rule", "manifold"), [RULES["harmonics"], RULES["waves"]], ids=["harmonics", "waves"])
def test_shares_are_shares_of_the_volume(rule: Harmonics | RandomWaves, manifold: Manifold) -> None:
    y = rule.on(manifold).labels(manifold.sample(20_000, generator(3)), generator(0))
    wanted = torch.tensor(rule.shares) / sum(rule.shares)
    assert torch.allclose(y.bincount() / len(y), wanted, atol=0.02)


def test_a_harmonic_of_degree_k_goes_k_times_round_a_circle() -> None:
    circle = Circle(2.0)
    grid = circle.grid(1000)
    assert grid is not None
    y = Harmonics(5).on(circle).labels(grid, generator(0))
    assert int((y != y.roll(1)).sum()) == 10


@pytest.mark.parametrize(("dim", "degree"), [(2, 3), (3, 4), (5, 2)])
def test_a_harmonic_is_an_eigenfunction_of_the_spheres_laplacian(dim: int, degree: int) -> None:
    """The Laplacian of f(x / |x|) in R^n is that of the unit sphere, by second differences."""
    value = Harmonics(degree, seed=1).function(dim + 1)
    x, h = Sphere(dim).sample(20, generator(0)), 1e-3
    laplacian = torch.zeros(20, dtype=torch.float64)
    for axis in torch.eye(dim + 1, dtype=torch.float64):
        laplacian += (value(x + h * axis) + value(x - h * axis) - 2 * value(x)) / h**2
    expected = -degree * (degree + dim - 1) * value(x)
    assert torch.allclose(laplacian, expected, atol=1e-4 * float(expected.abs().max()))


def test_waves_change_class_about_twice_a_wavelength_along_a_line() -> None:
    """A random Gaussian field of one wavelength in the plane crosses its middle sqrt(2) times a wavelength."""
    square = Flat((0.0, 0.0), (20.0, 20.0), ())
    rule = RandomWaves(1.0).on(square)
    line = torch.stack([torch.linspace(0, 20, 4000), torch.full((4000,), 7.0)], dim=1).double()
    lines = [rule.labels(line + torch.tensor([0.0, shift]), generator(0)) for shift in range(10)]
    changes = sum(int((y[1:] != y[:-1]).sum()) for y in lines) / len(lines) / 20
    assert changes == pytest.approx(2**0.5, rel=0.15)


def test_centres_make_cells_of_the_nearest() -> None:
    rule = Centres(5, 5, seed=2)
    places = SQUARE.sample(5, generator(2, "centres"))
    assert rule.on(SQUARE).labels(places, generator(0)).tolist() == [0, 1, 2, 3, 4]


def test_components_tell_the_pieces_apart() -> None:
    spheres = ConcentricSpheres(2, (1.0, 2.0, 3.0))
    x = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]], dtype=torch.float64)
    assert Components().on(spheres).labels(x, generator(0)).tolist() == [0, 1, 0]
    assert Components(3).on(spheres).labels(x, generator(0)).tolist() == [0, 1, 2]
    with pytest.raises(SceneError, match="one piece"):
        Components().on(SQUARE)


def test_a_picture_lies_over_the_chart_upright(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3), np.uint8)
    pixels[0, 2] = 255
    pixels[1, 0] = 130
    file = tmp_path / "picture.png"
    Image.fromarray(pixels).save(file)
    x = torch.tensor([[0.9, 0.9, 0.5], [0.1, 0.1, 0.5], [0.5, 0.9, 0.5], [0.1, 0.9, 0.5]], dtype=torch.float64)
    assert Picture(str(file)).on(SQUARE).labels(x, generator(0)).tolist() == [1, 1, 0, 0]
    assert Picture(str(file), 4).on(SQUARE).labels(x, generator(0)).tolist() == [3, 2, 0, 0]
    with pytest.raises(SceneError, match="3 dimensions"):
        Picture(str(file)).on(Sphere(3))


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_picture_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "picture.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"picture\.png"):
        Picture(str(file)).on(SQUARE)


def test_noise_moves_exactly_its_share_and_only_of_the_training_labels() -> None:
    rule = Noisy(Centres(6, 3), flip=0.25).on(SQUARE)
    right = Centres(6, 3).on(SQUARE)
    x = SQUARE.sample(400, generator(0))
    truth, noisy = right.labels(x, generator(1)), rule.labels(x, generator(1))
    assert int((truth != noisy).sum()) == 100
    assert set(noisy.tolist()) == {0, 1, 2}
    assert torch.equal(rule.extend(x, x, noisy), truth)
    assert torch.equal(noisy, rule.labels(x, generator(1)))


def test_alternating_labels_of_a_row_alternate() -> None:
    row = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
    y = Alternating().labels(row, generator(0))
    assert int((y[1:] != y[:-1]).sum()) >= 9


def test_the_plain_rules() -> None:
    x = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.2, 0.2]], dtype=torch.float64)
    assert Checkerboard().labels(x, generator(0)).tolist() == [0, 1, 0]
    assert HalfSpace((1.0, 1.0), 0.3).labels(x, generator(0)).tolist() == [0, 0, 1]
    assert Given((1, 0, 1)).labels(x, generator(0)).tolist() == [1, 0, 1]
    assert Given((1, 0, 1)).extend(x + 0.01, x, torch.tensor([1, 0, 1])).tolist() == [1, 0, 1]
    share = Random(0.2).labels(torch.zeros(5000, 2), generator(0)).double().mean()
    assert float(share) == pytest.approx(0.2, abs=0.02)
    with pytest.raises(SceneError, match="normal has 1"):
        HalfSpace().labels(x, generator(0))
    with pytest.raises(SceneError, match="2 classes for 3"):
        Given((1, 0)).labels(x, generator(0))
