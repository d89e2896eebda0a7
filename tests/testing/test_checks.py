"""The checks for plug-ins accept ours, and answer each broken law with one sentence."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dimple.manifolds import Circle, chart_manifold
from dimple.probes import Probe, function_probe
from dimple.settings import settings
from dimple.testing import OBJECTIVE_LAWS, LawError, check_manifold, check_objective, check_probe
from dimple.testing.objectives import ObjectiveLaw
from dimple.training.objectives import OBJECTIVES, Batch, Objective


@pytest.mark.parametrize("law", OBJECTIVE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_objective_obeys_the_laws(kind: str, law: ObjectiveLaw) -> None:
    law(OBJECTIVES[kind]())


def test_an_own_chart_and_an_own_probe_pass() -> None:
    @chart_manifold(low=0.0, high=2 * torch.pi, periodic=True)
    def oval(z: Tensor, height: float = 0.5) -> Tensor:
        return torch.cat([z.cos(), height * z.sin()], dim=1)

    @function_probe("l2, input units")
    def linear_margin(boundary: Any, x: Tensor, y: Tensor) -> Tensor:
        margin, gradient = boundary.logit_margin_and_gradient(x, y)
        return margin / gradient.flatten(1).norm(dim=1)

    @function_probe("score per input unit")
    def slope(boundary: Any, x: Tensor, y: Tensor) -> Tensor:
        return boundary.logit_margin_and_gradient(x, y)[1].flatten(1).norm(dim=1)

    check_manifold(oval())
    check_probe(linear_margin())
    check_probe(slope())


def broken_probe(unit: str, function: Any) -> Probe:
    @function_probe(unit)
    def height(boundary: Any, x: Tensor, y: Tensor) -> Tensor:
        return function(boundary, x, y)

    return height()


@pytest.mark.parametrize(
    ("unit", "function", "problem"),
    [
        ("score", lambda b, x, y: b.logit_margin(x, y) - b.logit_margin(x, y).mean(), "is another in batches of 5"),
        (
            "angle",
            lambda b, x, y: b.logit_margin(x, y),
            "which changes columns in 'score per input unit' and 'score', and not those in 'angle': ",
        ),
        ("l2, input units", lambda b, x, y: b.logit_margin(x, y).sign(), "is another with inputs times 3"),
        ("angle", lambda b, x, y: torch.rand(len(x)), "draws from the global generator of torch"),
        ("score", lambda b, x, y: x.mul_(1.5).flatten(1)[:, 0] * 0 + b.logit_margin(x, y), "changes its samples"),
        ("angle", lambda b, x, y: x.flatten(1)[:, 0] * 0 + x.dim(), r"for samples of the shape \(3, 2, 2\): 4 instead"),
    ],
)
def test_a_broken_law_of_a_probe_is_a_sentence(unit: str, function: Any, problem: str) -> None:
    with pytest.raises(LawError, match=f"^height: .*{problem}"):
        check_probe(broken_probe(unit, function))


def test_a_broken_law_of_a_manifold_is_a_sentence() -> None:
    class Shifted:
        """A circle whose projection is off."""

        def __getattr__(self, name: str) -> Any:
            return getattr(Circle(), name)

        def project(self, x: Tensor) -> Tensor:
            return Circle().project(x) + 1e-3

    with pytest.raises(LawError, match=r"^Shifted: projecting twice moves a point by"):
        check_manifold(Shifted())  # type: ignore[arg-type]


@settings
class Noisy(Objective):
    """A loss that draws from the global generator."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(network(batch.x + 0.1 * torch.randn_like(batch.x)), batch.y)


@settings
class Uphill(Objective):
    """A loss whose gradient has the wrong sign."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        value = nn.functional.cross_entropy(network(batch.x), batch.y)
        return 2 * value.detach() - value


@settings
class PerSample(Objective):
    """A loss without its mean."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(network(batch.x), batch.y, reduction="none")


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        (Noisy(), "draws from the global generator"),
        (Uphill(), "a small step down its gradient changes the loss"),
        (PerSample(), "not one finite number with a gradient"),
    ],
)
def test_a_broken_law_of_an_objective_is_a_sentence(objective: Objective, problem: str) -> None:
    with pytest.raises(LawError, match=f"^{type(objective).__name__}: .*{problem}"):
        check_objective(objective)
