"""Tests of estimated tangent spaces against exact ones, on every built-in scene and against formulas of the error."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from dimple.cli import main
from dimple.data import SyntheticData
from dimple.errors import UsageError
from dimple.experiment import tangent_benchmark
from dimple.experiment.tangent_benchmark import benchmark_tangents, fit_power_law, largest_curvature
from dimple.manifolds import Circle, Embedding, Helix, Manifold, Sphere, Torus
from dimple.scene import Scene, load_scene
from dimple.tensors import generator
from dimple.views.charts.error_sweeps import ErrorSweep
from tests.built_in_scenes import MANIFOLD_SCENES


def sweeps_by_name(scene: Scene, **settings: int) -> dict[str, ErrorSweep]:
    return {sweep.name: sweep for sweep in benchmark_tangents(scene, **settings).sweeps}


@pytest.mark.parametrize("name", MANIFOLD_SCENES)
def test_on_every_scene_the_estimate_is_better_than_chance_and_improves_with_points(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tangent_benchmark, "TEST_POINTS", 50)
    scene = load_scene(name)
    benchmark = benchmark_tangents(scene, points=512, neighbors=max(12, scene.require_manifold().dim + 4))
    sweeps = {sweep.name: sweep for sweep in benchmark.sweeps}
    assert (benchmark.dim, benchmark.ambient_dim) == (scene.manifold.dim, scene.manifold.ambient_dim)
    assert benchmark.local_pca[0] < benchmark.null[0] / 3
    assert benchmark.local_pca[0] <= benchmark.local_pca[1] and 0 <= benchmark.reliable_fraction <= 1
    points = sweeps["points"]
    noise = sweeps["noise / radius"]
    assert points.values == (32, 64, 128, 256, 512)
    assert points.median[-1] == benchmark.local_pca[0]
    # Nan where the quadratic fit has more coefficients than neighbors.
    assert points.quadratic_median[-1] == pytest.approx(benchmark.quadratic_pca[0], rel=0, nan_ok=True)
    assert points.median[-1] <= points.median[0] / 2 or points.median[0] < 1e-5
    assert noise.median[0] < noise.median[-1]
    assert ("curvature x radius" in sweeps) == math.isfinite(scene.manifold.reach)


@pytest.mark.parametrize("name", ["line_in_2d", "cube_in_100d"])
def test_a_flat_is_found_exactly_without_noise_and_with_an_error_proportional_to_noise(name: str) -> None:
    sweeps = sweeps_by_name(load_scene(name), points=640, neighbors=30)
    for quantity in ("points", "neighbors"):
        assert max(sweeps[quantity].quantile_90) < 1e-5
        assert sweeps[quantity].slope is None
    assert abs(sweeps["noise / radius"].slope - 1) < 0.15  # type: ignore[operator]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_on_a_sphere_the_error_is_the_curvature_times_the_radius_over_the_root_of_k(dim: int) -> None:
    k = 100
    sphere = Embedding(base=Sphere(dim=dim, radius=0.7), ambient_dim=dim + 4)
    curved = sweeps_by_name(Scene(manifold=sphere), points=20_000, neighbors=k)["curvature x radius"]
    # The regression of the heights curvature u^2 / 2 on k uniform points u of a ball has slopes of zero mean and this
    # standard deviation.
    second = dim / (dim + 2)
    fourth = dim / (dim + 6)
    deviation = (dim + 2) / 2 * math.sqrt((fourth - 2 * second * dim / (dim + 4) + second**3) / dim / k)
    typical_length = {1: 0.6745, 2: 1.1774, 3: 1.5382}[dim]
    expected = math.degrees(curved.values[0] * deviation * typical_length)
    assert 0.8 < curved.median[0] / expected < 1.25
    assert abs(curved.slope - 1) < 0.15  # type: ignore[operator]


def test_the_exponents_agree_with_theory() -> None:
    sweeps = sweeps_by_name(Scene(manifold=Circle(radius=0.5)), points=4000, neighbors=20)
    for name, theory in (("points", -1.0), ("neighbors", 0.5), ("curvature x radius", 1.0), ("noise / radius", 1.0)):
        assert sweeps[name].expected_slope == theory
        assert abs(sweeps[name].slope - theory) < 0.15  # type: ignore[operator]


def test_the_cloud_has_the_noise_of_the_scene() -> None:
    clean, noisy = (Scene(manifold=Circle(), data=SyntheticData(noise=noise)) for noise in (0.0, 0.02))
    benchmark = benchmark_tangents(noisy, points=1000)
    assert benchmark.noise == 0.02 and benchmark.local_pca[0] > 3 * benchmark_tangents(clean, points=1000).local_pca[0]
    assert {sweep.name: sweep.expected_slope for sweep in benchmark.sweeps}["points"] is None


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
def test_the_largest_curvature_agrees_with_the_formula(manifold: Manifold, expected: float) -> None:
    form = manifold.second_fundamental_form(manifold.sample(20, generator(0, "x")))
    torch.testing.assert_close(largest_curvature(form), torch.full((20,), expected, dtype=torch.float64))


def test_above_codimension_one_no_direction_has_a_larger_curvature() -> None:
    form = torch.randn(50, 4, 3, 3, generator=generator(0, "form"), dtype=torch.float64)
    form = form + form.mT
    directions = torch.randn(3000, 3, generator=generator(1, "a"), dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    sampled = torch.einsum("bnij,ai,aj->ban", form, directions, directions).norm(dim=2).amax(1)
    ratio = sampled / largest_curvature(form)
    assert ratio.max() < 1 + 1e-6 and ratio.min() > 0.98


def test_a_power_law_needs_two_values_within_bounds() -> None:
    assert fit_power_law([1, 2, 4], [1.0, 2.0, 4.0], 1.5, 3.0) is None
    assert fit_power_law([1, 2, 4], [1.0, 2.0, 9.0], 0.5, 3.0) == pytest.approx(1.0)


@pytest.mark.parametrize(("points", "neighbors"), [(300, 20), (4000, 2)])
def test_a_small_cloud_and_few_neighbors_are_refused(points: int, neighbors: int) -> None:
    with pytest.raises(UsageError, match=f"{points} points with {neighbors} neighbors"):
        benchmark_tangents(load_scene("sphere_in_3d"), points, neighbors)


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["dimple", "scenes", "tangents", *words])
    main()


def test_the_command_prints_the_curves_and_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "curves.png"
    with pytest.raises(SystemExit) as stop:
        run_command(monkeypatch, "circle_in_2d", "--points", "640", "-o", str(file))
    assert not stop.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("circle_in_2d: dimension 1 in R^2; 640 points, 20 neighbors;")
    assert [line.split()[0] for line in lines if "theory" in line] == ["points", "neighbors", "noise", "curvature"]
    with Image.open(file) as image:
        shades = image.convert("L").getcolors(256)
    assert image.size == (960, 740) and shades is not None and len(shades) > 50


def test_json_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command(monkeypatch, "plane_in_3d", "--points", "400", "--neighbors", "8", "--json")
    out = capsys.readouterr().out
    line = json.loads(out)
    assert out.count("\n") == 1 and line["unit"] == "degrees" and line["picture"] is None
    assert [sweep["name"] for sweep in line["sweeps"]] == ["points", "neighbors", "noise / radius"]
    # A quadratic in two variables needs six neighbors, and the first value is two.
    assert line["sweeps"][1]["quadratic_median"][0] is None
