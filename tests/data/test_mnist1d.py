"""MNIST-1D: equal to the published recipe where both are defined, and tangent spaces that are exact derivatives."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from dimple import OnOff, measure
from dimple.data import MNIST1D, Signals
from dimple.data.mnist1d import TEMPLATES
from dimple.errors import SceneError, ShapeError
from dimple.manifolds import TabulatedTangents
from dimple.tangents import principal_angles

CLEAN = MNIST1D(train=200, test=20, smooth_noise=0.0, white_noise=0.0)
NOISY = MNIST1D(train=200, test=20)


def resample(values: NDArray[Any], length: int) -> NDArray[Any]:
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(values)), values)


def published_signal(
    digit: int, padding: int, amplitude: float, shift: int, shear: float, noise: NDArray[Any] | None = None
) -> NDArray[Any]:
    """One signal by the steps that the paper lists, without its standardization."""
    template = np.array(TEMPLATES[digit], dtype=float)
    template = (template - template.mean()) / template.std()
    template = (template - template[0]) / 6
    # The smallest number tells template and padding apart where the template is zero.
    signal = resample(np.concatenate([template + 1e-8, np.zeros(padding)]), 72) * amplitude
    signal = np.roll(signal, shift)
    if noise is not None:
        signal = np.where(signal != 0, signal, gaussian_filter(0.25 * noise[0], 2)) + 0.02 * noise[1]
    return resample(signal - shear * np.linspace(-0.5, 0.5, 72), 40)


@pytest.mark.parametrize("digit", range(10))
def test_clean_signals_with_whole_numbers_are_those_of_the_published_recipe(digit: int) -> None:
    for padding, amplitude, shift, shear in ((36, 0.8, 0, 0.3), (47, 1.2, 17, -0.2), (60, 1.0, 47, 0.0)):
        latents = torch.zeros(1, 4 + 2 * 72, dtype=torch.float64)
        latents[0, :4] = torch.tensor([padding, amplitude, shift, shear])
        rendered = MNIST1D().render(latents, torch.tensor([digit]))[0].numpy()
        np.testing.assert_allclose(rendered, published_signal(digit, padding, amplitude, shift, shear), atol=1e-7)


def test_smooth_noise_has_the_covariance_of_a_gaussian_filter() -> None:
    """Full padding and shear zero, amplitude zero: away from the template only smoothed noise is left."""
    latents = torch.zeros(72, 4 + 2 * 72, dtype=torch.float64)
    latents[:, 0] = 60.0
    latents[:, 4:76] = torch.eye(72)
    modes = MNIST1D(length=72).render(latents, torch.zeros(72, dtype=torch.long)).numpy()[:, 12:]
    filtered = np.stack([gaussian_filter(row, 2.0) for row in np.eye(72)])[:, 12:]
    np.testing.assert_allclose(modes.T @ modes, filtered.T @ filtered, atol=1e-12)


def test_distribution_is_that_of_the_published_recipe() -> None:
    stream = torch.Generator().manual_seed(0)
    count = 4000
    y = np.arange(count) % 10
    padding = torch.randint(36, 61, (count,), generator=stream).tolist()
    shift = torch.randint(48, (count,), generator=stream).tolist()
    amplitude, shear = (torch.rand(2, count, generator=stream) - 0.5).tolist()
    noise = torch.randn(count, 2, 72, generator=stream).numpy()
    x = np.stack(
        [
            published_signal(y[i], padding[i], 1 + 0.4 * amplitude[i], shift[i], 0.75 * shear[i], noise[i])
            for i in range(count)
        ]
    )
    x = (x - x.mean()) / x.std()
    ours = MNIST1D(train=count, test=1).draw(0)[0]
    for digit in range(10):
        ours_of_digit = ours.x[ours.y == digit].numpy()
        # The standard error of a mean over 400 signals is .05 of the spread of their values.
        error = (ours_of_digit.mean(0) - x[y == digit].mean(0)) / x[y == digit].std(0)
        assert np.sqrt((error**2).mean()) < 0.12
        spread = ours_of_digit.std(0) / x[y == digit].std(0)
        assert np.abs(spread - 1).mean() < 0.1
    model = LogisticRegression(max_iter=300).fit(ours.x.numpy()[:2000], ours.y.numpy()[:2000])
    assert model.score(x, y) == pytest.approx(model.score(ours.x.numpy()[2000:], ours.y.numpy()[2000:]), abs=0.05)


def finite_difference_basis(data: MNIST1D, signals: Signals) -> Tensor:
    columns = []
    for latent in range(data.dim):
        step = torch.zeros_like(signals.latents)
        step[:, latent] = 1e-7
        ahead, behind = (data.render(signals.latents + s * step, signals.y) for s in (1, -1))
        columns.append((ahead - behind) / 2e-7)
    return torch.linalg.qr(torch.stack(columns, 2)).Q


@pytest.mark.parametrize("data", [CLEAN, NOISY, MNIST1D(train=100, test=20, noise_directions=6)])
def test_tangent_spaces_are_those_of_finite_differences(data: MNIST1D) -> None:
    signals = data.draw(3)[0]
    assert signals.basis.shape == (len(signals.x), 40, data.dim)
    gram = signals.basis.mT @ signals.basis
    torch.testing.assert_close(gram, torch.eye(data.dim, dtype=torch.float64).expand_as(gram))
    assert principal_angles(signals.basis, finite_difference_basis(data, signals)).max() < 1e-5


def test_a_change_of_latents_stays_in_the_tangent_plane_to_first_order() -> None:
    """The distance from the plane falls faster than the step, in the units of the standardized signals, too."""
    signals = CLEAN.draw(1)[0]
    distances = []
    for size in (1e-3, 1e-4):
        moved = signals.latents.clone()
        moved[:, :4] += size * torch.tensor([3.0, 0.2, 2.0, 0.3])
        step = CLEAN.render(moved, signals.y) - CLEAN.render(signals.latents, signals.y)
        rest = step - (signals.basis @ (signals.basis.mT @ step[:, :, None])).squeeze(2)
        distances.append((rest.norm(dim=1) / step.norm(dim=1)).median())
    assert distances[1] < 1e-8
    assert distances[0] < 0.01


def test_signals_are_standardized_balanced_and_reproducible() -> None:
    data = MNIST1D(train=100, test=30, digits=(3, 8))
    train, test = data.draw(5)
    assert train.x.mean().abs() < 1e-12
    assert train.x.std(correction=0) == pytest.approx(1.0)
    assert train.y.bincount().tolist() == [50, 50]
    assert torch.equal(data.draw(5)[1].x, test.x)
    assert not torch.equal(data.draw(6)[1].x, test.x)
    # The number of test signals changes nothing but their number.
    assert torch.equal(MNIST1D(train=100, test=10, digits=(3, 8)).draw(5)[0].x, train.x)


def test_probes_find_the_tangents_of_signals_in_a_table() -> None:
    train, test = NOISY.draw(0)
    field = TabulatedTangents(torch.cat([train.x, test.x]), torch.cat([train.basis, test.basis]))
    network = torch.nn.Linear(40, 10)
    found = measure(network.eval(), test.x.float(), test.y, [OnOff(null_draws=3)], bounds=None, tangents=field)
    normal = test.basis[:, :, 0].float()
    assert torch.isfinite(found["gradient_off_manifold_fraction"].values).all()
    torch.testing.assert_close(field.tangent_basis(test.x.float())[:, :, 0], normal)


@pytest.mark.parametrize(("offset", "dtype"), [(1e3, torch.float32), (1e9, torch.float64)])
def test_tangents_in_a_table_are_found_far_from_the_origin(offset: float, dtype: torch.dtype) -> None:
    x = offset + torch.arange(100, dtype=dtype)[:, None] * torch.tensor([0.25, 0.5], dtype=dtype)
    angle = torch.arange(100, dtype=dtype) / 10
    basis = torch.stack([angle.cos(), angle.sin()], dim=1)[:, :, None]
    assert torch.equal(TabulatedTangents(x, basis).tangent_basis(x), basis)


def test_samples_without_known_tangents_are_refused() -> None:
    train, _ = NOISY.draw(0)
    field = TabulatedTangents(train.x, train.basis)
    moved = train.x[:3].clone()
    moved[1] += 0.1
    with pytest.raises(ShapeError, match=r"x\[1\] is 0\.6\d+ away .* LocalPCA"):
        field.tangent_basis(moved)
    with pytest.raises(ShapeError, match="have 40 numbers, and x has 39"):
        field.tangent_basis(moved[:, 1:])
    with pytest.raises(ShapeError, match=r"must be \(N, n, d\)"):
        TabulatedTangents(train.x, train.basis[:5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"digits": (1, 1)}, "name each digit once"),
        ({"digits": (1, 10)}, "at least two digits from 0 to 9"),
        ({"min_padding": 61.0}, "at most max_padding, 60"),
        ({"length": 4}, "must have fewer"),
        ({"length": 100, "noise_directions": 73}, "72 coefficients"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SceneError, match=message):
        MNIST1D(**settings)
