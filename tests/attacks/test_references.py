"""Searches that start from reference samples of other classes too."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dimple.attacks.closest import closest_point
from dimple.attacks.search import SearchProblem, SearchState
from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.experiment import ProbeConfig, measure, probe
from dimple.experiment.probing.sources import Sources, load_sources
from dimple.networks import MLP, load_model
from dimple.probes import Margin
from dimple.progress import silent_progress
from dimple.stats.cautions import masking_statement
from dimple.stats.intervals import proportion_interval
from dimple.tensors import generator

DIM = 80


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"), dtype=torch.float64)


def misleading(x: Tensor) -> Tensor:
    """Class 2 begins at x2 = 3, where the score falls; class 1 at x1 = 1, without a slope before .9."""
    step = 5 - 30 * (x[:, 0] - 0.9).clamp(0, 0.2)
    return torch.stack([torch.zeros_like(x[:, 0]), -step, x[:, 1] - 3], dim=1)


def search(
    boundary: Boundary, x: Tensor, max_passes: float, kind: str = "l2", target: int | None = None
) -> SearchState:
    targets = None if target is None else torch.full((len(x),), target)
    return closest_point(SearchProblem(boundary, x, boundary.predict(x), kind, targets=targets), max_passes)


@pytest.mark.parametrize("kind", ["l1", "l2", "linf"])
def test_a_boundary_that_the_gradient_hides_is_found_from_a_reference_sample(kind: str) -> None:
    x = torch.zeros(4, DIM)
    reference = torch.zeros(3, DIM)
    reference[0, 0], reference[1, 1], reference[2, 2] = 2.0, 4.0, 9.0
    alone = search(Boundary(misleading), x, 25.0, kind)
    helped = search(Boundary(misleading, reference=reference), x, 100.0, kind)
    assert alone.distance.tolist() == pytest.approx([3.0] * 4, rel=1e-4)
    assert helped.distance.tolist() == pytest.approx([0.9 + 5 / 30] * 4, rel=1e-4)
    assert bool((helped.restart_ratio < 0.9).all() & alone.restart_ratio.isnan().all())
    # With a target only its own reference samples serve.
    assert search(Boundary(misleading, reference=reference), x, 100.0, kind, 2).distance[0] == pytest.approx(3.0, 1e-4)


def test_the_summary_says_whether_gradients_mask_nearer_points() -> None:
    x = torch.zeros(12, DIM)
    reference = 2 * torch.eye(DIM)[:2]
    masked = measure(misleading, x, probes=[Margin(max_passes=100.0)], bounds=None, reference=reference)
    assert "gradient masking: for 100% (74% to 100%) of the samples" in " ".join(str(masked).split())
    plain = measure(lambda z: misleading(z)[:, 1:], x, probes=[Margin(max_passes=100.0)], bounds=None, reference=-x[:1])
    assert "gradient masking: " not in str(plain)


@pytest.mark.parametrize(
    ("count", "of", "verdict"),
    [(0, 100, "no gradient masking found"), (12, 100, "gradient masking"), (0, 20, "not decided"), (4, 24, "not")],
)
def test_masking_is_judged_by_the_interval_of_the_fraction(count: int, of: int, verdict: str) -> None:
    low, high = proportion_interval(count, of)
    name = "margin_multiple_minima"
    row = {"gradient_masking_ratio": 1.0, name: count / of, f"{name}_low": low, f"{name}_high": high}
    assert masking_statement(row).startswith(verdict)
    unchecked = "not checked for masked gradients, which make margins too large: --max-passes 100 checks it"
    assert masking_statement({**row, "gradient_masking_ratio": float("nan")}) == unchecked
    assert masking_statement({**row, "gradient_masking_ratio": None}) == unchecked


def test_a_search_with_too_few_passes_says_that_masking_was_not_checked() -> None:
    x = torch.zeros(12, DIM)
    found = measure(misleading, x, probes=[Margin()], bounds=None, reference=2 * torch.eye(DIM)[:2])
    assert "not checked for masked gradients" in str(found)
    # In few dimensions, and without reference samples, more passes check nothing.
    assert "masked" not in str(measure(misleading, x, probes=[Margin()], bounds=None))
    assert "masked" not in str(
        measure(misleading, x[:, :9], probes=[Margin()], bounds=None, reference=torch.eye(9)[:3])
    )


@pytest.mark.parametrize("has_reference", [True, False])
def test_more_passes_never_find_a_farther_point_and_stay_within_the_limit(has_reference: bool) -> None:
    network = MLP(widths=(64, 64), first_layer_weight_scale=2.0).build(DIM, generator(3, "network")).double()
    reference = gaussian(200, DIM, seed=7).clamp(-3, 3) if has_reference else None
    boundary = Boundary(network.requires_grad_(False), (-3.0, 3.0), reference)
    x = gaussian(24, DIM).clamp(-3, 3)
    before = torch.full((24,), torch.inf)
    for max_passes in (38.6, 60.0, 100.0, 250.0):
        found = search(boundary, x, max_passes)
        assert bool((found.distance <= before * (1 + 1e-6)).all())
        assert float(found.passes.max()) <= max_passes + 1e-3
        before = found.distance
    # A sample is searched alone as it is among others.
    torch.testing.assert_close(search(boundary, x[5:6], 250.0).distance, before[5:6], rtol=1e-6, atol=0)


def test_the_reference_of_a_measurement_serves_its_margins_and_belongs_to_its_run(tmp_path: Path) -> None:
    x = torch.zeros(2, DIM)
    reference = 2 * torch.eye(DIM)[:2]
    probe = Margin(max_passes=100.0)
    alone = measure(misleading, x, probes=[Margin(max_passes=25.0)], bounds=None)
    helped = measure(misleading, x, probes=[probe], bounds=None, reference=reference)
    assert alone["margin"].values.tolist() == pytest.approx([3.0, 3.0], rel=1e-3)
    assert helped["margin"].values.tolist() == pytest.approx([1.0667, 1.0667], rel=1e-3)
    for folder, one in (("alone", None), ("helped", reference)):
        measure(misleading, x, probes=[probe], bounds=None, reference=one, out=tmp_path / folder)
    texts = [(tmp_path / folder / "config.yaml").read_text().splitlines() for folder in ("alone", "helped")]
    (changed,) = (old for old, new in zip(*texts, strict=True) if old != new)
    assert changed.strip() == "reference: null"


@pytest.mark.parametrize("weights", ["mnist_fgsm.pth", "mnist_cnn_a_adv.pth"])
def test_margins_of_networks_that_hide_their_gradients_shrink(shared_data: Path, weights: str) -> None:
    """Seven long searches of 128 images of mnist_fgsm.pth have the median 1.11, one descent of any length 1.3.

    Without reference samples further starts are around the nearest point.
    """
    images = load_images(f"mnist:{shared_data}/mnist", "test")
    network = load_model("mnist_convnet", shared_data / "checkpoints" / weights).float()
    x, y = images.batch(torch.arange(32))
    reference = load_images(f"mnist:{shared_data}/mnist", "train").batch(torch.arange(2000))[0]
    one_descent, alone, helped = (
        Margin(max_passes=200.0, restarts=restarts)(Boundary(network, images.bounds, one), x, y).columns
        for one, restarts in ((None, 1), (None, None), (reference, None))
    )
    longest = float(one_descent["margin"].abs().mean())
    assert float(alone["margin"].abs().mean()) < 0.97 * longest
    assert float(helped["margin"].abs().mean()) < 0.95 * longest
    assert float(helped["margin_multiple_minima"].float().mean()) > 0.25


def load(data: str, max_passes: float | None, method: str = "closest") -> Sources:
    model, weights = ("digits_convnet", None) if data == "digits" else ("mnist_convnet", "none")
    config = ProbeConfig(model=model, weights=weights, data=data, max_passes=max_passes, method=method, samples=2)
    return load_sources(config, torch.device("cpu"), silent_progress)


def test_a_measurement_of_images_says_from_where_its_searches_start(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (30, 28, 28), generator=generator(0, "pixels"), dtype=torch.uint8).numpy()
    labels = np.arange(30) % 10
    np.savez(tmp_path / "both.npz", x_train=pixels, y_train=labels, x_test=pixels[:10], y_test=labels[:10])
    np.savez(tmp_path / "test.npz", x_test=pixels[:10], y_test=labels[:10])
    both = load(f"npz:{tmp_path}/both.npz", 100.0)
    assert both.reference is not None and both.reference.shape == (30, 1, 28, 28)
    assert ("search", "also from the nearest of 30 training images of other classes") in both.facts
    assert "reference images" in both.checksums
    alone = load(f"npz:{tmp_path}/test.npz", 100.0)
    assert alone.reference is None
    assert any(name == "search" and "without training images" in text for name, text in alone.facts)
    # Too few passes, another search, and few dimensions take no references, and say nothing of them.
    for sources in (load(f"npz:{tmp_path}/both.npz", None), load(f"npz:{tmp_path}/both.npz", 100.0, "fab")):
        assert sources.reference is None and all(name != "search" for name, _ in sources.facts)
    assert load("digits", 400.0).reference is None


def test_a_probe_of_images_with_too_few_passes_has_not_checked_for_masked_gradients(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (20, 28, 28), generator=generator(1, "pixels"), dtype=torch.uint8).numpy()
    np.savez(
        tmp_path / "both.npz", x_train=pixels, y_train=np.arange(20) % 10, x_test=pixels, y_test=np.arange(20) % 10
    )
    config = ProbeConfig(
        model="mnist_convnet", weights="none", data=f"npz:{tmp_path}/both.npz", samples=20, probes=("margin",)
    )
    (row,) = probe(config, tmp_path / "run", device="cpu").info["summary"]["rows"]
    assert math.isnan(row["gradient_masking_ratio"]) and masking_statement(row).startswith("not checked for masked")
    # The digits have too few pixels for such a search, and what was not tried is no warning there.
    assert not load("digits", None).lacks_passes and not load("digits", 100.0).lacks_passes
