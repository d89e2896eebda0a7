"""The interface of probes: measurements of a boundary at labeled samples, as columns with units."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.protocols import TangentField
from dimple.tensors import map_chunks, require_samples


@final
@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a probe: the number of samples, and of forward and backward evaluations of single samples.

    Example:
        >>> Cost(2, 5, 5) + Cost(1, 3, 0)
        Cost(samples=3, forwards=8, backwards=5)
    """

    samples: int = 0
    forwards: int = 0
    backwards: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.samples + other.samples, self.forwards + other.forwards, self.backwards + other.backwards)


@final
@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """The results of a probe, one row for each sample.

    Attributes:
        columns: values `(B,)` by name; a distance that was not found is `inf`, and its row stays.
        units: the unit of every column by its name.
        details: larger results `(B, ...)` by name, such as boundary points or the draws of a null.
        costs: the cost of each probe in order; `measure` fills it.
    """

    columns: dict[str, Tensor]
    units: dict[str, str]
    details: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    costs: tuple[Cost, ...] = ()

    @staticmethod
    def concatenate(measurements: list["ProbeResult"]) -> "ProbeResult":
        """Return the rows of several measurements by the same probe, in order."""
        first = measurements[0]
        return ProbeResult(
            {name: torch.cat([part.columns[name] for part in measurements]) for name in first.columns},
            first.units,
            {name: torch.cat([part.details[name] for part in measurements]) for name in first.details},
        )


# Passes of a sample in a probe that searches no boundary point.
PASSES_WITHOUT_SEARCH = 5.0


def batch_limit(probes: Iterable["Probe"], batch_size: int) -> int:
    """Return the number of samples that are measured together by probes: at most the limit of each.

    Example:
        >>> batch_limit([], 256)
        256
    """
    return min([batch_size, *(probe.max_batch for probe in probes if probe.max_batch is not None)])


class Probe(ABC):
    """The base class of probes; members are `@settings` classes with one method, `run`.

    A probe measures any boundary at samples of any shape; with `needs_tangents` it needs a tangent field. A measurement
    that keeps its finished parts gives it at most `max_batch` samples at once.
    """

    needs_tangents: ClassVar[bool] = False
    max_batch: ClassVar[int | None] = None

    @property
    def needs_gradient(self) -> bool:
        """True if the scores need a gradient with respect to the samples."""
        return True

    @property
    def passes_per_sample(self) -> float:
        """About the largest number of passes that one sample takes; estimates of the time rest on it."""
        return float(getattr(self, "max_passes", PASSES_WITHOUT_SEARCH))

    @final
    def __call__(
        self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None = None, *, chunk_size: int = 256
    ) -> ProbeResult:
        """Measure the samples `x` `(B, *shape)` with labels `y` `(B,)`; a row does not depend on the other samples.

        Args:
            boundary: the decision boundary.
            x: samples.
            y: labels.
            tangents: the directions along the data, for probes that separate on-manifold from off-manifold directions.
            chunk_size: the number of samples that are processed together; it changes memory and speed only.

        Raises:
            ShapeError: if the samples have no batch axis or contain nan, or their number differs from that of the
                labels, or a tangent field is missing.
        """
        require_samples(x)
        if y.shape != (len(x),):
            raise ShapeError(f"y has shape {tuple(y.shape)} for {len(x)} samples; labels are (B,)")
        _require_classes(boundary, x, y)
        if self.needs_tangents and tangents is None:
            raise ShapeError(f"{type(self).__name__} needs a tangent field: pass tangents=, for example a manifold")
        return ProbeResult.concatenate(
            map_chunks(lambda part: self.run(boundary, x[part], y[part], tangents), len(x), chunk_size)
        )

    @abstractmethod
    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        """Measure one chunk of samples that has passed the checks of `__call__`."""


def _require_classes(boundary: Boundary, x: Tensor, y: Tensor) -> None:
    """Raise a ShapeError unless all labels are class numbers."""
    if y.is_floating_point() or y.is_complex():
        raise ShapeError(f"y has dtype {y.dtype}; labels are whole numbers: call y.long()")
    classes = boundary.class_count(x)
    wrong = (y < 0) | (y >= classes)
    if bool(wrong.any()):
        row = int(torch.nonzero(wrong)[0])
        raise ShapeError(f"y[{row}] is {int(y[row])}; the classifier has the classes 0 to {classes - 1}")
