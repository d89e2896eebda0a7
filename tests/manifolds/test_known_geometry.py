"""Geometry compared with formulas: volumes, curvatures, reaches and geodesics."""

import math

import pytest
import torch

from dimple.errors import DimpleError, SceneError, ShapeError
from dimple.manifolds import (
    Arc,
    Circle,
    CliffordTorus,
    ConcentricSpheres,
    DecoderManifold,
    Ellipse,
    Embedding,
    Flat,
    FourierCurve,
    FramedEmbedding,
    Helix,
    IntertwinedRolls,
    KleinBottle,
    LinkedCircles,
    Manifold,
    Moebius,
    Moons,
    Paraboloid,
    Plane,
    RandomSurface,
    Saddle,
    SCurve,
    Segment,
    Sphere,
    Spiral,
    SwissRoll,
    Torus,
    Warp,
    Waves,
)
from dimple.manifolds.geometry.reach import estimate_reach
from dimple.manifolds.graph_geodesics import shortest_path_lengths
from dimple.tensors import generator

PI = math.pi


def rows(*points: list[float]) -> torch.Tensor:
    return torch.tensor(points, dtype=torch.float64)


VOLUMES = {
    "circle": (Circle(2.0), 4 * PI),
    "3-sphere": (Sphere(3, 0.5), 2 * PI**2 / 8),
    "10-sphere": (Sphere(10), 64 * PI**5 / 945),
    "ellipse": (Ellipse(2.0, 1.0), 9.688448220547675),
    "helix": (Helix(1.0, 2 * PI, 1.0), 2 * PI * math.sqrt(2)),
    "arc": (Arc(2.0, 0.5, 1.0), 1.0),
    "torus": (Torus(2.0, 0.5), 4 * PI**2),
    "clifford torus": (CliffordTorus(), 2 * PI**2),
    "paraboloid over a disc's square": (Paraboloid(bend=0.0), 4.0),
    "s curve": (SCurve(0.5, 2.0), 3 * PI),
    "moons": (Moons(0.5), PI),
    "concentric spheres": (ConcentricSpheres(1, (1.0, 3.0)), 8 * PI),
    "embedded torus": (Embedding(Torus(2.0, 0.5), 20), 4 * PI**2),
    "plane": (Plane(size=3.0, normal=(1.0, 2.0, 3.0)), 9.0),
    "flat": (Flat(low=(0.0, 1.0, 2.0), high=(2.0, 3.0, 4.0)), 8.0),
    # Archimedes' spiral r = b t: b/2 (t sqrt(1 + t^2) + asinh t), from t = 1 to 3.
    "spiral": (
        Spiral(1.0, 3.0, 1 / PI),
        (3 * math.sqrt(10) + math.asinh(3.0) - math.sqrt(2) - math.asinh(1.0)) / 2,
    ),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes(name: str) -> None:
    manifold, known = VOLUMES[name]
    assert manifold.volume == pytest.approx(known, rel=1e-9)


@pytest.mark.parametrize(
    ("amplitude", "wavelength"), [(0.1, 1.0), (0.1, 0.2), (0.1, 0.1), (0.02, 0.05), (0.1, 0.05), (0.1, 0.3), (0.2, 3.0)]
)
def test_the_area_of_waves_is_that_of_their_periods(amplitude: float, wavelength: float) -> None:
    """The trapezoid rule over one period is exact; over a part of one, thin squares are."""
    k = 2 * PI / wavelength
    steps = 1000
    whole = 2 / wavelength == round(2 / wavelength)
    side = torch.arange(steps, dtype=torch.float64) * (wavelength if whole else 2.0) / steps
    side = side if whole else side + 1 / steps - 1
    x, y = torch.meshgrid(k * side, k * side, indexing="ij")
    slope = (x.cos() * y.sin()).square() + (x.sin() * y.cos()).square()
    area = 4 * float((1 + (amplitude * k) ** 2 * slope).sqrt().mean())
    waves = Waves(amplitude=amplitude, wavelength=wavelength)
    assert waves.volume == pytest.approx(area, rel=1e-9 if whole else 2e-5)
    assert waves.volume_error <= 1e-8 * waves.volume


def test_the_error_of_a_volume_is_told() -> None:
    """A decoder with a crease along an oblique line, whose area no rule of quadrature gives."""
    crease = DecoderManifold(
        lambda z: torch.cat([z, 5 * (z[:, :1] - 0.3 * z[:, 1:] + 0.17).relu()], dim=1), dim=2, low=-1.0, high=1.0
    )
    known = 4 * (1.17 / 2 * math.sqrt(1 + 25 * 1.09) + 0.83 / 2)
    assert 0 < abs(crease.volume - known) < 2 * crease.volume_error < 1e-2
    assert Embedding(crease, 5).volume_error == crease.volume_error
    assert Sphere(2).volume_error == 0.0


def test_the_volume_of_a_warped_sphere_is_integrated_to_many_digits() -> None:
    assert Warp(Sphere(2, 0.7), strength=0.0).volume == pytest.approx(4 * PI * 0.49, rel=1e-9)


REACHES = {
    "sphere": (Sphere(5, 0.3), 0.3),
    "ellipse": (Ellipse(1.0, 3.0), 1 / 3),
    "tube of a torus": (Torus(1.0, 0.4), 0.4),
    "hole of a torus": (Torus(1.0, 0.8), 0.2),
    "clifford torus": (CliffordTorus((0.2, 3.0)), 0.2),
    "arc with a narrow opening": (Arc(1.0, 0.0, 2 * PI - 0.5), math.sin(0.25)),
    "half circle": (Arc(2.0), 2.0),
    "concentric spheres": (ConcentricSpheres(2, (0.2, 1.0, 1.3)), 0.15),
    "linked circles": (LinkedCircles(2.0), 1.0),
    "flat": (Flat(), math.inf),
}


@pytest.mark.parametrize("name", REACHES)
def test_reaches_by_formula(name: str) -> None:
    manifold, known = REACHES[name]
    assert manifold.reach == pytest.approx(known, rel=1e-12)
    assert manifold.reach_is_exact


@pytest.mark.parametrize("name", ["ellipse", "tube of a torus", "hole of a torus", "arc with a narrow opening"])
def test_the_search_finds_the_known_reaches(name: str) -> None:
    manifold, known = REACHES[name]
    found = estimate_reach(*manifold.parametrization())
    assert known * (1 - 1e-9) <= found <= known * (1 + 1e-5)


ESTIMATED_REACHES = {
    # The end of the letter is close to the other arc: (sqrt(5) - 1) / 2 radii from it.
    "s curve": (SCurve(1.0), (math.sqrt(5) - 1) / 2),
    "moons": (Moons(), 0.25),
    # Half the distance between two turns.
    "spiral of 150 turns": (Spiral(inner=0.25, outer=1.0, turns=150.0), 0.0025),
    "helix of 200 turns": (Helix(1.0, 0.01, 200.0), 0.005 / math.hypot(1.0, 0.005 / PI)),
    "helix of gentle pitch": (Helix(1.0, 2 * PI, 0.4), 2.0),
    "bowl": (Paraboloid(bend=4.0), 0.25),
    "saddle": (Saddle(bend=-2.0), 0.5),
    "waves": (Waves(0.1, 1.0), 1 / (0.1 * (2 * PI) ** 2)),
    "unperturbed circle": (FourierCurve(5, 0.7, 0.0), 0.7),
    "unwarped sphere": (Warp(Sphere(2, 0.4), strength=0.0), 0.4),
}


@pytest.mark.parametrize("name", ESTIMATED_REACHES)
def test_estimated_reaches_equal_known_ones(name: str) -> None:
    manifold, known = ESTIMATED_REACHES[name]
    assert manifold.reach == pytest.approx(known, rel=2e-5)
    assert not manifold.reach_is_exact


@pytest.mark.parametrize("angle", [4.5, 5.5, 6.0])
@pytest.mark.parametrize("dim", [2, 3])
def test_the_reach_at_facing_corners_is_half_their_distance(dim: int, angle: float) -> None:
    """A cube bent round a cylinder along its diagonal; the midpoint of two opposite corners has both as nearest."""
    radius = math.sqrt(dim) / angle
    first = torch.full((dim, 1), dim**-0.5, dtype=torch.float64)
    frame = torch.linalg.qr(torch.cat([first, torch.eye(dim, dtype=torch.float64)[:, 1:]], dim=1)).Q

    def bend(z: torch.Tensor) -> torch.Tensor:
        rotated = (z - 0.5) @ frame
        turn = rotated[:, :1] / radius
        return torch.cat([radius * turn.sin(), radius * turn.cos(), rotated[:, 1:]], dim=1)

    corners = bend(torch.tensor([[0.0] * dim, [1.0] * dim], dtype=torch.float64))
    half = float((corners[0] - corners[1]).norm()) / 2
    assert DecoderManifold(bend, dim=dim, low=0.0, high=1.0).reach == pytest.approx(half, rel=1e-5)


def test_the_curvatures_of_a_torus() -> None:
    torus = Torus(2.0, 0.5)
    outside = rows([2.5, 0.0, 0.0])
    inside = rows([1.5, 0.0, 0.0])
    outward = rows([1.0, 0.0, 0.0])
    assert torus.principal_curvatures(outside, outward)[0].tolist() == pytest.approx([-2.0, -0.4])
    assert torus.principal_curvatures(inside, -outward)[0].tolist() == pytest.approx([-2.0, 1 / 1.5])
    gauss = torus.scalar_curvature(torch.cat([outside, inside])) / 2
    assert gauss.tolist() == pytest.approx([1 / (0.5 * 2.5), -1 / (0.5 * 1.5)])


def test_curvatures_at_one_point_each() -> None:
    on_helix = Helix(2.0, 2 * PI, 1.0).second_fundamental_form(rows([2.0, 0.0, 0.0]))
    assert float(on_helix.norm()) == pytest.approx(2 / 5)
    assert float(Ellipse(2.0, 1.0).second_fundamental_form(rows([2.0, 0.0])).norm()) == pytest.approx(2.0)
    assert Sphere(4, 0.5).scalar_curvature(rows([0, 0, 1.0, 0, 0])).item() == pytest.approx(12 / 0.25)
    assert Sphere(2, 0.5).principal_curvatures(rows([0, 0, 1.0]))[0].tolist() == pytest.approx([-2.0, -2.0])
    # The band rotates by half a turn around its middle line of length 2 pi: the Gaussian curvature is -1/4 there.
    assert Moebius(1.0).scalar_curvature(rows([1.0, 0.0, 0.0])).item() / 2 == pytest.approx(-0.25)
    flat = CliffordTorus((1.0, 2.0)).scalar_curvature(rows([1.0, 0, 0, 2.0]))
    assert flat.item() == pytest.approx(0, abs=1e-12)


def test_principal_curvatures_without_a_normal_need_codimension_one() -> None:
    with pytest.raises(SceneError, match="codimension 2"):
        Helix().principal_curvatures(rows([1.0, 0.0, 0.0]))


def test_known_medial_axes() -> None:
    assert Sphere(2).medial_axis_distance(rows([0.25, 0.0, 0.0], [3.0, 0.0, 0.0])).tolist() == [0.25, math.inf]
    torus = Torus(1.0, 0.4)
    assert torus.medial_axis_distance(rows([1.1, 0.0, 0.0], [0.5, 0.0, 0.0])).tolist() == pytest.approx([0.1, 0.5])
    # Inside an ellipse, the normal at its flat side reaches to the long axis, that at its tip to the focal point.
    ellipse = Ellipse(2.0, 1.0)
    assert ellipse.medial_axis_distance(rows([0.0, 0.5], [1.9, 0.0])).tolist() == pytest.approx([0.5, 0.4], rel=1e-3)


def test_closed_geodesics() -> None:
    assert Sphere(2, 2.0).geodesic_distance(rows([0, 0, 2.0]), rows([0, 0, -2.0], [0, 2.0, 0])).tolist()[
        0
    ] == pytest.approx([2 * PI, PI])
    a = rows([1.0, 0, 2.0, 0])
    b = rows([0, 1.0, 0, -2.0])
    assert CliffordTorus((1.0, 2.0)).geodesic_distance(a, b).item() == pytest.approx(math.hypot(PI / 2, PI))
    roll = SwissRoll(height=2.0)
    ends = roll.project(rows([0.25, 0.0, -1.0], [-1.0, 0.0, 1.0]))
    length = Spiral().volume
    assert roll.geodesic_distance(ends, ends)[0, 1].item() == pytest.approx(math.hypot(length, 2.0))
    half = Ellipse(2.0, 1.0)
    assert half.geodesic_distance(rows([2.0, 0.0]), rows([-2.0, 0.0])).item() == pytest.approx(half.volume / 2)


@pytest.mark.parametrize("manifold", [Sphere(2), Spiral(turns=3.0)], ids=lambda m: type(m).__name__)
def test_paths_along_the_graph_are_at_most_a_few_per_cent_too_long_and_have_no_shortcuts(manifold: Manifold) -> None:
    x = manifold.sample(20, generator(0))
    lengths = shortest_path_lengths(manifold, x, x)
    known = manifold.geodesic_distance(x, x)
    pairs = known > 1
    ratio = lengths[pairs] / known[pairs]
    assert float(ratio.min()) > 1 - 1e-6
    assert float(ratio.max()) < 1.05
    assert float(ratio.mean()) < 1.02


def bowl_meridian(bend: float, radius: float) -> float:
    slope = bend * radius
    return (slope * math.hypot(1, slope) + math.asinh(slope)) / (2 * bend)


# Points a and b, and the length of the shortest path between them: along the tube and the inner equator of a torus, by
# the metric, and along a meridian of a bowl; at the seams of one-sided surfaces the chord, which is little shorter.
GEODESICS = {
    "tube": (Torus(1.0, 0.1), [1.1, 0, 0], [1 + 0.1 * math.cos(2.5), 0, 0.1 * math.sin(2.5)], 0.25),
    "fat tube": (Torus(1.0, 0.97), [1.97, 0, 0], [1 + 0.97 * math.cos(3.1), 0, 0.97 * math.sin(3.1)], 0.97 * 3.1),
    "inner equator": (Torus(1.0, 0.9), [0.1, 0, 0], [0.1 * math.cos(2.5), 0.1 * math.sin(2.5), 0], 0.25),
    "narrow hole": (Torus(1.0, 0.97), [0.03, 0, 0], [0.03 * math.cos(3.1), 0.03 * math.sin(3.1), 0], 0.093),
    "bowl": (Paraboloid(bend=20.0), [0, 0, 0], [0.5, 0, 2.5], bowl_meridian(20.0, 0.5)),
    "steep bowl": (Paraboloid(bend=60.0), [0, 0, 0], [0.5, 0, 7.5], bowl_meridian(60.0, 0.5)),
    "seam of a band": (
        Moebius(1.0, 0.3),
        [math.cos(0.5), math.sin(0.5), 0],
        [math.cos(0.5), -math.sin(0.5), 0],
        2 * math.sin(0.5),
    ),
    "plane": (Paraboloid(bend=0.0), [-0.9, -0.8, 0], [0.7, 0.9, 0], math.hypot(1.6, 1.7)),
    "seam of a klein bottle": (
        KleinBottle(1.0, 0.4),
        [1.4 * math.cos(0.2), 1.4 * math.sin(0.2), 0, 0],
        [1.4 * math.cos(0.2), -1.4 * math.sin(0.2), 0, 0],
        2.8 * math.sin(0.2),
    ),
}


@pytest.mark.parametrize("name", GEODESICS)
def test_a_path_is_not_shorter_than_the_geodesic_and_hardly_longer(name: str) -> None:
    manifold, a, b, known = GEODESICS[name]
    found = manifold.geodesic_distance(rows(a), rows(b)).item()
    assert found >= known * (1 - 1e-6)
    assert found <= 1.1 * known


@pytest.mark.parametrize("wavelength", [0.25, 0.1, 0.05])
def test_paths_over_steep_waves_are_right_or_refused(wavelength: float) -> None:
    waves = Waves(amplitude=0.1, wavelength=wavelength)
    # The line y = 0 lies on the surface.
    ends = rows([-0.5, 0.0, 0.0]), rows([0.5, 0.0, 0.0])
    if wavelength < 0.2:
        with pytest.raises(SceneError, match=r"Waves: geodesic distances still change by \d+% from 10,000 nodes"):
            waves.geodesic_distance(*ends)
    else:
        assert 1 <= waves.geodesic_distance(*ends).item() < 1.05


def test_a_warp_changes_lengths_by_at_most_its_strength() -> None:
    flat = Segment((0.0, 0.0), (3.0, 0.0))
    warp = Warp(flat, strength=0.4, frequency=5.0)
    assert 3 * 0.6 < warp.volume < 3 * 1.4
    x = 2 * torch.randn(100, 2, generator=generator(0), dtype=torch.float64)
    y = x + 1e-4 * torch.randn(100, 2, generator=generator(1), dtype=torch.float64)
    ratio = (warp.transform(x) - warp.transform(y)).norm(dim=1) / (x - y).norm(dim=1)
    assert 0.6 - 1e-6 < float(ratio.min()) < float(ratio.max()) < 1.4 + 1e-6
    assert float(ratio.max()) > 1.2


def test_components_are_distinguished() -> None:
    spheres = ConcentricSpheres(2, (1.0, 2.0, 4.0))
    assert spheres.component_index(rows([0.9, 0, 0], [0, 2.5, 0], [0, 0, 9.0])).tolist() == [0, 1, 2]
    fraction = spheres.component_index(spheres.sample(6000, generator(0))).bincount() / 6000
    assert fraction.tolist() == pytest.approx([1 / 21, 4 / 21, 16 / 21], abs=0.02)
    rolls = IntertwinedRolls(rolls=3)
    # The separation of neighboring windings is a third of the pitch along the radius, slightly less along the normal.
    assert 0.9 < rolls.separation / ((1.0 - 0.25) / 1.5 / 3) < 1
    assert len(Embedding(LinkedCircles(), 7).components) == 2


def test_an_embedding_changes_only_the_position() -> None:
    torus = Torus()
    embedding = Embedding(torus, ambient_dim=1000, offset=(0.5,), seed=3)
    x = torus.sample(5, generator(0))
    y = embedding.embed(x)
    assert torch.allclose(torch.cdist(y, y), torch.cdist(x, x), atol=1e-6)
    assert torch.allclose(embedding.axes.T @ embedding.axes, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert torch.equal(embedding.sample(4, generator(1)), embedding.embed(torus.sample(4, generator(1))))
    assert torch.allclose(Embedding(torus, ambient_dim=5, frame="axes").embed(x)[:, :3], x)
    off = y + 0.3 * torch.linalg.qr(torch.cat([embedding.axes, torch.ones(1000, 1).double()], dim=1)).Q[:, 3]
    assert torch.allclose(embedding.distance(off), torch.full((5,), 0.3, dtype=torch.float64))


def _random_network() -> torch.nn.Module:
    network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4)).double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator(0, weight.shape), dtype=torch.float64))
    return network


def test_a_decoder_manifold_is_the_image_of_the_decoder() -> None:
    torch_module = _random_network()
    manifold = DecoderManifold(torch_module, dim=1, low=-1.0, high=1.0)
    z = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    x = torch_module(z).detach()
    assert manifold.ambient_dim == 4
    assert float(manifold.distance(x).max()) < 1e-12
    jacobian = torch.func.vmap(torch.func.jacrev(torch_module))(z)[:, :, 0].detach()
    basis = manifold.tangent_basis(x)[:, :, 0]
    assert torch.allclose((basis * jacobian).sum(1).abs(), jacobian.norm(dim=1), rtol=1e-6)


INVALID = {
    "ambient_dim is 2": lambda: Embedding(Torus(), ambient_dim=2),
    "offset has 2 numbers": lambda: Embedding(Torus(), ambient_dim=5, offset=(1.0, 2.0)),
    "minor is 2.0; it must be below major": lambda: Torus(1.0, 2.0),
    "minor is 1.0; it must be below major, which is 1.0": lambda: KleinBottle(1.0, 1.0),
    "half_width is 3.0": lambda: Moebius(1.0, 3.0),
    "radii .* repeat": lambda: ConcentricSpheres(2, (1.0, 1.0)),
    "the two arcs meet": lambda: Moons(1.0, 2.0, 0.0),
    "rolls is 1": lambda: IntertwinedRolls(rolls=1),
    "inner is 2.0": lambda: SwissRoll(inner=2.0),
    "stop is 7.0": lambda: Arc(1.0, 0.0, 7.0),
    "define no segment": lambda: Segment((1.0, 2.0), (1.0, 2.0)),
    "normal is": lambda: Plane(normal=(0.0, 0.0, 0.0)),
    "needs at least 4": lambda: RandomSurface(dim=2, ambient_dim=3),
    "meets itself": lambda: FourierCurve(ambient_dim=2, amplitude=3.0, frequency=5),
    "ambient_dim is 1": lambda: FourierCurve(ambient_dim=1),
    "frame must have 2 rows": lambda: FramedEmbedding(Circle(), ((1.0, 0.0),), (0.0, 0.0)),
    "columns of frame are not orthonormal": lambda: FramedEmbedding(Circle(), ((2.0, 0.0), (0.0, 1.0)), (0.0, 0.0)),
}


@pytest.mark.parametrize("message", INVALID)
def test_invalid_settings_are_refused_in_one_sentence(message: str) -> None:
    with pytest.raises(SceneError, match=message) as caught:
        INVALID[message]()
    assert "\n" not in str(caught.value)


def test_a_module_that_is_not_a_decoder_is_refused() -> None:
    with pytest.raises(ShapeError, match="dim="):
        DecoderManifold(torch.nn.Linear(3, 7), dim=2)
    with pytest.raises(DimpleError, match="more than it takes"):
        DecoderManifold(torch.nn.Linear(2, 2), dim=2)
