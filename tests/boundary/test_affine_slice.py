"""Affine slices are isometric maps, and the boundary within a slice is the boundary of the input space."""

import pytest
import torch
from torch import nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.boundary.affine_slice import competing_class_pairs
from dimple.errors import SceneError, ShapeError
from dimple.levelsets import Adaptive
from dimple.networks import NormalizedModel, add_second_logit
from dimple.tensors import generator
from dimple.tracing.piecewise_linear import read_piecewise_linear

CPU = torch.device("cpu")


def test_distances_are_kept_and_coordinates_are_inverse() -> None:
    stream = generator(0, "section")
    affine_slice = AffineSlice(torch.randn(3, 2, 2, generator=stream), torch.randn(12, 3, generator=stream))
    u = torch.randn(20, 3, generator=stream)
    x = affine_slice(u)
    assert x.shape == (20, 3, 2, 2)
    assert torch.allclose(torch.cdist(u, u), torch.cdist(x.reshape(20, -1), x.reshape(20, -1)), atol=1e-4)
    assert torch.allclose(affine_slice.coordinates(x), u, atol=1e-5)
    assert float(affine_slice.distance(x).max()) < 1e-5
    outside = x + 0.5
    closest = affine_slice(affine_slice.coordinates(outside))
    assert torch.allclose(affine_slice.distance(outside), (outside - closest).reshape(20, -1).norm(dim=1))


def test_three_images_lie_in_their_plane() -> None:
    images = torch.rand(3, 1, 4, 4, generator=generator(1, "images"))
    affine_slice = AffineSlice.from_points(images)
    u = affine_slice.coordinates(images)
    assert affine_slice.dim == 2
    assert float(affine_slice.distance(images).max()) < 1e-5
    assert u[0].abs().max() < 1e-6
    assert u[1, 0] > 0
    assert abs(float(u[1, 1])) < 1e-6
    low, high = affine_slice.bounding_box(images)
    assert all(a < b for a, b in zip(low, high, strict=True))


def test_principal_axes_are_those_of_the_cloud() -> None:
    stream = generator(2, "cloud")
    cloud = torch.randn(400, 5, generator=stream) * torch.tensor([0.1, 5.0, 0.2, 3.0, 0.1])
    affine_slice = AffineSlice.from_principal_components(cloud, 2)
    assert affine_slice.axes[1, 0].abs() > 0.99
    assert affine_slice.axes[3, 1].abs() > 0.99
    with pytest.raises(SceneError, match="slice: 2 points have no 3 principal directions"):
        AffineSlice.from_principal_components(cloud[:2])


def test_last_axis_is_the_gradient_off_the_given_axes() -> None:
    normal = torch.zeros(100)
    normal[[0, 40]] = torch.tensor([2.0, 1.5])
    boundary = Boundary(lambda x: torch.stack([-(x @ normal), x @ normal], dim=1))
    basis = torch.eye(100)[:, :2]
    x = torch.zeros(1, 100)
    y = torch.ones(1, dtype=torch.long)
    affine_slice = AffineSlice.from_gradients(boundary, x, y, basis, 3)
    assert torch.allclose(affine_slice.axes[:, :2], basis)
    assert affine_slice.axes[40, 2] == pytest.approx(1.0)
    restricted = restrict_to_slice(boundary, affine_slice)
    # In the slice the boundary of the half-space is 2 u0 + 1.5 u2 = 0.
    logit_margin = restricted.logit_margin(torch.tensor([[1.0, 7.0, 2.0]]), torch.tensor([1]))
    assert float(logit_margin) == pytest.approx(2 * (2.0 + 3.0))
    with pytest.raises(SceneError, match=r"slice: .* do not lead off the 2 axes given in 1 directions"):
        AffineSlice.from_gradients(boundary, x, y, torch.eye(100)[:, [0, 40]], 3)


def test_slice_from_gradients_holds_the_gradients_of_all_class_margins() -> None:
    weights = torch.randn(4, 3, 3, 3, generator=generator(5, "weights"))
    linear = Boundary(lambda x: x.flatten(1) @ weights.flatten(1).T)
    x = torch.randn(2, 3, 3, 3, generator=generator(6, "samples"))
    affine_slice = AffineSlice.from_gradients(linear, x, linear.predict(x), torch.zeros(27, 0), 3)
    # The differences of four weight vectors span three dimensions; the class margins depend on nothing else.
    differences = (weights[1:] - weights[:1]).flatten(1)
    assert torch.allclose(differences @ affine_slice.axes @ affine_slice.axes.T, differences, atol=1e-4)
    gradients = torch.cat([weights.flatten(1)[y] - weights.flatten(1) for y in linear.predict(x)])
    sizes = torch.linalg.svdvals(gradients)
    assert torch.allclose((gradients @ affine_slice.axes).norm(dim=0), sizes[:3], rtol=1e-4)


def test_ball_of_images_is_a_ball_in_every_slice() -> None:
    flat = nn.Flatten()
    ball = Boundary(lambda x: torch.stack([flat(x).norm(dim=1), torch.ones(len(x))], dim=1))
    affine_slice = AffineSlice(torch.zeros(3, 4, 4), torch.randn(48, 3, generator=generator(3, "axes")))
    mesh = Adaptive(resolution=32).extract(restrict_to_slice(ball, affine_slice), 1, (-1.5,) * 3, (1.5,) * 3, CPU)
    assert torch.from_numpy(mesh.vertices).norm(dim=1).sub(1).abs().max() < 1e-4


def test_competing_pairs_are_the_two_best_classes_of_each_point() -> None:
    boundary = Boundary(lambda x: torch.cat([x, torch.full((len(x), 1), -100.0)], dim=1))
    points = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    assert competing_class_pairs(boundary, points) == [(0, 1), (1, 2)]


def test_axes_must_span() -> None:
    with pytest.raises(SceneError, match="slice: the 2 axes span fewer dimensions"):
        AffineSlice(torch.zeros(3), torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0]]))
    with pytest.raises(ShapeError, match=r"slice: axes have shape \(2, 3\)"):
        AffineSlice(torch.zeros(3), torch.zeros(2, 3))
    with pytest.raises(SceneError, match="slice: origin or axes hold nan or inf"):
        AffineSlice(torch.zeros(2), torch.tensor([[float("nan")], [0.0]]))


def test_wrapped_networks_of_images_are_read_layer_by_layer() -> None:
    stream = generator(4, "wrapped")
    single_logit = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    single_logit[2].running_mean += torch.randn(8, generator=stream)
    single_logit[2].running_var += torch.rand(8, generator=stream)
    wrapped = NormalizedModel((0.1, 0.5, 0.9), (0.2, 0.3, 0.4), add_second_logit(single_logit))
    wrapped = wrapped.eval().requires_grad_(False)
    affine_slice = AffineSlice(torch.rand(3, 2, 2, generator=stream), torch.randn(12, 3, generator=stream))
    restricted = restrict_to_slice(Boundary(wrapped), affine_slice)
    u = torch.randn(50, 3, generator=stream)
    logit_margin = read_piecewise_linear(restricted.model, u[0], 1).logit_margin(u.double())
    expected = restricted.logit_margin(u, torch.ones(50, dtype=torch.long))
    assert torch.allclose(logit_margin.float(), expected, atol=1e-5)
