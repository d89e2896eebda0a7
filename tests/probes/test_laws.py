"""Laws of every probe: nothing but the sample, its label and the classifier changes its result."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.networks import MLP
from dimple.probes import PROBES, Margin, Probe, ProbeResult
from dimple.tangents import RandomSubspace
from dimple.tensors import dot, generator, project_onto_span
from dimple.testing import PROBE_LAWS
from dimple.testing.probes import ProbeLaw, follows_the_scale_of_the_inputs

pytestmark = pytest.mark.usefixtures("double")
KINDS = sorted(PROBES)
TANGENTS = RandomSubspace(dim=4, seed=7, draw=0)
# Settings in input units, three times their defaults.
WIDE: dict[str, Any] = {"offset": {"limit": 3.0}, "robust": {"eps": (0.3, 0.6, 0.9)}}


def network() -> nn.Module:
    return (
        MLP(widths=(32, 32), first_layer_weight_scale=2.0)
        .build(12, generator(3, "network"))
        .double()
        .requires_grad_(False)
    )


def samples() -> tuple[Tensor, Tensor]:
    stream = generator(1, "samples")
    return torch.randn(24, 12, generator=stream), torch.randint(0, 2, (24,), generator=stream)


def probe_of(kind: str) -> Probe:
    # In twelve dimensions a complete search takes too long; incomplete results obey the laws, too.
    return PROBES[kind](nodes=20) if kind == "exact" else PROBES[kind]()  # type: ignore[call-arg]


def assert_same(a: ProbeResult, b: ProbeResult) -> None:
    for name, values in a.columns.items():
        if a.units[name] != "passes":  # rounding changes the number of refinement steps
            torch.testing.assert_close(b.columns[name], values, rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("law", PROBE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_every_probe_obeys_the_laws(kind: str, law: ProbeLaw) -> None:
    law(probe_of(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_the_input_scales_columns_in_input_units(kind: str) -> None:
    probe = probe_of(kind)
    follows_the_scale_of_the_inputs(probe, PROBES[kind](**WIDE[kind]) if kind in WIDE else probe)


@pytest.mark.parametrize("power", [-80, -66, 66, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_whose_squares_overflow_or_vanish_give_the_same_results_to_the_last_bit(kind: str, power: int) -> None:
    net = network().float()
    x, y = samples()
    plain = probe_of(kind)(Boundary(net), x.float(), y, TANGENTS)
    scaled = probe_of(kind)(Boundary(lambda z: 2.0**power * net(z)), x.float(), y, TANGENTS)
    for name, values in plain.columns.items():
        torch.testing.assert_close(scaled.columns[name], values, rtol=0, atol=0, equal_nan=True)


def test_l2_margins_are_invariant_under_rotation_of_input_and_classifier() -> None:
    # With one start only: the random positions of further starts do not rotate with the input.
    net = network()
    x, y = samples()
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=generator(9, "rotation"))).Q
    for method in ("closest", "deepfool"):
        margin = Margin(method=method, restarts=1)  # type: ignore[arg-type]
        plain = margin(Boundary(net), x, y)
        assert_same(plain, margin(Boundary(lambda z: net(z @ rotation)), x @ rotation.T, y))


def test_on_and_off_add_up_and_are_orthogonal() -> None:
    x, y = samples()
    boundary = Boundary(network())
    parts = probe_of("onoff")(boundary, x, y, TANGENTS)
    on = parts.details["on_part"]
    off = parts.details["off_part"]
    found = torch.isfinite(parts.columns["margin_unbounded"])
    assert dot(on, off).abs().max() < 1e-12
    assert torch.allclose((on + off).norm(dim=1)[found], parts.columns["margin_unbounded"].abs()[found])
    assert torch.allclose(project_onto_span(TANGENTS.tangent_basis(x), on), on)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3), "add a batch axis"),
        (torch.zeros(0, 3), "B >= 1"),
        (torch.tensor([[float("nan")]]), "nan or inf"),
        (torch.zeros(2, 3, dtype=torch.long), "floating point"),
    ],
)
def test_invalid_samples_are_refused_with_a_remedy(x: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        probe_of("margin")(Boundary(network()), x, torch.zeros(len(x), dtype=torch.long))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 2], r"y\[1\] is 2; the classifier has the classes 0 to 1"),
        ([-2, 0], r"y\[0\] is -2; the classifier has"),
        ([0.0, 0.5], "labels are whole numbers"),
    ],
)
def test_labels_that_are_no_class_are_refused(y: list[float], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        probe_of("margin")(Boundary(network()), samples()[0][:2], torch.tensor(y))
