"""MNIST-1D: signals of ten classes from a generator with known latents, so that their tangent spaces are exact.

Reference: Greydanus and Kobak, "Scaling down deep learning with MNIST-1D" (ICML 2024), section 3; the templates and the
default parameters are those of its data set.
"""

import dataclasses
import math
from typing import final

import torch
from torch import Tensor
from torch.autograd.functional import jvp
from torch.nn.functional import normalize

from dimple.data.source import DataSource, DataSplits, choose_balanced_rows
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.manifolds.tabulated_tangents import TabulatedTangents
from dimple.settings import Count, Natural, NonNegative, settings
from dimple.tensors import generator

# The template of each digit, twelve values.
TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)
TEMPLATE_LENGTH = len(TEMPLATES[0])
# The largest value of a template after its normalization is about half of this unit.
TEMPLATE_SCALE = 6.0
# The latents that deform the template, the first columns of the latents of a sample.
DEFORMATIONS = ("padding", "amplitude", "shift", "shear")
# Standard deviation of the Gaussian that smooths the noise, and the radius where it is cut, in cells of the grid.
SMOOTHING_WIDTH = 2.0
SMOOTHING_RADIUS = 8


@final
@dataclasses.dataclass(frozen=True)
class Signals:
    """Labeled signals with what they were made of.

    Attributes:
        x: `(N, n)`, float64, standardized.
        y: `(N,)`, the position of the digit in `MNIST1D.digits`.
        latents: `(N, 4 + 2 G)`, the arguments of `MNIST1D.render`.
        basis: `(N, n, d)`, orthonormal columns that span the tangent space at each signal.
    """

    x: Tensor
    y: Tensor
    latents: Tensor
    basis: Tensor


@final
@settings
class MNIST1D(DataSource):
    """MNIST-1D: templates of ten digits, padded, scaled, shifted, sheared, with noise, on a grid of n points.

    A template of twelve values, linear between them and zero elsewhere, lies on a circle of G = 12 + `max_padding`
    cells. The latents of a signal are the padding (a signal with less padding is stretched to the same length), the
    amplitude, the shift along the circle in cells, the slope of the shear, G coefficients of smooth noise outside the
    template, and G values of white noise. The result is resampled to `length` points. Padding and shift are real
    numbers here and whole ones in the published data, and the edge of the smooth noise is a ramp of one cell here and a
    step there, so that a signal is a continuous function of its latents.

    The tangent space at a signal is spanned by its derivatives with respect to padding, amplitude, shift and shear, so
    d = 4; they are exact wherever no knot of the template lies on a grid point, which has probability one. Noise moves
    a signal off the manifold of clean signals, and its tangent space is that of the signals with the same noise.
    With `noise_directions` the derivatives with respect to that many coefficients of the smooth noise, those of lowest
    frequency, belong to the tangent space too. White noise never does.

    Args:
        train, test: the numbers of signals; each digit has the same number, up to one.
        digits: the digits that are drawn; their positions in this list are the classes.
        length: n, the number of points of a signal.
        min_padding, max_padding: range of the padding, in units of the spacing of the template's values.
        amplitude_range: the amplitude is uniform in 1 - r / 2 to 1 + r / 2.
        max_shift: the shift is uniform from 0 to this number of cells.
        shear_range: the slope of the shear, over the full length, is uniform in - r / 2 to r / 2.
        smooth_noise: the standard deviation of the noise before its smoothing.
        white_noise: the standard deviation of independent noise of all cells.
        noise_directions: the number of directions of the smooth noise in the tangent space.
        measured: the number of training and of test signals that a scene measures, balanced over the classes.

    Raises:
        SceneError: if a digit is named twice, or the tangent space would fill R^n.

    Example:
        >>> train, test = MNIST1D(train=100, test=50).draw(seed=0)
        >>> train.x.shape, train.basis.shape
        (torch.Size([100, 40]), torch.Size([100, 40, 4]))
    """

    train: Count = 4000
    test: Count = 1000
    digits: tuple[Natural, ...] = tuple(range(10))
    length: Count = 40
    min_padding: NonNegative = 36.0
    max_padding: Count = 60
    amplitude_range: NonNegative = 0.4
    max_shift: NonNegative = 48.0
    shear_range: NonNegative = 0.75
    smooth_noise: NonNegative = 0.25
    white_noise: NonNegative = 0.02
    noise_directions: Natural = 0
    measured: Count = 100

    def __post_init__(self) -> None:
        if len(set(self.digits)) != len(self.digits):
            raise SceneError(f"MNIST1D.digits is {list(self.digits)}; name each digit once")
        if len(self.digits) < 2 or max(self.digits) > 9:
            raise SceneError(f"MNIST1D.digits is {list(self.digits)}; name at least two digits from 0 to 9")
        if self.min_padding > self.max_padding:
            raise SceneError(
                f"MNIST1D.min_padding is {self.min_padding:g}; it must be at most max_padding, {self.max_padding}"
            )
        if self.dim >= self.length:
            raise SceneError(
                f"MNIST1D.length is {self.length}, and the tangent space has {self.dim} dimensions; it must have "
                "fewer: lower noise_directions or raise length"
            )
        if self.noise_directions > self.cells:
            raise SceneError(
                f"MNIST1D.noise_directions is {self.noise_directions}; the noise has {self.cells} coefficients"
            )

    @property
    def cells(self) -> int:
        """G, the number of grid points before resampling, and of coefficients of either noise."""
        return TEMPLATE_LENGTH + self.max_padding

    @property
    def dim(self) -> int:
        """The dimension d of the tangent spaces."""
        return len(DEFORMATIONS) + self.noise_directions

    def draw(self, seed: int) -> tuple[Signals, Signals]:
        """Return the training and the test signals.

        Both are standardized by the mean and the standard deviation of all values of the training signals.
        """
        draws = [self._draw(count, seed, split) for count, split in ((self.train, "train"), (self.test, "test"))]
        raw = [self.render(latents, y) for latents, y in draws]
        mean = raw[0].mean()
        std = raw[0].std(correction=0)
        train, test = (
            Signals((x - mean) / std, y, latents, self.tangent_basis(latents, y))
            for x, (latents, y) in zip(raw, draws, strict=True)
        )
        return train, test

    def sample(self, manifold: Manifold | None, seed: int, location: str | None = None) -> DataSplits:
        train, test = self.draw(seed)
        return DataSplits(
            train.x,
            train.y,
            test.x,
            test.y,
            train.x[:0],
            choose_balanced_rows(train.y, self.measured, generator(seed, "measured train signals")),
            choose_balanced_rows(test.y, self.measured, generator(seed, "measured test signals")),
            tuple(map(str, self.digits)),
            tangents=TabulatedTangents(torch.cat([train.x, test.x]), torch.cat([train.basis, test.basis])),
        )

    def render(self, latents: Tensor, y: Tensor) -> Tensor:
        """Return the signals `(N, n)` of latents `(N, 4 + 2 G)` and classes `(N,)`, before they are standardized.

        Args:
            latents: in columns padding, amplitude, shift, shear, the coefficients of the smooth noise (each of standard
                deviation `smooth_noise`, in the order of their frequencies), and the white noise.
            y: the classes.
        """
        padding, amplitude, shift, shear = latents[:, : len(DEFORMATIONS), None].unbind(1)
        smooth, white = latents[:, len(DEFORMATIONS) :].split(self.cells, dim=1)
        grid = torch.arange(self.cells).to(latents)
        # The position on the circle in units of the spacing of the template's values, which are at 0 to 11.
        spacing = (padding + TEMPLATE_LENGTH - 1) / (self.cells - 1)
        position = torch.remainder(grid - shift, self.cells) * spacing
        knots = torch.arange(TEMPLATE_LENGTH).to(latents)
        weights = (1 - (position[:, :, None] - knots).abs()).clamp(min=0)
        signal = amplitude * (weights * self._templates().to(latents)[y][:, None]).sum(2)
        outside = torch.minimum(position - (TEMPLATE_LENGTH - 1), self.cells * spacing - position).clamp(0, 1)
        noise = outside * (smooth @ _smooth_modes(self.cells).to(latents)) + white
        slope = torch.linspace(-0.5, 0.5, self.cells).to(latents)
        signals: Tensor = (signal + noise - shear * slope) @ _resampling(self.cells, self.length).to(latents).T
        return signals

    def tangent_basis(self, latents: Tensor, y: Tensor) -> Tensor:
        """Return orthonormal columns `(N, n, d)` that span the tangent spaces at signals with these latents."""
        columns = []
        for latent in range(self.dim):
            direction = torch.zeros_like(latents)
            direction[:, latent] = 1
            columns.append(jvp(lambda z: self.render(z, y), latents, direction)[1])
        # The derivatives differ in size by orders of magnitude.
        basis: Tensor = torch.linalg.qr(normalize(torch.stack(columns, dim=2), dim=1)).Q
        return basis

    def _draw(self, count: int, seed: int, split: str) -> tuple[Tensor, Tensor]:
        """Return random latents and classes in random order."""
        stream = generator(seed, "mnist1d", split)
        y = (torch.arange(count) % len(self.digits))[torch.randperm(count, generator=stream)]
        uniform = torch.rand(count, len(DEFORMATIONS), generator=stream, dtype=torch.float64)
        low = torch.tensor([self.min_padding, 1 - self.amplitude_range / 2, 0.0, -self.shear_range / 2])
        width = torch.tensor(
            [self.max_padding - self.min_padding, self.amplitude_range, self.max_shift, self.shear_range]
        )
        gaussian = torch.randn(count, 2, self.cells, generator=stream, dtype=torch.float64)
        noise = gaussian * torch.tensor([self.smooth_noise, self.white_noise]).double()[:, None]
        return torch.cat([low.double() + width.double() * uniform, noise.flatten(1)], dim=1), y

    def _templates(self) -> Tensor:
        """Return the templates `(K, 12)` of the digits: standardized, and zero at their first and last value."""
        templates = torch.tensor(TEMPLATES, dtype=torch.float64)[list(self.digits)]
        templates = templates / templates.std(1, correction=0, keepdim=True)
        return (templates - templates[:, :1]) / TEMPLATE_SCALE


def _smooth_modes(cells: int) -> Tensor:
    """Return the modes of smoothed white noise as rows `(G, G)`, those of lowest frequency first.

    A Gaussian filter that continues its input by reflection multiplies each cosine of the discrete cosine transform
    (type II) by one number.
    """
    frequency = torch.arange(cells, dtype=torch.float64) * math.pi / cells
    modes = torch.cos(frequency[:, None] * (torch.arange(cells, dtype=torch.float64) + 0.5))
    modes = modes / modes.norm(dim=1, keepdim=True)
    offsets = torch.arange(-SMOOTHING_RADIUS, SMOOTHING_RADIUS + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / SMOOTHING_WIDTH) ** 2)
    gain = torch.cos(frequency[:, None] * offsets) @ (kernel / kernel.sum())
    smoothed: Tensor = gain[:, None] * modes
    return smoothed


def _resampling(cells: int, length: int) -> Tensor:
    """Return the matrix `(n, G)` of linear interpolation from G to n points, both from end to end."""
    positions = torch.linspace(0, cells - 1, length, dtype=torch.float64)
    grid = torch.arange(cells, dtype=torch.float64)
    return (1 - (positions[:, None] - grid).abs()).clamp(min=0)
