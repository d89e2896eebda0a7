"""Margins within subspaces against the formula for half-spaces."""

import math

import pytest
import torch
from scipy.fft import dctn

from dimple.errors import ShapeError
from dimple.probes import OnOff
from dimple.probes.subspaces import (
    OnOffWithControls,
    PerSampleSubspace,
    Subspace,
    SubspaceMargin,
    dct_bands,
    pca_bands,
    principal_axes,
)
from dimple.tangents import RandomSubspace
from tests.oracles import half_space

pytestmark = pytest.mark.usefixtures("double")


def normal_and_samples(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return torch.randn(n, generator=stream), torch.randn(20, n, generator=stream)


def test_frequency_bands_equal_those_of_scipy() -> None:
    image = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(1))
    spectrum = dctn(image.numpy(), axes=(1, 2), norm="ortho")
    for start in (0, 3, 8):
        columns = dct_bands((2, 12, 16), size=4, step=1)[f"dct_{start:02d}"].basis
        torch.testing.assert_close(columns.T @ columns, torch.eye(32))
        block = torch.from_numpy(spectrum[:, start : start + 4, start : start + 4]).flatten()
        torch.testing.assert_close(columns.T @ image.flatten(), block)


def test_margins_within_bands_show_the_frequencies_that_a_classifier_uses() -> None:
    bands = dct_bands((1, 16, 16), size=4, step=4)
    used = bands["dct_08"].basis.sum(1)
    x = 0.1 * used.reshape(1, 1, 16, 16)
    result = SubspaceMargin(bands, null_draws=5)(half_space(used), x, torch.ones(1, dtype=torch.long)).columns
    # The normal lies in this band, so that the margin within the band equals the unconstrained margin.
    torch.testing.assert_close(result["margin_dct_08"], result["margin_unbounded"])
    assert all(result[f"margin_{name}"].isinf().all() for name in bands if name != "dct_08")
    assert result["margin_dct_08_null"] > result["margin_dct_08"]


def test_margins_within_and_off_subspaces_are_exact() -> None:
    normal, x = normal_and_samples(12)
    spaces = {"a": RandomSubspace(2, seed=4, draw=0), "b": RandomSubspace(5, seed=4, draw=1)}
    y = torch.ones(20, dtype=torch.long)
    for orthogonal in (False, True):
        result = SubspaceMargin(spaces, orthogonal=orthogonal, null_draws=3)(half_space(normal), x, y)
        for name, space in spaces.items():
            q = space.basis(12)
            along = q @ q.T @ normal
            slope = (normal - along if orthogonal else along).norm()
            torch.testing.assert_close(result.columns[f"margin_{name}"], x @ normal / slope, rtol=1e-7, atol=0)
            assert result.details[f"margin_{name}_draws"].shape == (20, 3)
        assert set(result.columns) == set(result.units)
        assert not any("ratio" in name for name in (*result.columns, *result.details))


def test_principal_axes_are_in_order_of_variance() -> None:
    stream = torch.Generator().manual_seed(2)
    sizes = torch.tensor([5.0, 0.1, 2.0, 0.0])
    axes = principal_axes(3.0 + torch.randn(4000, 4, generator=stream) * sizes)
    torch.testing.assert_close(axes.abs(), torch.eye(4)[:, [0, 2, 1, 3]], rtol=0, atol=0.02)
    assert list(pca_bands(axes, dim=1, count=9)) == ["pca_0000", "pca_0001", "pca_0002", "pca_0003"]


def test_principal_axes_do_not_depend_on_where_the_cloud_lies() -> None:
    stream = torch.Generator().manual_seed(2)
    cloud = torch.randn(500, 4, generator=stream, dtype=torch.float64) * torch.tensor([5.0, 1.0, 2.0, 3.0])
    for offset in (1.0, 1e3, 1e6):
        products = principal_axes(cloud).T @ principal_axes(cloud + offset)
        assert float((products.abs() - torch.eye(4)).abs().max()) < 1e-8


def test_a_line_per_sample_is_searched_in_both_directions() -> None:
    normal, x = normal_and_samples(6)
    to_target = PerSampleSubspace(lambda z: 7.0 - z)
    result = SubspaceMargin({"line": to_target}, null_draws=2)(half_space(normal), x, torch.ones(20, dtype=torch.long))
    direction = (7.0 - x) / (7.0 - x).norm(dim=1, keepdim=True)
    torch.testing.assert_close(
        result.columns["margin_line"], x @ normal / (direction @ normal).abs(), rtol=1e-7, atol=0
    )


def test_controls_have_the_null_of_the_on_manifold_margin() -> None:
    normal, x = normal_and_samples(12)
    tangents = RandomSubspace(3, seed=1, draw=0)
    control = Subspace(torch.eye(12)[:, :3])
    y = torch.ones(20, dtype=torch.long)
    onoff = OnOff(null_draws=4)
    plain = onoff(half_space(normal), x, y, tangents)
    with_controls = OnOffWithControls(onoff, {"first": control})(half_space(normal), x, y, tangents)
    for name, values in plain.columns.items():
        assert torch.equal(values, with_controls.columns[name]), name
    torch.testing.assert_close(
        with_controls.columns["margin_first_ratio"], (normal.norm() / normal[:3].norm()).expand(20)
    )
    assert torch.equal(with_controls.details["margin_first_draws"], plain.details["margin_on_draws"])
    assert float(with_controls.columns["margin_first_ratio_analytic"][0]) == math.sqrt(12 / 3)


def test_subspaces_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="no frequency bands"):
        dct_bands((12,))
    with pytest.raises(ShapeError, match="do not fit"):
        dct_bands((1, 8, 8), size=9)
    with pytest.raises(ShapeError, match="linearly dependent"):
        PerSampleSubspace(lambda z: torch.stack([z, 2 * z], 1)).tangent_basis(torch.ones(2, 3))
