"""Sections are isometric maps, and the boundary within one is the boundary of the whole space."""

import pytest
import torch
from torch import nn

from dimple.boundary import Boundary, Section, restricted
from dimple.boundary.affine_slice import class_pairs
from dimple.errors import SceneError, ShapeError
from dimple.levelsets import Adaptive
from dimple.networks import Normalised, two_class
from dimple.tensors import generator
from dimple.tracing.piecewise_linear import folds

CPU = torch.device("cpu")


def test_distances_stay_and_coordinates_come_back() -> None:
    stream = generator(0, "section")
    section = Section(torch.randn(3, 2, 2, generator=stream), torch.randn(12, 3, generator=stream))
    u = torch.randn(20, 3, generator=stream)
    x = section(u)
    assert x.shape == (20, 3, 2, 2)
    assert torch.allclose(torch.cdist(u, u), torch.cdist(x.reshape(20, -1), x.reshape(20, -1)), atol=1e-4)
    assert torch.allclose(section.coordinates(x), u, atol=1e-5)
    assert float(section.distance(x).max()) < 1e-5
    off = x + 0.5
    foot = section(section.coordinates(off))
    assert torch.allclose(section.distance(off), (off - foot).reshape(20, -1).norm(dim=1))


def test_three_images_lie_in_their_plane() -> None:
    images = torch.rand(3, 1, 4, 4, generator=generator(1, "images"))
    section = Section.through(images)
    u = section.coordinates(images)
    assert section.dim == 2
    assert float(section.distance(images).max()) < 1e-5
    assert u[0].abs().max() < 1e-6
    assert u[1, 0] > 0
    assert abs(float(u[1, 1])) < 1e-6
    low, high = section.fitted_box(images)
    assert all(a < b for a, b in zip(low, high, strict=True))


def test_principal_axes_are_those_of_the_cloud() -> None:
    stream = generator(2, "cloud")
    cloud = torch.randn(400, 5, generator=stream) * torch.tensor([0.1, 5.0, 0.2, 3.0, 0.1])
    section = Section.principal(cloud, 2)
    assert section.axes[1, 0].abs() > 0.99
    assert section.axes[3, 1].abs() > 0.99
    with pytest.raises(SceneError, match="2 points have no 3 principal directions"):
        Section.principal(cloud[:2])


def test_off_the_manifold_the_gradient_is_the_last_axis() -> None:
    normal = torch.zeros(100)
    normal[[0, 40]] = torch.tensor([2.0, 1.5])
    plane = Boundary(lambda x: torch.stack([-(x @ normal), x @ normal], dim=1))
    basis, x, y = torch.eye(100)[:, :2], torch.zeros(1, 100), torch.ones(1, dtype=torch.long)
    section = Section.steepest(plane, x, y, basis, 3)
    assert torch.allclose(section.axes[:, :2], basis)
    assert section.axes[40, 2] == pytest.approx(1.0)
    within = restricted(plane, section)
    # 2 u0 + 1.5 u2 = 0 is all that the section sees of the half-space.
    gap = within.gap(torch.tensor([[1.0, 7.0, 2.0]]), torch.tensor([1]))
    assert float(gap) == pytest.approx(2 * (2.0 + 3.0))
    with pytest.raises(SceneError, match="do not lead off the 2 axes given in 1 directions"):
        Section.steepest(plane, x, y, torch.eye(100)[:, [0, 40]], 3)


def test_the_steepest_directions_hold_the_gradients_of_all_rivals() -> None:
    weights = torch.randn(4, 3, 3, 3, generator=generator(5, "weights"))
    linear = Boundary(lambda x: x.flatten(1) @ weights.flatten(1).T)
    x = torch.randn(2, 3, 3, 3, generator=generator(6, "samples"))
    section = Section.steepest(linear, x, linear.predict(x), torch.zeros(27, 0), 3)
    # Differences of four weight vectors span three dimensions, so these are all that the classifier looks along.
    differences = (weights[1:] - weights[:1]).flatten(1)
    assert torch.allclose(differences @ section.axes @ section.axes.T, differences, atol=1e-4)
    sizes = torch.linalg.svdvals(torch.cat([weights.flatten(1)[y] - weights.flatten(1) for y in linear.predict(x)]))
    along = torch.cat([weights.flatten(1)[y] - weights.flatten(1) for y in linear.predict(x)]) @ section.axes
    assert torch.allclose(along.norm(dim=0), sizes[:3], rtol=1e-4)


def test_the_ball_of_images_is_a_ball_in_every_section() -> None:
    flat = nn.Flatten()
    ball = Boundary(lambda x: torch.stack([flat(x).norm(dim=1), torch.ones(len(x))], dim=1))
    section = Section(torch.zeros(3, 4, 4), torch.randn(48, 3, generator=generator(3, "axes")))
    mesh = Adaptive(cells=32).extract(restricted(ball, section), 1, (-1.5,) * 3, (1.5,) * 3, CPU)
    assert torch.from_numpy(mesh.vertices).norm(dim=1).sub(1).abs().max() < 1e-4


def test_pairs_that_meet() -> None:
    corner = Boundary(lambda x: torch.cat([x, torch.full((len(x), 1), -100.0)], dim=1))
    points = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    assert class_pairs(corner, points) == [(0, 1), (1, 2)]


def test_axes_must_span() -> None:
    with pytest.raises(SceneError, match="the 2 axes span fewer dimensions"):
        Section(torch.zeros(3), torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]))
    with pytest.raises(ShapeError, match=r"axes have shape \(2, 3\)"):
        Section(torch.zeros(3), torch.zeros(2, 3))
    with pytest.raises(SceneError, match="nan or inf"):
        Section(torch.zeros(2), torch.tensor([[float("nan")], [0.0]]))


def test_wrapped_networks_of_images_are_read_layer_by_layer() -> None:
    stream = generator(4, "wrapped")
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    inner[2].running_mean += torch.randn(8, generator=stream)
    inner[2].running_var += torch.rand(8, generator=stream)
    wrapped = Normalised((0.1, 0.5, 0.9), (0.2, 0.3, 0.4), two_class(inner)).eval().requires_grad_(False)
    section = Section(torch.rand(3, 2, 2, generator=stream), torch.randn(12, 3, generator=stream))
    within = restricted(Boundary(wrapped), section)
    u = torch.randn(50, 3, generator=stream)
    level = folds(within.classifier, 1).level(u.double())
    assert torch.allclose(level.float(), within.gap(u, torch.ones(50, dtype=torch.long)), atol=1e-5)
