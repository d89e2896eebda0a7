"""Attacks of other libraries as searches, whose points are verified and moved onto the boundary like ours."""

from collections.abc import Callable
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from dimple.attacks.search import CHECK_PASSES, MinimumNormAttack, SearchProblem, SearchState
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary
from dimple.errors import ModelError, UsageError, describe_cause
from dimple.tensors import Box, flatten

# Passes for the refinement of the points that the attack returns.
REFINEMENT_PASSES = 10.0
# Finds a point for each of the samples `(B, *shape)` in [0, 1]; the labels are targets where the flag says so.
Attack: TypeAlias = Callable[[nn.Module, Tensor, Tensor, bool], Tensor]


def from_foolbox(attack: Any) -> MinimumNormAttack:
    """Return a minimum-norm attack of Foolbox as a search: `Margin(method=from_foolbox(foolbox.attacks.DDNAttack()))`.

    Args:
        attack: a `MinimizationAttack` of Foolbox, for the norm of the margin.

    Raises:
        UsageError: if it searches within a fixed radius; and from the search, if it has another norm.
    """
    import foolbox
    from foolbox.attacks.base import MinimizationAttack
    from foolbox.models.pytorch import PyTorchModel

    if not isinstance(attack, MinimizationAttack):
        raise UsageError(
            f"{type(attack).__name__} searches within a radius; give a minimum-norm attack, such as DDNAttack"
        )

    def find(model: nn.Module, x: Tensor, y: Tensor, is_targeted: bool) -> Tensor:
        criterion = foolbox.criteria.TargetedMisclassification if is_targeted else foolbox.criteria.Misclassification
        found: Tensor = attack(PyTorchModel(model, bounds=(0, 1), device=x.device), x, criterion(y), epsilons=None)[0]
        return found

    norms: dict[Any, str] = {0: "l0", 1: "l1", 2: "l2", float("inf"): "linf"}
    return _as_search(find, type(attack).__name__, norms.get(getattr(attack.distance, "p", None)))


def from_adv_lib(attack: Callable[..., Tensor]) -> MinimumNormAttack:
    """Return a minimum-norm attack of adv-lib, a function `(model, inputs, labels, targeted=...)`, as a search.

    Settings of the attack, such as its number of steps and its norm, are bound by `functools.partial`:
    `Margin(method=from_adv_lib(partial(fmn, norm=2, steps=100)))`.

    Example:
        >>> from dimple.probes import Margin
        >>> def far_corner(model, inputs, labels, targeted=False):
        ...     return torch.ones_like(inputs)
        >>> half_space = Boundary(lambda x: torch.stack([0.75 - x[:, 0], x[:, 0] - 0.75], dim=1), (0, 1))
        >>> margin = Margin(method=from_adv_lib(far_corner))
        >>> margin(half_space, torch.tensor([[0.25, 1.0]]), torch.tensor([0])).columns["margin"].round(decimals=3)
        tensor([0.5000])
    """

    def find(model: nn.Module, x: Tensor, y: Tensor, is_targeted: bool) -> Tensor:
        return attack(model, x, y, targeted=is_targeted)

    return _as_search(find, getattr(getattr(attack, "func", attack), "__name__", "the attack"), None)


@final
class _UnitModel(nn.Module):
    """The classifier of samples scaled to [0, 1], which counts what the attack asks."""

    def __init__(self, boundary: Boundary, low: float, span: float) -> None:
        super().__init__()
        self._boundary = boundary
        self._low = low
        self._span = span

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self._boundary.model(self._low + self._span * x)
        self._boundary.forwards += len(x)
        if scores.requires_grad:
            scores.register_hook(self._count_backwards)
        return scores

    def _count_backwards(self, gradient: Tensor) -> None:
        self._boundary.backwards += len(gradient)


def _as_search(find: Attack, name: str, norm: str | None) -> MinimumNormAttack:
    """Return the search that refines the points of an attack; `max_passes` limits the refinement only."""

    def search(problem: SearchProblem, max_passes: float) -> SearchState:
        if norm not in (None, problem.norm):
            raise UsageError(
                f"{name} minimizes {norm}, and the norm of the margin is {problem.norm}; choose norm={norm!r}"
            )
        low, span = _unit_range(problem, name)
        boundary = problem.boundary
        spent = -_passes(boundary)
        labels = problem.y if problem.targets is None else problem.targets
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            # The same points in every call; the stream of the caller stays as it is.
            torch.default_generator.manual_seed(0)
            try:
                found = find(
                    _UnitModel(boundary, low, span).eval(),
                    (problem.x - low) / span,
                    labels,
                    problem.targets is not None,
                )
            except Exception as error:
                raise ModelError(f"{name} fails: {describe_cause(error)}") from error
        passes = (spent + _passes(boundary)) / len(problem.x)
        state = SearchState(problem, max(max_passes, passes + REFINEMENT_PASSES) - CHECK_PASSES)
        state.start(state.query(problem.all_rows, state.origin))
        state.passes += passes
        points = problem.confine(problem.all_rows, flatten(low + span * found.detach()).to(state.origin))
        state.query(problem.all_rows, torch.where(torch.isfinite(points), points, state.origin))
        return state.finish(float(state.limit.max()) + CHECK_PASSES)

    return search


def _passes(boundary: Boundary) -> float:
    return FORWARD_COST * boundary.forwards + BACKWARD_COST * boundary.backwards


def _unit_range(problem: SearchProblem, name: str) -> tuple[float, float]:
    """Return the lower end and the width of the bounds, which other libraries have at 0 and 1."""
    bounds = problem.boundary.bounds
    if problem.constraint is not None:
        raise UsageError(f"{name} cannot search within a subspace; choose one of our methods")
    if not isinstance(bounds, Box) or not _is_uniform(bounds):
        raise UsageError(f"{name} needs the same finite bounds for all coordinates, such as bounds=(0, 1)")
    low, high = (float(torch.as_tensor(end).flatten()[0]) for end in (bounds.low, bounds.high))
    return low, high - low


def _is_uniform(bounds: Box) -> bool:
    ends = [torch.as_tensor(end) for end in (bounds.low, bounds.high)]
    return all(bool((end == end.flatten()[0]).all() and torch.isfinite(end).all()) for end in ends)
