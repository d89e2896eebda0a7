"""Searches in l0: the fewest coordinates, against counts that are known."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dimple.attacks.closest import closest_point
from dimple.attacks.search import SearchProblem, SearchState
from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.errors import SceneError, UsageError
from dimple.experiment import ProbeConfig, measure
from dimple.networks import MLP, load_model
from dimple.probes import Margin, Speed
from dimple.tensors import generator, norm

DIM = 40


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed, "gaussian"), dtype=torch.float64)


def search(boundary: Boundary, x: Tensor, max_passes: float) -> SearchState:
    return closest_point(SearchProblem(boundary, x, boundary.predict(x), "l0"), max_passes)


def linear_classifier() -> nn.Module:
    layer = nn.Linear(DIM, 2).double().eval().requires_grad_(False)
    layer.weight.copy_(gaussian(2, DIM, seed=1))
    layer.bias.copy_(gaussian(2, seed=2))
    return layer


def test_a_linear_classifier_needs_as_many_coordinates_as_its_steepest_ones_together() -> None:
    classifier = linear_classifier()
    x = torch.rand(60, DIM, generator=generator(0, "x"), dtype=torch.float64)
    boundary = Boundary(classifier, (0, 1))
    margin, gradient = boundary.logit_margin_and_gradient(x, boundary.predict(x))
    gain = torch.where(gradient > 0, x, 1 - x) * gradient.abs()
    needed = (gain.sort(1, descending=True).values.cumsum(1) < margin[:, None]).sum(1) + 1
    found = search(boundary, x, 300.0)
    assert torch.equal(found.distance, needed.double())
    points = found.points
    assert torch.equal((points != x).sum(1), needed)
    assert bool(((points >= 0) & (points <= 1)).all() & (boundary.predict(points) != boundary.predict(x)).all())


def test_more_passes_never_need_more_coordinates_and_stay_within_the_limit() -> None:
    network = MLP(widths=(64, 64), first_layer_weight_scale=2.0).build(DIM, generator(3, "network")).double()
    boundary = Boundary(network.requires_grad_(False), (-2.0, 2.0))
    x = gaussian(24, DIM).clamp(-2, 2)
    before = torch.full((24,), torch.inf)
    for max_passes in (1.0, 4.0, 30.0, 60.0, 100.0, 250.0):
        found = search(boundary, x, max_passes)
        assert float(found.passes.max()) <= max_passes + 1e-3
        if max_passes > 30:
            assert bool((found.distance <= before).all())
        before = found.distance
    # A sample is searched alone as it is among others.
    assert torch.equal(search(boundary, x[5:6], 250.0).distance, before[5:6])


def test_the_scale_of_the_scores_and_the_range_of_the_inputs_change_no_count() -> None:
    classifier = linear_classifier()
    x = torch.rand(20, DIM, generator=generator(0, "x"), dtype=torch.float64)
    plain = search(Boundary(classifier, (0, 1)), x, 60.0).distance
    scaled = search(Boundary(lambda z: 2.0**20 * classifier(z), (0, 1)), x, 60.0).distance
    stretched = search(Boundary(lambda z: classifier(z / 256), (0, 256)), 256 * x, 60.0).distance
    assert torch.equal(plain, scaled) and torch.equal(plain, stretched)


def test_a_classifier_without_a_slope_is_searched_from_reference_samples() -> None:
    def flat(x: Tensor) -> Tensor:
        other = (x[:, :3] > 0.5).all(1).to(x) - 0.5
        return torch.stack([-other, other], dim=1) + 0 * x.sum(1, keepdim=True)

    x = torch.zeros(2, DIM)
    reference = torch.ones(1, DIM)
    assert search(Boundary(flat, (0, 1), reference), x, 100.0).distance.tolist() == [3.0, 3.0]


def test_the_margin_in_l0_is_a_number_of_coordinates_without_an_angle() -> None:
    classifier = linear_classifier()
    x = torch.rand(8, DIM, generator=generator(0, "x"), dtype=torch.float64)
    table = measure(classifier, x, probes=[Margin(norm="l0")], bounds=(0, 1))
    assert table["margin"].unit == "l0, coordinates"
    margin = torch.as_tensor(table["margin"].values).abs()
    assert torch.equal(margin, margin.round())
    result = Margin(norm="l0")(Boundary(classifier, (0, 1)), x, classifier(x).argmax(1))
    assert torch.equal(norm(result.details["boundary_point"] - x, "l0"), result.columns["margin"])
    assert bool(result.columns["stationarity_angle"].isnan().all())


def test_what_has_no_meaning_in_l0_is_refused_in_one_sentence() -> None:
    x = torch.rand(2, DIM, dtype=torch.float64)
    with pytest.raises(SceneError, match="without finite bounds, where one coordinate may move as far as it likes"):
        Margin(norm="l0")(Boundary(linear_classifier()), x, torch.tensor([0, 1]))
    with pytest.raises(SceneError, match="method is fab, which does not search in l0"):
        Margin(norm="l0", method="fab")
    with pytest.raises(SceneError, match="has the norm l0"):
        Speed(search=Margin(norm="l0"))
    for settings, text in (
        ({"probes": ("certified",)}, "--probe certified needs a distance that varies smoothly"),
        ({"probes": ("margin", "curvature")}, "--probe curvature needs a distance that varies smoothly"),
        ({"method": "pgd"}, "--method pgd searches in other norms"),
        ({"bounds": "none"}, "without bounds one coordinate moves as far as it likes"),
    ):
        with pytest.raises(UsageError, match=text):
            ProbeConfig(norm="l0", **settings)  # type: ignore[arg-type]


def test_pixels_of_a_robust_network_are_fewer_than_published(shared_data: Path) -> None:
    """On 64 images sigma-zero has means of 24.4, 16.9 and 15.7 after 30, 100 and 300 passes (adv-lib 0.2.8)."""
    images = load_images(f"mnist:{shared_data}/mnist", "test")
    network = load_model("mnist_convnet", shared_data / "checkpoints" / "mnist_pgd.pth").float()
    x, y = images.batch(torch.arange(32))
    means = [
        float(Margin(norm="l0", max_passes=passes)(Boundary(network, (0, 1)), x, y).columns["margin"].abs().mean())
        for passes in (30.0, 100.0, 300.0)
    ]
    assert means[0] < 22 and means[1] < 16 and means[2] < 12
