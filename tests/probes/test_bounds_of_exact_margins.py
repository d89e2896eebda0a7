"""Certified radii and found margins of many small random networks against proven margins."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dimple.boundary import Boundary
from dimple.networks import MLP
from dimple.probes import CertifiedRadius, ExactMargin, Margin
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")
NODES = 400
ROUNDING = 1e-6


def check(seed: int, dim: int, widths: list[int], classes: int, norm: Literal["l2", "linf"], is_bounded: bool) -> None:
    """Compare the certified radius, the proven interval and the found margin of two samples."""
    network = MLP(widths=tuple(widths), first_layer_weight_scale=2.0).build(dim, generator(seed, "network"), classes)
    network = network.double().eval().requires_grad_(False)
    x = (2 * torch.rand(2, dim, generator=generator(seed, "samples"))).sub(1)
    boundary = Boundary(network, (-1, 1) if is_bounded else None)
    y = boundary.predict(x)
    exact = ExactMargin(norm=norm, nodes=NODES)(boundary, x, y).columns
    found = Margin(norm=norm)(boundary, x, y).columns["margin"]
    radii = {}
    for method in ("crown", "ibp", "optimized"):
        radius = CertifiedRadius(norm=norm, method=method)(boundary, x, y).columns["certified_radius"]  # type: ignore[arg-type]
        radii[method] = radius
        assert bool((radius <= exact["margin_exact_upper"] * (1 + ROUNDING)).all())
        assert bool((radius <= found * (1 + ROUNDING)).all())
    assert bool((radii["optimized"] >= radii["crown"]).all())
    assert bool((exact["margin_exact_lower"] <= found * (1 + ROUNDING)).all())


networks = given(
    seed=st.integers(0, 2**20),
    dim=st.integers(1, 6),
    widths=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    classes=st.integers(2, 4),
    norm=st.sampled_from(("l2", "linf")),
    is_bounded=st.booleans(),
)


@settings(max_examples=30, deadline=None, derandomize=True)
@networks
def test_no_certified_radius_lies_above_a_found_or_proven_margin(
    seed: int, dim: int, widths: list[int], classes: int, norm: Literal["l2", "linf"], is_bounded: bool
) -> None:
    check(seed, dim, widths, classes, norm, is_bounded)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@networks
def test_no_certified_radius_of_thousands_of_networks_lies_above_a_margin(
    seed: int, dim: int, widths: list[int], classes: int, norm: Literal["l2", "linf"], is_bounded: bool
) -> None:
    check(seed, dim, widths, classes, norm, is_bounded)
