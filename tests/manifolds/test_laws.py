"""Laws of the family, tested on every kind of manifold: in float64, to 1e-8 unless a statistical test is involved."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor

from dimple.manifolds import MANIFOLDS, Manifold
from dimple.tensors import generator
from tests.manifolds.members import NAMES, interior_points, members, points_near

TOLERANCE = 1e-8


@pytest.fixture(params=NAMES)
def manifold(request: pytest.FixtureRequest) -> Manifold:
    return members()[request.param]


def test_every_kind_of_the_table_is_tested() -> None:
    assert set(MANIFOLDS) <= set(NAMES)


def test_samples_lie_on_it_and_repeat_with_their_generator(manifold: Manifold) -> None:
    x = manifold.sample(50, generator(0, "points"))
    assert x.shape == (50, manifold.ambient_dim)
    assert x.dtype == torch.float64
    assert float(manifold.distance(x).max()) < TOLERANCE
    assert torch.equal(x, manifold.sample(50, generator(0, "points")))
    assert not torch.equal(x, manifold.sample(50, generator(1, "points")))


def test_projection_is_idempotent_and_finds_the_closest_point(manifold: Manifold) -> None:
    _, y = points_near(manifold)
    closest = manifold.project(y)
    assert float((manifold.project(closest) - closest).abs().max()) < TOLERANCE
    others = manifold.sample(2000, generator(5, "rivals"))
    assert bool((manifold.distance(y) <= torch.cdist(y, others).amin(1) + TOLERANCE).all())


def test_projection_of_far_points_finds_the_closest_point(manifold: Manifold) -> None:
    deviation = manifold.sample(200, generator(6)).std(0).max()
    y = 2 * deviation * torch.randn(30, manifold.ambient_dim, generator=generator(7), dtype=torch.float64)
    others = manifold.sample(2000, generator(5, "rivals"))
    assert bool((manifold.distance(y) <= torch.cdist(y, others).amin(1) + TOLERANCE).all())


def test_no_step_from_a_closest_point_leads_nearer(manifold: Manifold) -> None:
    """Edges included, where the direction to the point is not normal to the manifold."""
    deviation = manifold.sample(200, generator(6)).std(0).max()
    y = 2 * deviation * torch.randn(30, manifold.ambient_dim, generator=generator(13), dtype=torch.float64)
    closest = manifold.project(y)
    step = torch.randn(30, manifold.dim, generator=generator(14), dtype=torch.float64)
    offset = 1e-4 * torch.einsum("bnd,bd->bn", manifold.tangent_basis(closest), step)
    for neighbor in (manifold.project(closest + offset), manifold.project(closest - offset)):
        assert bool(((y - neighbor).norm(dim=1) >= (y - closest).norm(dim=1) - 1e-11).all())


def test_projection_inverts_steps_below_the_reach_along_a_normal(manifold: Manifold) -> None:
    x = interior_points(manifold)
    weights = torch.randn(len(x), manifold.codim, generator=generator(8), dtype=torch.float64)
    normal = torch.einsum("bnk,bk->bn", manifold.normal_basis(x), weights / weights.norm(dim=1, keepdim=True))
    y = x + 0.95 * min(manifold.reach, 10.0) * normal
    assert float((manifold.project(y) - x).abs().max()) < 1e-6
    assert bool((manifold.medial_axis_distance(y) > 0).all())


def test_bases_are_orthonormal_and_complete(manifold: Manifold) -> None:
    _, y = points_near(manifold)
    basis = torch.cat([manifold.tangent_basis(y), manifold.normal_basis(y)], dim=2)
    eye = torch.eye(manifold.ambient_dim, dtype=torch.float64)
    assert float((basis.mT @ basis - eye).abs().max()) < TOLERANCE


def test_the_tangent_space_is_the_range_of_the_projections_derivative(manifold: Manifold) -> None:
    x = interior_points(manifold)
    basis = manifold.tangent_basis(x)
    v = torch.randn(x.shape, generator=generator(9), dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    derivative = _derivative(manifold.project, x, v, 1e-3 * min(manifold.reach, 1.0))
    assert float((derivative - (basis @ (basis.mT @ v[:, :, None]))[:, :, 0]).abs().max()) < TOLERANCE


def test_the_second_fundamental_form_is_the_rotation_of_the_tangent_space(manifold: Manifold) -> None:
    """The derivative of the projector Q Q^T along a tangent a maps a tangent b to II(a, b)."""
    x = interior_points(manifold)
    basis = manifold.tangent_basis(x)
    form = manifold.second_fundamental_form(x)
    scale = min(manifold.reach, 1.0)

    def projector(y: Tensor) -> Tensor:
        q = manifold.tangent_basis(y)
        return q @ q.mT

    for i in range(manifold.dim):
        rotation = _derivative(projector, x, basis[:, :, i], 2e-3 * scale) @ basis
        assert float((rotation - form[:, :, i, :]).abs().max()) * scale < 1e-7
    assert float(torch.einsum("bnk,bnij->bkij", basis, form).abs().max()) * scale < TOLERANCE
    assert torch.allclose(form, form.transpose(2, 3), atol=TOLERANCE)


def test_no_curvature_exceeds_one_over_the_reach(manifold: Manifold) -> None:
    x = interior_points(manifold)
    form = manifold.second_fundamental_form(x)
    curvature_vectors = form.diagonal(dim1=2, dim2=3)
    assert float(curvature_vectors.norm(dim=1).max()) <= (1 + 1e-5) / manifold.reach


def test_geodesic_distances_are_a_metric_and_not_shorter_than_chords(manifold: Manifold) -> None:
    x = manifold.sample(12, generator(10))
    length = manifold.geodesic_distance(x, x)
    finite = torch.isfinite(length)
    assert float(length.diagonal().abs().max()) < TOLERANCE
    assert torch.equal(finite, finite.T)
    assert float((length - length.T)[finite].abs().max()) < TOLERANCE
    detour = length[:, :, None] + length[None]
    assert bool((length[:, None] <= detour + TOLERANCE).all())
    assert bool((length >= torch.cdist(x, x) - TOLERANCE).all())
    same = manifold.component_index(x)[:, None] == manifold.component_index(x)
    assert torch.equal(finite, same)


def test_the_sample_is_uniform_in_volume(manifold: Manifold) -> None:
    """Compared with points of the triangles chosen by area, which do not use the area factor."""
    mesh = manifold.triangulation()
    if mesh is None:
        pytest.skip("no mesh above dimension 2")
    sample = manifold.sample(2000, generator(11))
    expected = torch.from_numpy(_sample_mesh(*mesh, 8000))
    centers = manifold.sample(24, generator(12))
    table = [np.bincount(torch.cdist(x, centers).argmin(1).numpy(), minlength=24) for x in (sample, expected)]
    assert chi2_contingency(table).pvalue > 1e-3


def test_the_volume_is_that_of_the_mesh(manifold: Manifold) -> None:
    mesh = manifold.triangulation()
    if mesh is None:
        pytest.skip("no mesh above dimension 2")
    assert manifold.volume == pytest.approx(_areas(*mesh).sum(), rel=3e-3)


def test_coordinates_and_grids_stay_in_the_chart(manifold: Manifold) -> None:
    _, y = points_near(manifold)
    unit = manifold.coordinates(y)
    assert unit.shape == (len(y), manifold.dim)
    assert bool(((unit >= 0) & (unit <= 1)).all())
    grid = manifold.regular_grid(3)
    if grid is not None:
        assert len(grid) == 3**manifold.dim * len(manifold.components)
        assert float(manifold.distance(grid).max()) < TOLERANCE


def test_dtype_and_device_are_kept(manifold: Manifold) -> None:
    y = points_near(manifold, 5)[1].float()
    for name in (
        "project",
        "tangent_basis",
        "normal_basis",
        "second_fundamental_form",
        "distance",
        "medial_axis_distance",
        "coordinates",
    ):
        result = getattr(manifold, name)(y)
        assert (result.dtype, result.device, len(result)) == (torch.float32, y.device, 5), name
    assert manifold.geodesic_distance(y, y).dtype == torch.float32
    assert torch.allclose(manifold.project(y), manifold.project(y.double()).float(), atol=1e-5)


def test_batch_mates_do_not_matter(manifold: Manifold) -> None:
    _, y = points_near(manifold, 6)
    assert torch.allclose(manifold.project(y)[2:3], manifold.project(y[2:3]), atol=1e-12)


EULER_CHARACTERISTICS = {
    "sphere": 2,
    "torus": 0,
    "clifford_torus": 0,
    "klein_bottle": 0,
    "concentric_spheres": 4,
    "embed": 2,
    "embedded torus": 0,
    "random_surface": 0,
    "warp": 2,
}


@pytest.mark.parametrize("name", EULER_CHARACTERISTICS)
def test_gauss_bonnet(name: str) -> None:
    """The integral of the Gaussian curvature and the mesh's angle defects equal 2 pi times Euler's number."""
    manifold = members()[name]
    mesh = manifold.triangulation()
    assert mesh is not None
    vertices, faces = mesh
    area = np.zeros(len(vertices))
    np.add.at(area, faces.reshape(-1), np.repeat(_areas(vertices, faces) / 3, 3))
    gauss = manifold.scalar_curvature(torch.from_numpy(vertices)).numpy() / 2
    expected = 2 * np.pi * EULER_CHARACTERISTICS[name]
    assert abs((gauss * area).sum() - expected) < 0.01 * max((abs(gauss) * area).sum(), 1.0)
    assert _angle_defects(vertices, faces).sum() == pytest.approx(expected, abs=1e-6)


def _derivative(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor, h: float) -> Tensor:
    """Return the derivative of `function` at `x` along `v` by six points, with an error of order h^6."""
    steps = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    return sum(w * (function(x + k * h * v) - function(x - k * h * v)) for k, w in steps.items()) / h


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    gram = edges @ edges.transpose(0, 2, 1)
    return np.sqrt(np.linalg.det(gram).clip(0)) / (edges.shape[1])


def _sample_mesh(vertices: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    stream = generator(0, "mesh")
    areas = torch.from_numpy(_areas(vertices, faces))
    which = torch.multinomial(areas, count, replacement=True, generator=stream).numpy()
    # Exponential variables divided by their sum are uniform in a triangle.
    weight = -torch.rand(count, faces.shape[1], generator=stream, dtype=torch.float64).log().numpy()
    weight /= weight.sum(axis=1, keepdims=True)
    return np.einsum("bk,bkn->bn", weight, vertices[faces[which]])


def _angle_defects(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    defect = np.full(len(vertices), 2 * np.pi)
    for corner in range(3):
        a, b, c = (vertices[faces[:, (corner + k) % 3]] for k in range(3))
        u = b - a
        v = c - a
        cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        np.subtract.at(defect, faces[:, corner], np.arccos(cosine.clip(-1, 1)))
    return defect
