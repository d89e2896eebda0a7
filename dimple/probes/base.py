"""What a probe is: a question put to a boundary at labelled samples, answered in columns with units."""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.errors import ShapeError
from dimple.protocols import TangentField
from dimple.tensors import chunks, require_samples


@final
@dataclasses.dataclass(frozen=True)
class Cost:
    """What a probe asked of a network, counted in rows: through how many it went each way, for how many samples.

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
class Measurement:
    """The answers of a probe, one row a sample.

    Attributes:
        columns: name to `(B,)` values; what was not found is `inf`, never left out.
        units: name to unit, for every column.
        details: larger per-sample answers `(B, ...)`, such as boundary points or the draws of a null.
        costs: of each of several probes, in their order; `measure` counts them.
    """

    columns: dict[str, Tensor]
    units: dict[str, str]
    details: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    costs: tuple[Cost, ...] = ()

    @staticmethod
    def concatenate(parts: list["Measurement"]) -> "Measurement":
        """The rows of several measurements by the same probe, in order."""
        first = parts[0]
        return Measurement(
            {name: torch.cat([part.columns[name] for part in parts]) for name in first.columns},
            first.units,
            {name: torch.cat([part.details[name] for part in parts]) for name in first.details},
        )


class Probe(ABC):
    """A question that any boundary can answer. Members are `@settings` classes with one method, `run`."""

    needs_tangents: ClassVar[bool] = False

    @final
    def __call__(
        self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None = None, *, chunk: int = 256
    ) -> Measurement:
        """Measure the samples `x` `(B, *shape)` with labels `y` `(B,)`; rows do not depend on their batch mates.

        Args:
            tangents: the directions along the data, for probes that tell on from off.
            chunk: how many samples travel together: memory against speed, never another result.

        Raises:
            ShapeError: for samples without a batch axis, with nan, or of another number than the labels.
        """
        require_samples(x)
        if y.shape != (len(x),):
            raise ShapeError(f"y has shape {tuple(y.shape)} for {len(x)} samples; labels are (B,)")
        if self.needs_tangents and tangents is None:
            raise ShapeError(f"{type(self).__name__} needs a tangent field: pass tangents=, for example a manifold")
        return Measurement.concatenate(
            [self.run(boundary, x[part], y[part], tangents) for part in chunks(len(x), chunk)]
        )

    @abstractmethod
    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Answer for one chunk that has passed the checks."""
