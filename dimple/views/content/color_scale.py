"""Color scales for the values on a boundary, the same for all snapshots of a run."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import FloatArray
from dimple.views.style.colors import MISSING_VALUE_COLOR, depth_colors, sequential_colors

ColorScaleKind: TypeAlias = Literal["diverging", "linear", "logarithmic"]
# Fraction of the values of a snapshot that lie inside the range of a scale. With a few extreme values inside it, the
# others would be pale.
COVERED_FRACTION = 0.98


@final
@dataclasses.dataclass(frozen=True)
class ColorScale:
    """A range of numbers and its colors.

    Attributes:
        kind: `diverging` for signed numbers, symmetric about zero, where the color is pale; `linear` from zero; or
            `logarithmic`.
        low: number with the first color.
        high: number with the last color.

    Example:
        >>> ColorScale("diverging", -2.0, 2.0).colors(np.array([-2.0, 0.0, np.nan])).tolist()
        [[0, 114, 178], [247, 244, 237], [190, 190, 190]]
    """

    kind: ColorScaleKind
    low: float
    high: float

    def colors(self, values: FloatArray) -> NDArray[np.uint8]:
        """Return the colors `(V, 3)` of numbers `(V,)`; gray for those that are not finite."""
        finite = np.isfinite(values)
        filled = np.where(finite, values, self.low)
        if self.kind == "diverging":
            colors = depth_colors(filled, self.high)
        elif self.kind == "linear":
            colors = sequential_colors(filled / self.high)
        else:
            log_ratio = np.log(np.clip(filled, self.low, None) / self.low)
            colors = sequential_colors(log_ratio / np.log(self.high / self.low))
        colors[~finite] = MISSING_VALUE_COLOR
        return colors

    def spaced_values(self, count: int) -> FloatArray:
        """Return `count` numbers from `low` to `high` at equal distances on the color scale."""
        if self.kind == "logarithmic":
            return np.geomspace(self.low, self.high, count)
        return np.linspace(self.low, self.high, count)


def fit_color_scale(kind: ColorScaleKind, values: Sequence[FloatArray]) -> ColorScale:
    """Return a scale with round ends for the numbers of all snapshots.

    The range of a logarithmic scale contains nearly all numbers. On the other scales, the end is the median over the
    snapshots of the size that nearly all numbers of a snapshot do not exceed. A maximum over the snapshots would make
    most of the training pale if the boundary crosses the box in a single snapshot.

    Args:
        kind: the kind of the scale.
        values: numbers of each snapshot; zeros and numbers that are not finite have no influence.

    Example:
        >>> fit_color_scale("linear", [np.arange(101.0)])
        ColorScale(kind='linear', low=0.0, high=100.0)
    """
    magnitudes = [np.abs(numbers[np.isfinite(numbers) & (numbers != 0)]) for numbers in values]
    magnitudes = [numbers for numbers in magnitudes if len(numbers)]
    if not magnitudes:
        return ColorScale(kind, {"diverging": -1.0, "linear": 0.0, "logarithmic": 0.1}[kind], 1.0)
    if kind == "logarithmic":
        smallest, largest = np.quantile(np.concatenate(magnitudes), (1 - COVERED_FRACTION, COVERED_FRACTION))
        high = round_up(float(largest))
        return ColorScale(kind, min(round_down(float(smallest)), high / 2), high)
    high = round_up(float(np.median([np.quantile(numbers, COVERED_FRACTION) for numbers in magnitudes])))
    return ColorScale(kind, -high if kind == "diverging" else 0.0, high)


def round_up(value: float) -> float:
    """Return the smallest of 1, 2, 3, 5 times a power of ten that is not below a value.

    Example:
        >>> round_up(0.12), round_up(5.0)
        (0.2, 5.0)
    """
    power = 10.0 ** np.floor(np.log10(max(value, 1e-12)))
    return next(size for step in (1, 2, 3, 5, 10) if (size := float(f"{step * power:.0e}")) >= value * (1 - 1e-9))


def round_down(value: float) -> float:
    """Return the largest of 1, 2, 3, 5 times a power of ten that is not above a value.

    Example:
        >>> round_down(0.12), round_down(5.0)
        (0.1, 5.0)
    """
    power = 10.0 ** np.floor(np.log10(max(value, 1e-12)))
    return next(size for step in (10, 5, 3, 2, 1) if (size := float(f"{step * power:.0e}")) <= value * (1 + 1e-9))
