"""What every probe owes: nothing but the sample, its label and the classifier may change its answer."""

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.errors import ShapeError
from dimple.networks import MLP
from dimple.probes import PROBES, Margin, Measurement, Probe
from dimple.tangents import LocalPCA, RandomSubspace
from dimple.tensors import dot, generator, project

pytestmark = pytest.mark.usefixtures("double")
KINDS = sorted(PROBES)
TANGENTS = RandomSubspace(dim=4, seed=7, draw=0)


def network() -> nn.Module:
    return MLP(widths=(32, 32), input_scale=2.0).build(12, generator(3, "network")).double().requires_grad_(False)


def samples() -> tuple[Tensor, Tensor]:
    stream = generator(1, "samples")
    return torch.randn(24, 12, generator=stream), torch.randint(0, 2, (24,), generator=stream)


def probe_of(kind: str) -> Probe:
    # Twelve dimensions are too many to search to the end; what is proven on the way obeys the laws as well.
    return PROBES[kind](nodes=20) if kind == "exact" else PROBES[kind]()  # type: ignore[call-arg]


def assert_same(a: Measurement, b: Measurement, scale: float = 1.0, tolerance: float = 1e-6) -> None:
    assert a.columns.keys() == b.columns.keys()
    for name, values in a.columns.items():
        unit = a.units[name]
        if unit == "passes":  # what an answer cost is not the answer: a landing ends by rounding
            continue
        power = 1 if unit.endswith("input units") else -1 if unit.endswith("per input unit") else 0
        expected = values * scale**power if power else values
        torch.testing.assert_close(b.columns[name], expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_order_and_batch_mates_do_not_matter(kind: str) -> None:
    boundary, (x, y) = Boundary(network()), samples()
    whole = probe_of(kind)(boundary, x, y, TANGENTS)
    assert_same(whole, probe_of(kind)(boundary, x, y, TANGENTS, chunk=5))
    order = torch.randperm(len(x), generator=generator(2, "order"))
    shuffled = probe_of(kind)(boundary, x[order], y[order], TANGENTS)
    inverse = order.argsort()
    assert_same(whole, Measurement({name: v[inverse] for name, v in shuffled.columns.items()}, whole.units))
    alone = probe_of(kind)(boundary, x[3:4], y[3:4], TANGENTS)
    assert_same(Measurement({name: v[3:4] for name, v in whole.columns.items()}, whole.units), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_the_scores_does_not_matter(kind: str) -> None:
    net, (x, y) = network(), samples()
    plain = probe_of(kind)(Boundary(net), x, y, TANGENTS)
    assert_same(plain, probe_of(kind)(Boundary(lambda z: 50 * net(z)), x, y, TANGENTS))


@pytest.mark.parametrize("kind", KINDS)
def test_scaling_the_input_scales_what_has_input_units(kind: str) -> None:
    net, (x, y) = network(), samples()
    probe = probe_of(kind)
    wide = PROBES[kind](limit=3.0) if kind == "offset" else probe  # type: ignore[call-arg]
    plain = probe(Boundary(net), x, y, TANGENTS)
    assert_same(plain, wide(Boundary(lambda z: net(z / 3)), 3 * x, y, TANGENTS), scale=3.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_of_space_and_an_image_are_the_same_to_a_probe(kind: str) -> None:
    net, (x, y) = network(), samples()
    cloud = torch.randn(80, 12, generator=generator(5, "cloud"))
    rows = probe_of(kind)(Boundary(net), x, y, LocalPCA(cloud, dim=3, neighbours=20))
    tangents = LocalPCA(cloud.reshape(80, 3, 2, 2), dim=3, neighbours=20)
    images = probe_of(kind)(Boundary(lambda z: net(z.flatten(1))), x.reshape(24, 3, 2, 2), y, tangents)
    for name, values in rows.columns.items():
        assert torch.equal(values.nan_to_num(), images.columns[name].nan_to_num()), name


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_has_a_unit(kind: str) -> None:
    x, y = samples()
    result = probe_of(kind)(Boundary(network()), x, y, TANGENTS)
    assert set(result.columns) == set(result.units)
    assert all(values.shape == (len(x),) for values in result.columns.values())


def test_rotating_input_and_classifier_together_changes_no_l2_margin() -> None:
    # From one start: where further starts are drawn does not turn with the input.
    net, (x, y) = network(), samples()
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=generator(9, "rotation"))).Q
    for method in ("closest", "deepfool"):
        margin = Margin(method=method, starts=1)  # type: ignore[arg-type]
        plain = margin(Boundary(net), x, y)
        assert_same(plain, margin(Boundary(lambda z: net(z @ rotation)), x @ rotation.T, y))


def test_on_and_off_add_up_and_are_orthogonal() -> None:
    x, y = samples()
    boundary = Boundary(network())
    parts = probe_of("onoff")(boundary, x, y, TANGENTS)
    on, off = parts.details["on_part"], parts.details["off_part"]
    found = torch.isfinite(parts.columns["margin_any"])
    assert dot(on, off).abs().max() < 1e-12
    assert torch.allclose((on + off).norm(dim=1)[found], parts.columns["margin_any"].abs()[found])
    assert torch.allclose(project(TANGENTS.tangent_basis(x), on), on)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3), "add a batch axis"),
        (torch.zeros(0, 3), "B >= 1"),
        (torch.tensor([[float("nan")]]), "nan or inf"),
        (torch.zeros(2, 3, dtype=torch.long), "floating point"),
    ],
)
def test_samples_of_another_kind_are_refused_with_the_way_out(x: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        probe_of("margin")(Boundary(network()), x, torch.zeros(len(x), dtype=torch.long))
