"""Laws of every probe: nothing but the sample, its label and the classifier changes its result."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.networks import MLP
from dimple.probes import PROBES, Margin, Probe, ProbeResult
from dimple.tangents import LocalPCA, RandomSubspace
from dimple.tensors import dot, generator, project_onto_span

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


def assert_same(a: ProbeResult, b: ProbeResult, scale: float = 1.0, tolerance: float = 1e-6) -> None:
    assert a.columns.keys() == b.columns.keys()
    for name, values in a.columns.items():
        unit = a.units[name]
        if unit == "passes":  # rounding changes the number of refinement steps
            continue
        power = 1 if unit.endswith("input units") else -1 if unit.endswith("per input unit") else 0
        expected = values * scale**power if power else values
        torch.testing.assert_close(b.columns[name], expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_chunks_order_and_other_samples(kind: str) -> None:
    boundary = Boundary(network())
    x, y = samples()
    full = probe_of(kind)(boundary, x, y, TANGENTS)
    assert_same(full, probe_of(kind)(boundary, x, y, TANGENTS, chunk_size=5))
    order = torch.randperm(len(x), generator=generator(2, "order"))
    shuffled = probe_of(kind)(boundary, x[order], y[order], TANGENTS)
    inverse = order.argsort()
    assert_same(full, ProbeResult({name: v[inverse] for name, v in shuffled.columns.items()}, full.units))
    alone = probe_of(kind)(boundary, x[3:4], y[3:4], TANGENTS)
    assert_same(ProbeResult({name: v[3:4] for name, v in full.columns.items()}, full.units), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_the_scale_of_the_scores(kind: str) -> None:
    net = network()
    x, y = samples()
    plain = probe_of(kind)(Boundary(net), x, y, TANGENTS)
    assert_same(plain, probe_of(kind)(Boundary(lambda z: 50 * net(z)), x, y, TANGENTS))


@pytest.mark.parametrize("power", [-80, -66, 66, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_whose_squares_overflow_or_vanish_give_the_same_results_to_the_last_bit(kind: str, power: int) -> None:
    net = network().float()
    x, y = samples()
    plain = probe_of(kind)(Boundary(net), x.float(), y, TANGENTS)
    scaled = probe_of(kind)(Boundary(lambda z: 2.0**power * net(z)), x.float(), y, TANGENTS)
    for name, values in plain.columns.items():
        torch.testing.assert_close(scaled.columns[name], values, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_the_input_scales_columns_in_input_units(kind: str) -> None:
    net = network()
    x, y = samples()
    probe = probe_of(kind)
    wide = PROBES[kind](**WIDE[kind]) if kind in WIDE else probe
    plain = probe(Boundary(net), x, y, TANGENTS)
    result = wide(Boundary(lambda z: net(z / 3)), 3 * x, y, TANGENTS)
    # The names of robust accuracies contain their radii.
    columns = dict(zip(plain.columns, result.columns.values(), strict=True))
    assert_same(plain, ProbeResult(columns, result.units), scale=3.0)


@pytest.mark.parametrize("kind", KINDS)
def test_points_and_images_of_the_same_values_have_the_same_results(kind: str) -> None:
    net = network()
    x, y = samples()
    cloud = torch.randn(80, 12, generator=generator(5, "cloud"))
    rows = probe_of(kind)(Boundary(net), x, y, LocalPCA(cloud, dim=3, neighbors=20))
    tangents = LocalPCA(cloud.reshape(80, 3, 2, 2), dim=3, neighbors=20)
    images = probe_of(kind)(Boundary(lambda z: net(z.flatten(1))), x.reshape(24, 3, 2, 2), y, tangents)
    for name, values in rows.columns.items():
        assert torch.equal(values.nan_to_num(), images.columns[name].nan_to_num()), name


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_has_a_unit(kind: str) -> None:
    x, y = samples()
    result = probe_of(kind)(Boundary(network()), x, y, TANGENTS)
    assert set(result.columns) == set(result.units)
    assert all(values.shape == (len(x),) for values in result.columns.values())


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
