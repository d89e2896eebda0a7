"""Estimated tangents against the exact ones, on every scene that ships and where the error has a formula."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from dimple.cli import main
from dimple.data import Synthetic
from dimple.errors import UsageError
from dimple.experiment import tangent_benchmark as tangent_scores
from dimple.experiment.tangent_benchmark import largest_curvature, power_law, score_tangents
from dimple.manifolds import Circle, Helix, Lift, Manifold, Sphere, Torus
from dimple.scene import Scene, load_scene, shipped_scenes
from dimple.tensors import generator
from dimple.views.charts.error_sweeps import Sweep


def sweeps_of(scene: Scene, **settings: int) -> dict[str, Sweep]:
    return {sweep.name: sweep for sweep in score_tangents(scene, **settings).sweeps}


@pytest.mark.parametrize("name", shipped_scenes())
def test_on_every_scene_the_estimate_is_better_than_chance_and_gets_better_with_points(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent_scores, "PLACES", 50)
    scene = load_scene(name)
    scores = score_tangents(scene, points=512, neighbours=12)
    sweeps = {sweep.name: sweep for sweep in scores.sweeps}
    assert (scores.dim, scores.ambient_dim) == (scene.manifold.dim, scene.manifold.ambient_dim)
    assert scores.local[0] < scores.null[0] / 3
    assert scores.local[0] <= scores.local[1] and 0 <= scores.reliable <= 1
    points, noise = sweeps["points"], sweeps["noise / radius"]
    assert points.at == (32, 64, 128, 256, 512)
    assert points.median[-1] == scores.local[0] and points.quadratic[-1] == scores.quadratic[0]
    assert points.median[-1] <= points.median[0] / 2 or points.median[0] < 1e-5
    assert noise.median[0] < noise.median[-1]
    assert ("curvature x radius" in sweeps) == math.isfinite(scene.manifold.reach)


@pytest.mark.parametrize("name", ["line_in_2d", "cube_in_100d"])
def test_without_noise_a_flat_is_found_exactly_and_noise_tilts_it_in_proportion(name: str) -> None:
    sweeps = sweeps_of(load_scene(name), points=640, neighbours=30)
    for quantity in ("points", "neighbours"):
        assert max(sweeps[quantity].high) < 1e-5
        assert sweeps[quantity].slope is None
    assert abs(sweeps["noise / radius"].slope - 1) < 0.15  # type: ignore[operator]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_on_a_sphere_the_error_is_the_curvature_times_the_radius_over_the_root_of_k(dim: int) -> None:
    k = 100
    sphere = Lift(of=Sphere(dim=dim, radius=0.7), ambient_dim=dim + 4)
    curved = sweeps_of(Scene(manifold=sphere), points=20_000, neighbours=k)["curvature x radius"]
    # Heights curvature u^2 / 2 over k uniform points u of a ball regress on u with slopes of zero mean and this spread.
    fourth, second = dim / (dim + 6), dim / (dim + 2)
    spread = (dim + 2) / 2 * math.sqrt((fourth - 2 * second * dim / (dim + 4) + second**3) / dim / k)
    typical_length = {1: 0.6745, 2: 1.1774, 3: 1.5382}[dim]
    expected = math.degrees(curved.at[0] * spread * typical_length)
    assert 0.8 < curved.median[0] / expected < 1.25
    assert abs(curved.slope - 1) < 0.15  # type: ignore[operator]


def test_the_exponents_are_those_of_theory() -> None:
    sweeps = sweeps_of(Scene(manifold=Circle(radius=0.5)), points=4000, neighbours=20)
    for name, theory in (("points", -1.0), ("neighbours", 0.5), ("curvature x radius", 1.0), ("noise / radius", 1.0)):
        assert sweeps[name].theory == theory
        assert abs(sweeps[name].slope - theory) < 0.15  # type: ignore[operator]


def test_the_noise_of_the_scene_is_in_the_cloud() -> None:
    clean, noisy = (Scene(manifold=Circle(), data=Synthetic(noise=noise)) for noise in (0.0, 0.02))
    scores = score_tangents(noisy, points=1000)
    assert scores.noise == 0.02 and scores.local[0] > 3 * score_tangents(clean, points=1000).local[0]
    assert {sweep.name: sweep.theory for sweep in scores.sweeps}["points"] is None


@pytest.mark.parametrize(
    ("manifold", "expected"),
    [
        (Circle(radius=0.2), 5.0),
        (Sphere(dim=3, radius=0.5), 2.0),
        (Torus(major=0.4, minor=0.1), 10.0),
        # r / (r^2 + (p / 2 pi)^2), with p / 2 pi = 1.
        (Helix(radius=1.0, pitch=2 * math.pi), 0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_largest_curvature_is_that_of_the_formula(manifold: Manifold, expected: float) -> None:
    form = manifold.second_form(manifold.sample(20, generator(0, "x")))
    torch.testing.assert_close(largest_curvature(form), torch.full((20,), expected, dtype=torch.float64))


def test_beyond_codimension_one_no_direction_bends_more() -> None:
    form = torch.randn(50, 4, 3, 3, generator=generator(0, "form"), dtype=torch.float64)
    form = form + form.mT
    along = torch.randn(3000, 3, generator=generator(1, "a"), dtype=torch.float64)
    along = along / along.norm(dim=1, keepdim=True)
    found = torch.einsum("bnij,ai,aj->ban", form, along, along).norm(dim=2).amax(1)
    ratio = found / largest_curvature(form)
    assert ratio.max() < 1 + 1e-6 and ratio.min() > 0.98


def test_a_power_law_needs_two_values_within_bounds() -> None:
    assert power_law([1, 2, 4], [1.0, 2.0, 4.0], 1.5, 3.0) is None
    assert power_law([1, 2, 4], [1.0, 2.0, 9.0], 0.5, 3.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("points", "neighbours"), [(300, 20), (4000, 2)])
def test_clouds_too_small_and_neighbours_too_few_are_refused(points: int, neighbours: int) -> None:
    with pytest.raises(UsageError, match=f"{points} points with {neighbours} neighbours"):
        score_tangents(load_scene("sphere_in_3d"), points, neighbours)


def program(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["dimple", "scenes", "tangents", *words])
    main()


def test_the_command_prints_the_curves_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "curves.png"
    with pytest.raises(SystemExit) as stop:
        program(monkeypatch, "circle_in_2d", "--points", "640", "-o", str(file))
    assert not stop.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("circle_in_2d: dimension 1 in R^2; 640 points, 20 neighbours;")
    assert [line.split()[0] for line in lines if "theory" in line] == ["points", "neighbours", "noise", "curvature"]
    with Image.open(file) as picture:
        shades = picture.convert("L").getcolors(256)
    assert picture.size == (960, 740) and shades is not None and len(shades) > 50


def test_json_is_one_line_of_plain_numbers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program(monkeypatch, "plane_in_3d", "--points", "400", "--neighbours", "8", "--json")
    out = capsys.readouterr().out
    line = json.loads(out)
    assert out.count("\n") == 1 and line["unit"] == "degrees" and line["picture"] is None
    assert [sweep["name"] for sweep in line["sweeps"]] == ["points", "neighbours", "noise / radius"]
    # Six neighbours are needed for a quadratic in two variables, and two are left out.
    assert line["sweeps"][1]["quadratic"][0] is None
