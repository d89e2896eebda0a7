"""Tangent fields against manifolds with known tangents, and their expected errors against the true ones."""

import math

import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors as ReferenceNeighbors
from torch import Tensor, nn

from dimple.errors import ShapeError
from dimple.manifolds import Circle, Embedding, Sphere
from dimple.tangents import AutoencoderJacobian, ClassPCA, GlobalPCA, LocalPCA
from dimple.tangents.base import (
    eigengap_dimension,
    expected_angle,
    leading_eigenvectors,
    orthonormalize,
    principal_directions,
)
from dimple.tangents.neighbors import NearestNeighbors
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")
SPHERE_IN_100D = Embedding(base=Sphere(dim=2), ambient_dim=100)


def noisy(count: int, noise: float, seed: int = 1) -> Tensor:
    cloud = SPHERE_IN_100D.sample(count, generator(seed, "cloud"))
    return cloud + noise * torch.randn(cloud.shape, generator=generator(seed, "noise"))


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_nearest_neighbors_equal_those_of_a_full_comparison(n: int, offset: float) -> None:
    # Far from the origin, and along a curve whose points are closer than single precision resolves.
    t = torch.rand(3000, 1, generator=generator(0, "t"))
    cloud = offset + t * torch.ones(1, n) + 1e-6 * torch.randn(3000, n, generator=generator(1, "off"))
    x = torch.cat([cloud[:20], cloud[20:40] + 1e-4])
    distance, index = NearestNeighbors(cloud).query(x, 7)
    all_distances = (x[:, None] - cloud).norm(dim=2)
    all_distances[torch.arange(20), torch.arange(20)] = torch.inf
    truth = all_distances.topk(7, largest=False)
    torch.testing.assert_close(distance, truth.values, rtol=1e-9, atol=0)
    assert torch.equal(index, truth.indices)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", ["ball", "pairs"])
def test_nearest_neighbors_are_exact_where_projections_do_not_separate_them(dtype: torch.dtype, spread: str) -> None:
    cloud = torch.randn(600, 60, generator=generator(0, "cloud"))
    if spread == "pairs":
        # Hundreds of points are closer to each other than single precision resolves at their distance from the mean.
        cloud = torch.cat([cloud[:2].repeat(150, 1) + 1e-5 * cloud[:300], cloud[300:]])
    cloud = cloud.to(dtype)
    distance, _ = NearestNeighbors(cloud).query(cloud[:200], 12)
    all_distances = (cloud[:200, None].double() - cloud.double()).norm(dim=2)
    all_distances[torch.arange(200), torch.arange(200)] = torch.inf
    truth = all_distances.topk(12, largest=False).values
    torch.testing.assert_close(distance.double(), truth, rtol=1e-6, atol=0)


def test_one_of_several_points_that_equal_the_sample_is_left_out() -> None:
    cloud = torch.tensor([[0.0], [0.0], [1.0], [5.0]]).expand(-1, 20).contiguous()
    distance, _ = NearestNeighbors(cloud).query(cloud[:1], 2)
    torch.testing.assert_close(distance, torch.tensor([[0.0, math.sqrt(20)]]))


@pytest.mark.parametrize("n", [3, 100])
def test_local_pca_equals_that_of_scikit_learn(n: int) -> None:
    cloud = noisy(400, 0.05)[:, :n]
    x = cloud[:25]
    estimate = LocalPCA(cloud, dim=2, neighbors=15).estimate(x)
    index = ReferenceNeighbors(n_neighbors=15).fit(cloud.numpy()).kneighbors(return_distance=False)
    for row in range(25):
        reference = PCA(n_components=min(n, 14)).fit(cloud[index[row]].numpy())
        columns = torch.from_numpy(reference.components_[:2].T)
        assert largest_principal_angle(estimate.basis[row : row + 1], columns[None])[0] < 1e-9
        variance = torch.from_numpy(reference.explained_variance_) * 14 / 15
        torch.testing.assert_close(estimate.spectrum[row, : len(variance)], variance, rtol=1e-9, atol=1e-12)


def test_the_error_falls_as_the_square_root_of_the_number_of_points_or_faster() -> None:
    x = SPHERE_IN_100D.sample(200, generator(0, "x"))
    truth = SPHERE_IN_100D.tangent_basis(x)
    counts = (500, 2000, 8000)
    for order, max_exponent in ((1, -0.45), (2, -1.0)):
        errors = []
        for count in counts:
            cloud = SPHERE_IN_100D.sample(count, generator(1, "cloud"))
            fields = [LocalPCA(cloud, 2, k, order=order) for k in (10, 30, 60)]  # type: ignore[arg-type]
            errors.append(
                min(float(largest_principal_angle(field.tangent_basis(x), truth).median()) for field in fields)
            )
        exponent = math.log(errors[-1] / errors[0]) / math.log(counts[-1] / counts[0])
        assert exponent < max_exponent


@pytest.mark.parametrize(("count", "noise", "k"), [(1000, 0, 30), (4000, 0, 60), (4000, 0.003, 60), (1000, 0.01, 100)])
def test_the_expected_error_is_close_to_the_true_error(count: int, noise: float, k: int) -> None:
    estimate = LocalPCA(noisy(count, noise), 2, k).estimate(SPHERE_IN_100D.sample(300, generator(0, "x")))
    found = largest_principal_angle(
        estimate.basis, SPHERE_IN_100D.tangent_basis(SPHERE_IN_100D.sample(300, generator(0, "x")))
    )
    assert 0.7 < float(estimate.error.median() / found.median()) < 1.6
    assert estimate.reliable.float().mean() > 0.95


@pytest.mark.parametrize("order", [1, 2])
def test_reliable_estimates_are_accurate(order: int) -> None:
    x = SPHERE_IN_100D.sample(100, generator(0, "x"))
    flags = []
    errors = []
    for noise in (0.0, 0.003, 0.01, 0.03):
        for k in (15, 60):
            estimate = LocalPCA(noisy(3000, noise), 2, k, order=order).estimate(x)  # type: ignore[arg-type]
            flags.append(estimate.reliable)
            errors.append(largest_principal_angle(estimate.basis, SPHERE_IN_100D.tangent_basis(x)))
    reliable = torch.cat(flags)
    error = torch.cat(errors)
    assert 0.1 < reliable.double().mean() < 0.9
    assert (error[reliable] < 0.3).double().mean() > 0.97
    assert error[~reliable].median() > 0.3


def test_a_cloud_without_directions_and_a_sample_far_away_are_not_reliable() -> None:
    blob = torch.randn(1000, 50, generator=generator(0, "blob"))
    assert not LocalPCA(blob, 2, 30).estimate(blob[:100]).reliable.any()
    field = LocalPCA(SPHERE_IN_100D.sample(2000, generator(1, "cloud")), 2, 30)
    x = SPHERE_IN_100D.sample(50, generator(2, "x"))
    assert field.estimate(x).reliable.all()
    assert not field.estimate(4 * x).reliable.any()


def test_a_radius_excludes_farther_points_and_is_reported() -> None:
    cloud = torch.tensor([[float(i), 0.0] for i in range(10)] + [[0.0, 1.5], [4.0, 30.0]])
    estimate = LocalPCA(cloud, 1, 6, radius=1.0).estimate(torch.tensor([[4.0, 0.0], [4.0, 29.5]]))
    torch.testing.assert_close(estimate.basis[0].abs(), torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(estimate.radius, torch.tensor([1.0, 0.5]))
    assert estimate.residual[0] < 1e-12
    # One point within the radius does not determine a direction.
    assert not estimate.reliable[1] and estimate.error[1] == math.pi / 2
    torch.testing.assert_close(estimate.basis.mT @ estimate.basis, torch.ones(2, 1, 1))


@pytest.mark.parametrize("kernel", ["uniform", "tricube", "gaussian"])
def test_weights_are_those_of_a_weighted_covariance(kernel: str) -> None:
    cloud = noisy(60, 0.1)[:, :40]
    estimate = LocalPCA(cloud, 2, 20, kernel=kernel).estimate(cloud[:5])  # type: ignore[arg-type]
    distance, index = NearestNeighbors(cloud).query(cloud[:5], 20)
    u = distance / distance[:, -1:]
    weight = {"uniform": torch.ones_like(u), "tricube": (1 - u**3) ** 3, "gaussian": torch.exp(-2 * u**2)}[kernel]
    for row in range(5):
        covariance = torch.cov(cloud[index[row]].T, correction=0, aweights=weight[row] + 1e-300)
        values, vectors = torch.linalg.eigh(covariance)
        torch.testing.assert_close(estimate.spectrum[row, :3], values.flip(0)[:3])
        assert largest_principal_angle(estimate.basis[row : row + 1], vectors[None, :, -2:])[0] < 1e-7


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_dimension_is_chosen_at_the_eigengap(dim: int) -> None:
    sphere = Embedding(base=Sphere(dim=dim), ambient_dim=30)
    cloud = sphere.sample(3000, generator(dim, "cloud"))
    cloud = cloud + 1e-3 * torch.randn(cloud.shape, generator=generator(dim, "noise"))
    assert LocalPCA(cloud, None, 30).dim == dim
    assert LocalPCA(cloud, None, 30).tangent_basis(cloud[:4]).shape == (4, 30, dim)


def test_a_cloud_without_codimension_has_the_full_dimension() -> None:
    assert LocalPCA(torch.rand(2000, 3, generator=generator(0, "cube")), None, 30).dim == 3
    assert eigengap_dimension(torch.tensor([[1.0, 0.9, 1e-9, 1e-30]]), 50, 3) == 2


def test_dependent_columns_are_completed() -> None:
    columns = torch.tensor(
        [[[1.0, 1.0], [0.0, 0.0], [0.0, 1e-12]], [[0.0, 0.0]] * 3, [[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]]]
    )
    basis = orthonormalize(columns)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(2).expand(3, 2, 2), rtol=0, atol=1e-12)
    assert basis[2, 2].abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_both_gram_matrices_give_the_singular_vectors(shape: tuple[int, int]) -> None:
    rows = torch.randn(3, *shape, generator=generator(0, "rows"))
    basis, spectrum = principal_directions(rows, 2)
    _, singular, right = torch.linalg.svd(rows)
    torch.testing.assert_close(spectrum, singular**2)
    assert largest_principal_angle(basis, right[:, :2].mT).max() < 1e-7


def test_leading_eigenvectors_equal_those_of_a_full_decomposition() -> None:
    frame = torch.linalg.qr(torch.randn(50, 40, 40, generator=generator(0, "frames"))).Q
    fast = torch.cat([torch.tensor([3.0, 3.0, 2.0]), torch.full((37,), 1e-3)])
    for spectrum in (fast, torch.linspace(1.0, 0.1, 40), torch.zeros(40)):
        matrix = (frame * spectrum) @ frame.mT
        vectors = leading_eigenvectors(matrix, 3)
        torch.testing.assert_close(vectors.mT @ vectors, torch.eye(3).expand(50, 3, 3), rtol=0, atol=1e-12)
        if spectrum.any():
            assert largest_principal_angle(vectors, frame[:, :, :3]).max() < 1e-9


def test_tangent_basis_equals_the_basis_of_the_estimate() -> None:
    cloud = noisy(500, 0.02)
    for order in (1, 2):
        field = LocalPCA(cloud, 2, 30, order=order)  # type: ignore[arg-type]
        assert largest_principal_angle(field.tangent_basis(cloud[:50]), field.estimate(cloud[:50]).basis).max() < 1e-9


def test_the_expected_angle_is_that_of_repeated_gaussian_samples() -> None:
    spread = torch.tensor([2.0, 1.5, 0.3, 0.2])
    samples = torch.randn(2000, 200, 4, generator=generator(0, "gauss")) * spread
    basis, _ = principal_directions(samples - samples.mean(1, keepdim=True), 2)
    sine = (basis[:, 2:]).square().sum((1, 2)).mean().sqrt()
    expected = expected_angle((spread**2)[None], 2, torch.tensor([199.0]))
    torch.testing.assert_close(sine[None], expected, rtol=0.03, atol=0)


def test_the_quadratic_fit_removes_most_of_the_error_of_curvature() -> None:
    u = torch.rand(500, 2, generator=generator(0, "u")) - 0.5
    frame = torch.linalg.qr(torch.randn(60, 3, generator=generator(1, "frame"))).Q
    cloud = torch.cat([u, u[:, :1] ** 2 - u[:, :1] * u[:, 1:]], 1) @ frame.T
    gradient = torch.stack([2 * u[:50, 0] - u[:50, 1], -u[:50, 0]], 1)
    truth = orthonormalize(frame @ torch.cat([torch.eye(2).expand(50, 2, 2), gradient[:, None]], 1))
    plain = largest_principal_angle(LocalPCA(cloud, 2, 20).tangent_basis(cloud[:50]), truth)
    quadratic = largest_principal_angle(LocalPCA(cloud, 2, 20, order=2).tangent_basis(cloud[:50]), truth)
    assert quadratic.median() < plain.median() / 5


def test_global_pca_equals_that_of_scikit_learn_and_flags_distant_samples() -> None:
    cloud = torch.randn(500, 8, generator=generator(0, "c")) * torch.tensor([5.0, 4, 3, 0.1, 0.1, 0.1, 0.1, 0.1]) + 7
    field = GlobalPCA(cloud, None)
    reference = PCA().fit(cloud.numpy())
    assert field.dim == 3
    estimate = field.estimate(torch.cat([cloud[:3], cloud[:1] + torch.eye(8)[7:] * 5]))
    assert largest_principal_angle(estimate.basis[:1], torch.from_numpy(reference.components_[:3].T)[None])[0] < 1e-9
    residual = 1 - reference.explained_variance_ratio_[:3].sum()
    torch.testing.assert_close(estimate.residual, torch.full((4,), float(residual)))
    assert estimate.reliable.tolist() == [True, True, True, False]


def test_class_pca_takes_the_class_from_the_nearest_subspace_or_a_classifier() -> None:
    t = torch.linspace(-1, 1, 30)[:, None]
    zero = torch.zeros_like(t)
    cloud = torch.cat([torch.cat([t, zero, zero], 1), torch.cat([zero, t, zero + 9], 1)[:20]])
    labels = torch.tensor([3] * 30 + [5] * 20)
    x = torch.tensor([[0.2, 0.1, 9.0], [0.0, 0.5, 0.0]])
    by_subspace = ClassPCA(cloud, labels, 1)
    torch.testing.assert_close(by_subspace.tangent_basis(x).squeeze(2).abs(), torch.eye(3)[[1, 0]], rtol=0, atol=1e-9)
    by_classifier = ClassPCA(cloud, labels, 1, classify=lambda x: torch.full((len(x),), 3))
    torch.testing.assert_close(
        by_classifier.estimate(x).basis.squeeze(2).abs(), torch.eye(3)[[0, 0]], rtol=0, atol=1e-9
    )
    assert torch.equal(by_subspace.estimate(x).basis, by_subspace.tangent_basis(x))
    with pytest.raises(ShapeError, match="samples of class 4"):
        ClassPCA(cloud, labels, 1, classify=lambda x: torch.full((len(x),), 4)).tangent_basis(x)
    with pytest.raises(ShapeError, match="dim 20 needs more"):
        ClassPCA(cloud, labels, 20)


def test_an_exact_decoder_gives_the_exact_tangent_and_a_far_sample_is_flagged() -> None:
    circle = Circle(radius=2.0)
    field = AutoencoderJacobian(
        lambda x: torch.atan2(x[:, 1:], x[:, :1]), lambda z: 2 * torch.cat([z.cos(), z.sin()], 1), tolerance=0.1
    )
    x = circle.sample(20, generator(0, "x"))
    for scale, reliable in ((1.0, True), (1.2, False)):
        estimate = field.estimate(scale * x)
        assert largest_principal_angle(estimate.basis, circle.tangent_basis(x)).max() < 1e-12
        torch.testing.assert_close(estimate.radius, torch.full((20,), 2 * (scale - 1)), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(estimate.spectrum, torch.full((20, 1), 4.0))
        assert (estimate.reliable == reliable).all()


def test_the_jacobian_is_that_of_autograd_and_leaves_no_gradients() -> None:
    stream = generator(0, "decoder")
    decoder = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 12), nn.Unflatten(1, (3, 2, 2))).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    x = torch.randn(5, 3, 2, 2, generator=stream)
    estimate = AutoencoderJacobian(lambda x: x.flatten(1)[:, :3], decoder, tolerance=1.0, chunk_size=2).estimate(x)
    for row in range(5):
        jacobian = torch.autograd.functional.jacobian(decoder, x[row].flatten()[None, :3]).reshape(12, 3)
        left, singular, _ = torch.linalg.svd(jacobian, full_matrices=False)
        assert largest_principal_angle(estimate.basis[row : row + 1], left[None])[0] < 1e-9
        torch.testing.assert_close(estimate.spectrum[row], singular**2)
    assert all(parameter.grad is None for parameter in decoder.parameters())
    assert not estimate.basis.requires_grad


def test_a_latent_number_without_effect_is_not_a_direction() -> None:
    field = AutoencoderJacobian(lambda x: x[:, :2], lambda z: torch.cat([z[:, :1], 0 * z], 1), tolerance=1.0)
    estimate = field.estimate(torch.tensor([[1.0, 0.0, 0.0]]))
    assert not estimate.reliable.any() and estimate.error[0] == math.pi / 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LocalPCA(torch.zeros(20, 3), 4, 10), "it can be 3 at most"),
        (lambda: LocalPCA(torch.zeros(20, 3), 1, 10, radius=-1.0), "radius is -1.0"),
        (lambda: LocalPCA(torch.zeros(20, 3), 1, 10, kernel="cubic"), "choose from"),  # type: ignore[arg-type]
        (lambda: LocalPCA(torch.zeros(20, 3), 2, 6, order=2), "more than 6"),
        (lambda: LocalPCA(torch.zeros(20, 3), 2, 6).estimate(torch.zeros(1, 4)), "a sample has 4 numbers"),
        (lambda: LocalPCA(torch.full((20, 3), math.nan), 2, 6), "finite"),
        (lambda: GlobalPCA(torch.zeros(3, 5), 3), "1 <= dim <= 2"),
        (lambda: ClassPCA(torch.zeros(3, 5), torch.zeros(4), 1), "give \\(N,\\)"),
        (lambda: AutoencoderJacobian(lambda x: x, lambda z: z, tolerance=0.0), "greater than 0"),
        (
            lambda: AutoencoderJacobian(lambda x: x[:, :1], lambda z: z, tolerance=1.0).estimate(torch.zeros(1, 3)),
            "gives 1 numbers",
        ),
    ],
)
def test_invalid_arguments_are_refused_with_a_remedy(call: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()  # type: ignore[operator]
