"""Attacks of other libraries as methods of the margin: their points are verified, refined and counted."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dimple.attacks import from_adv_lib, from_foolbox
from dimple.boundary import Boundary
from dimple.errors import ModelError, SceneError, UsageError
from dimple.networks import MLP
from dimple.probes import Margin
from dimple.scene import load_scene
from dimple.scene.library import scene_text
from dimple.tensors import generator

foolbox = pytest.importorskip("foolbox")


class HalfSpace(nn.Module):
    """x0 = 1 is the boundary, and class 1 lies below it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0] - 1.0, 1.0 - x[:, 0]], dim=1)


def samples() -> Tensor:
    return torch.tensor([[0.0, 0.3], [-1.5, 0.0], [1.8, -0.5]])


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        (foolbox.attacks.DDNAttack(steps=50), "l2"),
        (foolbox.attacks.LinfDeepFoolAttack(), "linf"),
        (foolbox.attacks.L2DeepFoolAttack(), "l2"),
    ],
)
def test_points_of_foolbox_are_moved_onto_the_boundary(attack: Any, norm: Any) -> None:
    boundary = Boundary(HalfSpace(), (-2.0, 2.0))
    margin = Margin(method=from_foolbox(attack), norm=norm)
    result = margin(boundary, samples(), torch.tensor([1, 1, 0]))
    torch.testing.assert_close(result.columns["margin"], torch.tensor([1.0, 2.5, 0.8]), rtol=1e-4, atol=1e-4)
    # The refinement moves a point along its ray, so nearer than the point of the attack.
    assert bool((result.columns["margin"] <= result.columns["margin_unrefined"] + 1e-6).all())
    assert float(result.columns["margin_passes"].max()) > 5
    assert boundary.backwards > 0


def test_points_are_verified_and_the_callers_stream_stays() -> None:
    network = MLP(widths=(16,)).build(3, generator(1, "network")).requires_grad_(False)
    boundary = Boundary(network, (0.0, 1.0))
    x = torch.rand(12, 3, generator=generator(2, "samples"))
    y = boundary.predict(x)
    state = torch.get_rng_state()
    found = Margin(method=from_foolbox(foolbox.attacks.L2FMNAttack(steps=30)))(boundary, x, y)
    assert torch.equal(state, torch.get_rng_state())
    crossed = found.columns["margin_found"]
    assert bool((boundary.predict(found.details["boundary_point"])[crossed] != y[crossed]).all())
    again = Margin(method=from_foolbox(foolbox.attacks.L2FMNAttack(steps=30)))(boundary, x, y)
    assert torch.equal(found.columns["margin"], again.columns["margin"])
    best = Margin()(boundary, x, y).columns["margin"]
    assert bool((found.columns["margin"] >= best - 1e-3).all())


def test_an_attack_that_finds_nothing_leaves_samples_without_a_margin() -> None:
    margin = Margin(
        method=from_adv_lib(lambda model, inputs, labels, targeted=False: torch.full_like(inputs, torch.nan))
    )
    result = margin(Boundary(HalfSpace(), (-2.0, 2.0)), samples()[:1], torch.tensor([1]))
    assert not bool(result.columns["margin_found"].any()) and bool(torch.isinf(result.columns["margin"]).all())


def test_a_target_reaches_the_attack() -> None:
    asked: list[tuple[list[int], bool]] = []

    def attack(model: nn.Module, inputs: Tensor, labels: Tensor, targeted: bool = False) -> Tensor:
        asked.append((labels.tolist(), targeted))
        return torch.ones_like(inputs)

    margin = Margin(method=from_adv_lib(attack), adversarial_class=0)
    result = margin(Boundary(HalfSpace(), (0.0, 2.0)), samples()[:1], torch.tensor([1]))
    # On the ray from (0, 0.3) to the corner (2, 2), the boundary is half way.
    half = float(torch.tensor([1.0, 0.85]).norm())
    assert asked == [([0], True)] and float(result.columns["margin"][0]) == pytest.approx(half, abs=1e-4)


def test_what_does_not_fit_is_answered_with_a_sentence() -> None:
    with pytest.raises(
        UsageError, match=r"LinfProjectedGradientDescentAttack searches within a radius; give a minimum-norm attack"
    ):
        from_foolbox(foolbox.attacks.LinfPGD())
    ddn = from_foolbox(foolbox.attacks.DDNAttack())
    y = torch.tensor([1, 1, 0])
    with pytest.raises(UsageError, match="DDNAttack minimizes l2, and the norm of the margin is linf"):
        Margin(method=ddn, norm="linf")(Boundary(HalfSpace(), (-2.0, 2.0)), samples(), y)
    with pytest.raises(UsageError, match="DDNAttack needs the same finite bounds"):
        Margin(method=ddn)(Boundary(HalfSpace()), samples(), y)

    def broken(model: nn.Module, inputs: Tensor, labels: Tensor, targeted: bool = False) -> Tensor:
        raise RuntimeError("no gradient")

    with pytest.raises(ModelError, match="broken fails: RuntimeError: no gradient"):
        Margin(method=from_adv_lib(broken))(Boundary(HalfSpace(), (-2.0, 2.0)), samples(), y)


def test_a_scene_cannot_hold_one() -> None:
    scene = load_scene("circle_in_2d")
    own = dataclasses.replace(scene, probes=(Margin(method=from_foolbox(foolbox.attacks.DDNAttack())),))
    with pytest.raises(SceneError, match=r"Margin.method is code, which a scene file cannot hold"):
        scene_text(own)
