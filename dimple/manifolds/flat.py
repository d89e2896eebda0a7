"""Flat boxes: the segment, the rectangle and their kin in any dimension, placed at a constant offset."""

from typing import final

import torch
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.base import Manifold
from dimple.manifolds.patches import Drawn, chart_patch
from dimple.settings import Finite, settings


@final
@settings
class Flat(Manifold):
    """The box `low <= x[:d] <= high` at `x[d:] = offset`: a segment, a plane or a d-flat in R^n, n = d + len(offset).

    Example:
        >>> plane = Flat(low=(0.0, 0.0), high=(1.0, 1.0), offset=(0.5,))
        >>> plane.project(torch.tensor([[0.2, 1.5, 0.0]]))
        tensor([[0.2000, 1.0000, 0.5000]])
    """

    low: tuple[Finite, ...] = (0.0, 0.0)
    high: tuple[Finite, ...] = (1.0, 1.0)
    offset: tuple[Finite, ...] = (0.5,)

    def __post_init__(self) -> None:
        if not self.low or len(self.low) != len(self.high):
            raise SceneError(f"Flat: low has {len(self.low)} numbers and high {len(self.high)}; give d of each, d >= 1")
        if any(a >= b for a, b in zip(self.low, self.high, strict=True)):
            raise SceneError(f"Flat: low {self.low} must be below high {self.high} in every coordinate")

    @property
    def dim(self) -> int:
        """How many coordinates vary."""
        return len(self.low)

    @property
    def ambient_dim(self) -> int:
        """The varying coordinates and the constant ones."""
        return len(self.low) + len(self.offset)

    @property
    def reach(self) -> float:
        """Infinite: a convex set has one nearest point to everything."""
        return float("inf")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniform in the box, constant elsewhere."""
        unit = torch.rand(count, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.embed(unit)

    def embed(self, unit: Tensor) -> Tensor:
        """Chart coordinates in [0, 1]^d, `(B, d)`, as points `(B, n)`."""
        low, high = unit.new_tensor(self.low), unit.new_tensor(self.high)
        constant = unit.new_tensor(self.offset).expand(len(unit), -1)
        return torch.cat([low + unit * (high - low), constant], dim=1)

    def project(self, x: Tensor) -> Tensor:
        """Clamp the varying coordinates, set the constant ones."""
        inside = torch.minimum(torch.maximum(x[:, : self.dim], x.new_tensor(self.low)), x.new_tensor(self.high))
        return torch.cat([inside, x.new_tensor(self.offset).expand(len(x), -1)], dim=1)

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The first d axes, everywhere."""
        eye = torch.eye(self.ambient_dim, dtype=x.dtype, device=x.device)
        return eye[:, : self.dim].expand(len(x), -1, -1)

    def mesh(self) -> Drawn | None:
        """The segment or the rectangle; nothing beyond two dimensions in three."""
        if self.dim > 2 or self.ambient_dim not in (2, 3):
            return None
        unit, faces = chart_patch(self.dim)
        return self.embed(torch.from_numpy(unit)).numpy(), faces
