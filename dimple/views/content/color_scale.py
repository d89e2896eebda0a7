"""How the numbers on a boundary become colours, the same for every snapshot."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Reals
from dimple.views.style.colors import UNKNOWN, relief_colours, sequential_colours

Kind: TypeAlias = Literal["diverging", "linear", "logarithmic"]
# What share of the numbers of a snapshot a range holds: a few extreme ones would make the others pale.
HELD = 0.98


@final
@dataclasses.dataclass(frozen=True)
class Scale:
    """A range of numbers and its colours.

    Attributes:
        kind: `diverging` for signed numbers, pale at zero, the range symmetric; `linear` from zero; or `logarithmic`.
        low, high: where the colours end.

    Example:
        >>> Scale("diverging", -2.0, 2.0).colours(np.array([-2.0, 0.0, np.nan])).tolist()
        [[0, 114, 178], [247, 244, 237], [190, 190, 190]]
    """

    kind: Kind
    low: float
    high: float

    def colours(self, values: Reals) -> NDArray[np.uint8]:
        """The colours `(V, 3)` of numbers `(V,)`; grey where there is none."""
        known = np.isfinite(values)
        filled = np.where(known, values, self.low)
        if self.kind == "diverging":
            colours = relief_colours(filled, self.high)
        elif self.kind == "linear":
            colours = sequential_colours(filled / self.high)
        else:
            place = np.log(np.clip(filled, self.low, None) / self.low)
            colours = sequential_colours(place / np.log(self.high / self.low))
        colours[~known] = UNKNOWN
        return colours

    def along(self, count: int) -> Reals:
        """`count` numbers from one end to the other, evenly spaced as the colours are."""
        if self.kind == "logarithmic":
            return np.geomspace(self.low, self.high, count)
        return np.linspace(self.low, self.high, count)


def scale_of(kind: Kind, values: Sequence[Reals]) -> Scale:
    """A scale with round ends for the numbers of all snapshots.

    A logarithmic one holds nearly all of them. On the others the colour is full at what nearly all numbers of half of
    the snapshots stay below: a boundary that crosses the box in one leap would make the rest of its training pale.

    Example:
        >>> scale_of("linear", [np.arange(101.0)])
        Scale(kind='linear', low=0.0, high=100.0)
    """
    sizes = [np.abs(numbers[np.isfinite(numbers) & (numbers != 0)]) for numbers in values]
    sizes = [numbers for numbers in sizes if len(numbers)]
    if not sizes:
        return Scale(kind, {"diverging": -1.0, "linear": 0.0, "logarithmic": 0.1}[kind], 1.0)
    if kind == "logarithmic":
        low, high = np.quantile(np.concatenate(sizes), (1 - HELD, HELD))
        low, high = round_down(float(low)), round_up(float(high))
        return Scale(kind, min(low, high / 2), high)
    high = round_up(float(np.median([np.quantile(numbers, HELD) for numbers in sizes])))
    return Scale(kind, -high if kind == "diverging" else 0.0, high)


def round_up(value: float) -> float:
    """The next of 1, 2, 3, 5 times a power of ten that is not below.

    Example:
        >>> round_up(0.12), round_up(5.0)
        (0.2, 5.0)
    """
    power = 10.0 ** np.floor(np.log10(max(value, 1e-12)))
    return next(size for step in (1, 2, 3, 5, 10) if (size := float(f"{step * power:.0e}")) >= value * (1 - 1e-9))


def round_down(value: float) -> float:
    """The next of 1, 2, 3, 5 times a power of ten that is not above.

    Example:
        >>> round_down(0.12), round_down(5.0)
        (0.1, 5.0)
    """
    power = 10.0 ** np.floor(np.log10(max(value, 1e-12)))
    return next(size for step in (10, 5, 3, 2, 1) if (size := float(f"{step * power:.0e}")) <= value * (1 + 1e-9))
