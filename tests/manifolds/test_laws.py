"""What every manifold owes, tried on every kind: in float64, to 1e-8 wherever no statistics is involved."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Tensor

from dimple.manifolds import MANIFOLDS, Manifold
from dimple.tensors import generator
from tests.manifolds.members import NAMES, inner, members, near

EXACT = 1e-8


@pytest.fixture(params=NAMES)
def manifold(request: pytest.FixtureRequest) -> Manifold:
    return members()[request.param]


def test_every_kind_of_the_table_is_tried() -> None:
    assert set(MANIFOLDS) <= set(NAMES)


def test_samples_lie_on_it_and_repeat_with_their_generator(manifold: Manifold) -> None:
    x = manifold.sample(50, generator(0, "points"))
    assert x.shape == (50, manifold.ambient_dim)
    assert x.dtype == torch.float64
    assert float(manifold.distance(x).max()) < EXACT
    assert torch.equal(x, manifold.sample(50, generator(0, "points")))
    assert not torch.equal(x, manifold.sample(50, generator(1, "points")))


def test_projection_is_idempotent_and_finds_the_nearest_point(manifold: Manifold) -> None:
    _, y = near(manifold)
    foot = manifold.project(y)
    assert float((manifold.project(foot) - foot).abs().max()) < EXACT
    rivals = manifold.sample(2000, generator(5, "rivals"))
    assert bool((manifold.distance(y) <= torch.cdist(y, rivals).amin(1) + EXACT).all())


def test_far_points_too_find_the_nearest_one(manifold: Manifold) -> None:
    spread = manifold.sample(200, generator(6)).std(0).max()
    y = 2 * spread * torch.randn(30, manifold.ambient_dim, generator=generator(7), dtype=torch.float64)
    rivals = manifold.sample(2000, generator(5, "rivals"))
    assert bool((manifold.distance(y) <= torch.cdist(y, rivals).amin(1) + EXACT).all())


def test_no_step_along_it_from_a_foot_leads_nearer(manifold: Manifold) -> None:
    """Also at the edges, where the way to the point is not square to the manifold."""
    spread = manifold.sample(200, generator(6)).std(0).max()
    y = 2 * spread * torch.randn(30, manifold.ambient_dim, generator=generator(13), dtype=torch.float64)
    foot = manifold.project(y)
    step = torch.randn(30, manifold.dim, generator=generator(14), dtype=torch.float64)
    aside = 1e-4 * torch.einsum("bnd,bd->bn", manifold.tangent_basis(foot), step)
    for nearby in (manifold.project(foot + aside), manifold.project(foot - aside)):
        assert bool(((y - nearby).norm(dim=1) >= (y - foot).norm(dim=1) - 1e-11).all())


def test_what_lies_nearer_than_the_reach_along_a_normal_comes_back(manifold: Manifold) -> None:
    x = inner(manifold)
    share = torch.randn(len(x), manifold.codim, generator=generator(8), dtype=torch.float64)
    normal = torch.einsum("bnk,bk->bn", manifold.normal_basis(x), share / share.norm(dim=1, keepdim=True))
    y = x + 0.95 * min(manifold.reach, 10.0) * normal
    assert float((manifold.project(y) - x).abs().max()) < 1e-6
    assert bool((manifold.room(y) > 0).all())


def test_bases_are_orthonormal_and_complete(manifold: Manifold) -> None:
    _, y = near(manifold)
    whole = torch.cat([manifold.tangent_basis(y), manifold.normal_basis(y)], dim=2)
    eye = torch.eye(manifold.ambient_dim, dtype=torch.float64)
    assert float((whole.mT @ whole - eye).abs().max()) < EXACT


def test_the_tangent_space_is_the_range_of_the_projections_derivative(manifold: Manifold) -> None:
    x = inner(manifold)
    basis = manifold.tangent_basis(x)
    v = torch.randn(x.shape, generator=generator(9), dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    found = _derivative(manifold.project, x, v, 1e-3 * min(manifold.reach, 1.0))
    assert float((found - (basis @ (basis.mT @ v[:, :, None]))[:, :, 0]).abs().max()) < EXACT


def test_the_second_form_is_how_the_tangent_space_turns(manifold: Manifold) -> None:
    """The derivative of the projector Q Q^T along a tangent a takes a tangent b to II(a, b) and its transpose back."""
    x = inner(manifold)
    basis, form = manifold.tangent_basis(x), manifold.second_form(x)
    scale = min(manifold.reach, 1.0)

    def projector(y: Tensor) -> Tensor:
        q = manifold.tangent_basis(y)
        return q @ q.mT

    for i in range(manifold.dim):
        turned = _derivative(projector, x, basis[:, :, i], 2e-3 * scale) @ basis
        assert float((turned - form[:, :, i, :]).abs().max()) * scale < 1e-7
    assert float(torch.einsum("bnk,bnij->bkij", basis, form).abs().max()) * scale < EXACT
    assert torch.allclose(form, form.transpose(2, 3), atol=EXACT)


def test_no_curvature_exceeds_one_over_the_reach(manifold: Manifold) -> None:
    x = inner(manifold)
    form = manifold.second_form(x)
    along = form.diagonal(dim1=2, dim2=3)
    assert float(along.norm(dim=1).max()) <= (1 + 1e-5) / manifold.reach


def test_geodesics_are_a_metric_and_no_shorter_than_chords(manifold: Manifold) -> None:
    x = manifold.sample(12, generator(10))
    length = manifold.geodesic(x, x)
    reached = torch.isfinite(length)
    assert float(length.diagonal().abs().max()) < EXACT
    assert torch.equal(reached, reached.T)
    assert float((length - length.T)[reached].abs().max()) < EXACT
    detour = length[:, :, None] + length[None]
    assert bool((length[:, None] <= detour + EXACT).all())
    assert bool((length >= torch.cdist(x, x) - EXACT).all())
    same = manifold.component(x)[:, None] == manifold.component(x)
    assert torch.equal(reached, same)


def test_the_sample_is_uniform_in_volume(manifold: Manifold) -> None:
    """Against points drawn by area from the triangles, which know nothing of the area factor."""
    drawn = manifold.triangulation()
    if drawn is None:
        pytest.skip("no mesh beyond two dimensions")
    ours = manifold.sample(2000, generator(11))
    theirs = torch.from_numpy(_on_mesh(*drawn, 8000))
    centres = manifold.sample(24, generator(12))
    table = [np.bincount(torch.cdist(x, centres).argmin(1).numpy(), minlength=24) for x in (ours, theirs)]
    assert chi2_contingency(table).pvalue > 1e-3


def test_the_volume_is_that_of_the_mesh(manifold: Manifold) -> None:
    drawn = manifold.triangulation()
    if drawn is None:
        pytest.skip("no mesh beyond two dimensions")
    assert manifold.volume == pytest.approx(_areas(*drawn).sum(), rel=3e-3)


def test_coordinates_and_grids_stay_in_the_chart(manifold: Manifold) -> None:
    _, y = near(manifold)
    unit = manifold.coordinates(y)
    assert unit.shape == (len(y), manifold.dim)
    assert bool(((unit >= 0) & (unit <= 1)).all())
    grid = manifold.grid(3)
    if grid is not None:
        assert len(grid) == 3**manifold.dim * len(manifold.parts)
        assert float(manifold.distance(grid).max()) < EXACT


def test_dtype_and_device_are_kept(manifold: Manifold) -> None:
    y = near(manifold, 5)[1].float()
    for question in ("project", "tangent_basis", "normal_basis", "second_form", "distance", "room", "coordinates"):
        answer = getattr(manifold, question)(y)
        assert (answer.dtype, answer.device, len(answer)) == (torch.float32, y.device, 5), question
    assert manifold.geodesic(y, y).dtype == torch.float32
    assert torch.allclose(manifold.project(y), manifold.project(y.double()).float(), atol=1e-5)


def test_batch_mates_do_not_matter(manifold: Manifold) -> None:
    _, y = near(manifold, 6)
    assert torch.allclose(manifold.project(y)[2:3], manifold.project(y[2:3]), atol=1e-12)


CLOSED = {
    "sphere": 2,
    "torus": 0,
    "clifford_torus": 0,
    "klein_bottle": 0,
    "concentric_spheres": 4,
    "lift": 2,
    "lifted torus": 0,
    "random_surface": 0,
    "warp": 2,
}


@pytest.mark.parametrize("name", CLOSED)
def test_gauss_bonnet(name: str) -> None:
    """The exact Gaussian curvature over the mesh, and its own angle defects, sum to 2 pi times Euler's number."""
    manifold = members()[name]
    drawn = manifold.triangulation()
    assert drawn is not None
    vertices, faces = drawn
    area = np.zeros(len(vertices))
    np.add.at(area, faces.reshape(-1), np.repeat(_areas(vertices, faces) / 3, 3))
    gauss = manifold.scalar_curvature(torch.from_numpy(vertices)).numpy() / 2
    assert abs((gauss * area).sum() - 2 * np.pi * CLOSED[name]) < 0.01 * max((abs(gauss) * area).sum(), 1.0)
    assert _defects(vertices, faces).sum() == pytest.approx(2 * np.pi * CLOSED[name], abs=1e-6)


def _derivative(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor, h: float) -> Tensor:
    """Of `function` at `x` along `v`, by six points: an error of order h^6."""
    steps = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    return sum(w * (function(x + k * h * v) - function(x - k * h * v)) for k, w in steps.items()) / h


def _areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    gram = edges @ edges.transpose(0, 2, 1)
    return np.sqrt(np.linalg.det(gram).clip(0)) / (edges.shape[1])


def _on_mesh(vertices: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    stream = generator(0, "mesh")
    areas = torch.from_numpy(_areas(vertices, faces))
    which = torch.multinomial(areas, count, replacement=True, generator=stream).numpy()
    # Exponential variables over their sum are uniform in a triangle.
    weight = -torch.rand(count, faces.shape[1], generator=stream, dtype=torch.float64).log().numpy()
    weight /= weight.sum(axis=1, keepdims=True)
    return np.einsum("bk,bkn->bn", weight, vertices[faces[which]])


def _defects(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    defect = np.full(len(vertices), 2 * np.pi)
    for corner in range(3):
        a, b, c = (vertices[faces[:, (corner + k) % 3]] for k in range(3))
        u, v = b - a, c - a
        cosine = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        np.subtract.at(defect, faces[:, corner], np.arccos(cosine.clip(-1, 1)))
    return defect
