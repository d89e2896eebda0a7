"""Perturbations within a ball that make a loss large: the inner maximization of adversarial training."""

from abc import ABC
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.settings import Flag, Positive, Repeats, settings
from dimple.tensors import broadcast_per_sample, norm
from dimple.training.objectives.base import Batch, Objective

# Keeps a gradient of zero from being divided by zero.
TINY = 1e-12


@settings
class PerturbedObjective(Objective, ABC):
    """An objective on perturbed samples, with the settings of the perturbation.

    Args:
        norm: norm of the perturbation, `l2` or `linf`.
        eps: largest norm.
        steps: gradient steps of the search for the perturbation.
        step_size: norm of each of them; null for eps if it is the only one, and for 2.5 eps / steps otherwise.
        random_start: whether the search starts at a random point of the ball, and not at the sample.
        restrict: `on` for perturbations along the tangent space of the data at each sample, `off` for perturbations
            orthogonal to it, `none` for all directions.
    """

    norm: Literal["l2", "linf"] = "l2"
    eps: Positive = 0.1
    steps: Repeats = 7
    step_size: Positive | None = None
    random_start: Flag = True
    restrict: Literal["none", "on", "off"] = "none"

    @property
    def needs_tangents(self) -> bool:
        return self.restrict != "none"

    def perturb(
        self, network: nn.Module, batch: Batch, loss: Callable[[Tensor], Tensor], start: Tensor | None = None
    ) -> Tensor:
        """Return perturbed samples `(B, *shape)`: projected steepest ascent of `loss`, a function of the scores.

        In a restricted l-infinity ball a step is the gradient's allowed component divided by its largest entry, and
        the projection shrinks the perturbation as a whole, so that it stays in the subspace. The bounds of the batch
        limit the samples after each step; a restricted perturbation ignores them, since clamping leaves the subspace.

        Args:
            start: the perturbation at the start `(B, *shape)`; None for zero or a random one as the settings say.
        """
        constraint = self._constraint(batch)
        step_size = self.step_size or (self.eps if self.steps == 1 else 2.5 * self.eps / self.steps)
        if start is not None:
            delta = start
        else:
            delta = self._random_start(batch, constraint) if self.random_start else torch.zeros_like(batch.x)
        for _ in range(self.steps):
            if constraint is None:
                delta = batch.clip(delta)
            delta = delta + step_size * self._ascent_direction(network, batch, loss, delta, constraint)
            delta = self._project(delta, constraint)
        return batch.x + delta if constraint is not None else batch.clamp(batch.x + delta)

    def _constraint(self, batch: Batch) -> SubspaceConstraint | None:
        if batch.basis is None or self.restrict == "none":
            return None
        return SubspaceConstraint(batch.basis, orthogonal=self.restrict == "off")

    def _ascent_direction(
        self,
        network: nn.Module,
        batch: Batch,
        loss: Callable[[Tensor], Tensor],
        delta: Tensor,
        constraint: SubspaceConstraint | None,
    ) -> Tensor:
        """Return the direction of unit norm in which the loss rises most, among those that no bound stops."""
        x = batch.x + delta if constraint is not None else batch.clamp(batch.x + delta)
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(network(x)).sum(), x)
        if batch.bounds is not None and constraint is None:
            box = batch.bounds.for_samples(x)
            is_stopped = ((x <= box.low) & (gradient < 0)) | ((x >= box.high) & (gradient > 0))
            gradient = gradient.masked_fill(is_stopped, 0.0)
        if constraint is not None:
            gradient = constraint.project(gradient)
        elif self.norm == "linf":
            return gradient.sign()
        return gradient / broadcast_per_sample(norm(gradient, self.norm).clamp(min=TINY), gradient)

    def _project(self, delta: Tensor, constraint: SubspaceConstraint | None) -> Tensor:
        """Return the perturbation moved into the ball."""
        if self.norm == "linf" and constraint is None:
            return delta.clamp(-self.eps, self.eps)
        shrink = (self.eps / norm(delta, self.norm).clamp(min=TINY)).clamp(max=1.0)
        return delta * broadcast_per_sample(shrink, delta)

    def _random_start(self, batch: Batch, constraint: SubspaceConstraint | None) -> Tensor:
        """Return a perturbation that is uniform in the ball, in that of the subspace for l2."""
        x = batch.x
        stream = batch.generator()
        if self.norm == "linf":
            cube = (2 * torch.rand(x.shape, generator=stream, dtype=x.dtype).to(x) - 1) * self.eps
            return cube if constraint is None else self._project(constraint.project(cube), constraint)
        gaussian = torch.randn(x.shape, generator=stream, dtype=x.dtype).to(x)
        dim = x[0].numel()
        if constraint is not None:
            gaussian = constraint.project(gaussian)
            dim = constraint.dim if self.restrict == "on" else dim - constraint.dim
        radius = self.eps * torch.rand(len(x), generator=stream, dtype=x.dtype).to(x) ** (1 / max(dim, 1))
        return gaussian * broadcast_per_sample(radius / norm(gaussian).clamp(min=TINY), x)
