"""Laws of the family, tested on every kind of manifold: in float64, to 1e-8 unless a statistical test is involved."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency

from dimple.manifolds import MANIFOLDS, Manifold
from dimple.tensors import generator
from dimple.testing import MANIFOLD_LAWS
from dimple.testing.manifolds import ManifoldLaw, points_near
from tests.manifolds.members import NAMES, members

TOLERANCE = 1e-8


@pytest.fixture(params=NAMES)
def manifold(request: pytest.FixtureRequest) -> Manifold:
    return members()[request.param]


def test_every_kind_of_the_table_is_tested() -> None:
    assert set(MANIFOLDS) <= set(NAMES)


@pytest.mark.parametrize("law", MANIFOLD_LAWS, ids=lambda law: law.__name__)
def test_every_manifold_obeys_the_laws(law: ManifoldLaw, manifold: Manifold) -> None:
    law(manifold)


def test_no_step_from_a_closest_point_leads_nearer(manifold: Manifold) -> None:
    """Edges included, where the direction to the point is not normal to the manifold."""
    deviation = manifold.sample(200, generator(6)).std(0).max()
    y = 2 * deviation * torch.randn(30, manifold.ambient_dim, generator=generator(13), dtype=torch.float64)
    closest = manifold.project(y)
    step = torch.randn(30, manifold.dim, generator=generator(14), dtype=torch.float64)
    offset = 1e-4 * torch.einsum("bnd,bd->bn", manifold.tangent_basis(closest), step)
    for neighbor in (manifold.project(closest + offset), manifold.project(closest - offset)):
        assert bool(((y - neighbor).norm(dim=1) >= (y - closest).norm(dim=1) - 1e-11).all())


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


def test_grids_lie_on_it(manifold: Manifold) -> None:
    grid = manifold.regular_grid(3)
    if grid is not None:
        assert len(grid) == 3**manifold.dim * len(manifold.components)
        assert float(manifold.distance(grid).max()) < TOLERANCE


def test_geodesic_distances_keep_the_type(manifold: Manifold) -> None:
    y = points_near(manifold, 5)[1].float()
    assert manifold.geodesic_distance(y, y).dtype == torch.float32


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
