"""One boundary point for all free margins of a sample: the nearest that any probe of one call found."""

import pytest
import torch
from torch import Tensor

from dimple.boundary import Boundary
from dimple.manifolds import Flat
from dimple.networks import MLP
from dimple.probes import Margin, OnOff, Probe, ProbeResult, SubspaceMargin, run_probes
from dimple.probes.closest_points import closest_points, use_closest_points
from dimple.probes.subspaces import Subspace
from dimple.protocols import Classifier
from dimple.tangents import LocalPCA, RandomSubspace
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


def test_the_nearer_point_of_two_probes_is_that_of_both() -> None:
    # Class 1 lies beyond the planes x = 2 and z = 1; the samples are on the plane z = 0.
    wall = torch.tensor([2.0, 0.0, 1.0])
    boundary = Boundary(lambda x: torch.stack([torch.zeros(len(x)), (x - wall)[:, [0, 2]].amax(1)], dim=1))
    x = torch.zeros(3, 3)
    right, up = torch.tensor([2.0, 0, 0]), torch.tensor([0.0, 0, 1])
    # The first sample has the nearer point from `OnOff`, the second from `Margin`; the third has none.
    points, steps = torch.stack([right, up, 0 * up]), torch.stack([up, right, 0 * up])
    off = steps * torch.tensor([0.0, 0.0, 1.0])
    columns = {
        "prediction": torch.zeros(3, dtype=torch.long),
        "correct": torch.tensor([True, False, True]),
        "margin": torch.tensor([2.0, -1.0, torch.inf]),
        "margin_found": torch.tensor([True, True, False]),
        "adversarial_class": torch.tensor([1, 1, 0]),
        "stationarity_angle": torch.tensor([0.0, 0.0, torch.inf]),
        "perturbation_on_manifold_fraction": torch.tensor([0.0, 1.0, torch.nan]),
        "margin_unbounded": torch.tensor([1.0, -2.0, torch.inf]),
        "margin_on": torch.tensor([2.0, -2.0, torch.inf]),
        "margin_on_ratio": torch.tensor([2.0, 1.0, torch.nan]),
    }
    details = {"boundary_point": points, "on_part": steps - off, "off_part": off}
    details |= {"boundary_normal": torch.zeros(3, 3), "margin_on_draws": torch.tensor([[1.5], [-3.0], [torch.inf]])}
    use_closest_points(boundary, x, [Margin(), OnOff()], Flat(), columns, details)
    found = closest_points(x, columns, details)
    torch.testing.assert_close(found, torch.stack([up, up, torch.full_like(up, torch.nan)]), equal_nan=True)
    for name in ("margin", "margin_unbounded"):
        torch.testing.assert_close(columns[name], torch.tensor([1.0, -1.0, torch.inf]))
    torch.testing.assert_close(
        columns["perturbation_on_manifold_fraction"], torch.tensor([0.0, 0.0, torch.nan]), equal_nan=True
    )
    torch.testing.assert_close(columns["margin_on_ratio"], torch.tensor([2.0, 2.0, torch.nan]), equal_nan=True)
    torch.testing.assert_close(columns["margin_on_ratio_null"], torch.tensor([1.5, 3.0, torch.nan]), equal_nan=True)
    torch.testing.assert_close(details["boundary_normal"][0], -up)


def make_network() -> Classifier:
    return MLP(widths=(24, 24), first_layer_weight_scale=3.0).build(6, generator(3, "network")).double()


def lengths(result: ProbeResult) -> Tensor:
    return (result.details["on_part"] + result.details["off_part"]).norm(dim=1)


@pytest.mark.parametrize("bounds", [None, (-2.0, 2.0)])
@pytest.mark.parametrize("margin", [Margin(max_passes=5), Margin(max_passes=200), Margin(norm="linf", max_passes=5)])
def test_no_free_margin_is_above_a_restricted_one_of_any_probe(
    margin: Margin, bounds: tuple[float, float] | None
) -> None:
    boundary = Boundary(make_network(), bounds)
    x = torch.rand(60, 6, generator=generator(0, "samples")) * 3 - 1.5
    axes = torch.eye(6)
    subspaces = SubspaceMargin({"a": Subspace(axes[:, :2]), "b": Subspace(axes[:, 2:])}, null_draws=3, max_passes=40.0)
    onoff = OnOff(null_draws=3, max_passes=5.0)
    probes: list[Probe]
    for probes in ([margin, onoff], [onoff, margin, subspaces], [subspaces, onoff, margin]):
        y = boundary.predict(x)
        found = run_probes(boundary, x, y, probes, RandomSubspace(3, 0, 0))
        free = found.columns["margin_unbounded"]
        step = found.details["boundary_point"] - x
        assert bool((free <= step.norm(dim=1).where(found.columns["margin_found"], torch.inf)).all())
        if margin.norm == "l2" and bounds is None:
            assert torch.equal(free, found.columns["margin"])
        for name in ("margin_on", "margin_off", "margin_a", "margin_b"):
            if name in found.columns:
                assert bool((free <= found.columns[name]).all())
                assert bool((free[:, None] <= found.details[f"{name}_draws"]).all())
        known = torch.isfinite(free)
        torch.testing.assert_close(lengths(found)[known], free[known], rtol=2e-6, atol=0)
        torch.testing.assert_close(
            found.columns["margin_on_ratio"][known], (found.columns["margin_on"] / free)[known], rtol=1e-12, atol=0
        )
        points = found.details["boundary_point"][found.columns["margin_found"]]
        assert bool((boundary.predict(points) != y[found.columns["margin_found"]]).all())
        if bounds is not None:
            assert bool((points.abs() <= 2).all())
        total = sum(cost.forwards for cost in found.costs)
        assert total <= boundary.forwards


def test_a_shorter_step_makes_no_plane_reliable() -> None:
    """The ratio of the plane's distance and the margin grows where another probe finds a nearer point."""
    boundary = Boundary(make_network())
    x = torch.rand(40, 6, generator=generator(0, "samples")) * 3 - 1.5
    tangents = LocalPCA(torch.randn(200, 6, generator=generator(1, "cloud")), 2, 20)
    y = boundary.predict(x)
    onoff = OnOff(null_draws=1, max_passes=4.0)
    alone = run_probes(boundary, x, y, [onoff], tangents).columns
    shared = run_probes(boundary, x, y, [Margin(max_passes=200.0), onoff], tangents).columns
    nearer = shared["margin_unbounded"] < 0.999 * alone["margin_unbounded"]
    assert bool(nearer.any())
    product = shared["tangent_plane_distance_ratio"] * shared["margin_unbounded"]
    torch.testing.assert_close(
        product[nearer], (alone["tangent_plane_distance_ratio"] * alone["margin_unbounded"])[nearer], equal_nan=True
    )
    assert not bool((shared["tangent_reliable"] & (shared["tangent_plane_distance_ratio"] > 1)).any())
