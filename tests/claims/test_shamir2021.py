"""The claims of Shamir et al. on planted boundaries over the line of `line_in_2d`, whose height is known."""

import copy
import dataclasses
import functools
import math

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments import Resources, Row
from dimple.claims.experiments.boundary_distance import follow_distance
from dimple.claims.experiments.shamir2021.clinging import describe_training
from dimple.claims.experiments.shamir2021.deepening import compare_dimples
from dimple.claims.experiments.shamir2021.gradient_energy import measure_energies, relative_energy
from dimple.claims.experiments.shamir2021.image_tangents import compare_margins
from dimple.claims.experiments.shamir2021.mislabeling import compare_accuracies, measure_accuracies
from dimple.claims.experiments.shamir2021.perturbation_parts import describe_parts, low_frequency_fraction
from dimple.claims.experiments.shamir2021.restricted_training import compare_costs
from dimple.claims.experiments.shamir2021.sensitivity import CONDITIONS, describe_falls
from dimple.claims.experiments.trained_scene import RecordedTraining, prepare_scene, train, train_together
from dimple.probes.subspaces import Subspace
from dimple.tensors import generator
from tests.claims.flips import Effect, flip_tests
from tests.claims.planted_line import BoundaryAbove, boundary_above, course, dimples, line


def plant(seed: int, heights: list[float], slopes: list[float], depths: list[float]) -> dict[str, Row]:
    return {"line": describe_training(line(seed), course(seed, heights, slopes, depths))}


def plant_cling(effect: Effect, seed: int) -> dict[str, Row]:
    near = {"present": 0.02, "absent": 0.4, "reversed": 0.6}[effect]
    rows = plant(seed, [0.4] * 3 + [near] * 8, [0.0] * 11, dimples(8, 0.02))
    return {part: row | {"fall_permuted": 1.0, "fall_on_data": 1.0} for part, row in rows.items()}


def plant_rotate(effect: Effect, seed: int) -> dict[str, Row]:
    before, after = {"present": (1.0, 0.0), "absent": (1.0, 1.0), "reversed": (0.0, 1.0)}[effect]
    return plant(seed, [0.4] * 3 + [0.02] * 8, [before] * 3 + [after] * 8, dimples(8, 0.02))


def plant_order(effect: Effect, seed: int) -> dict[str, Row]:
    near = {"present": 3, "absent": 8, "reversed": 11}[effect]
    return plant(seed, [0.4] * near + [0.02] * (11 - near), [0.0] * 11, dimples(8, 0.02))


def plant_shallow(effect: Effect, seed: int) -> dict[str, Row]:
    prepared = line(seed)
    spacing = float(prepared.samples.train[:, 0].sort().values.diff().min())
    depth = {"present": 0.3, "absent": 3.0, "reversed": 6.0}[effect] * spacing / 2
    return plant(seed, [0.4] * 3 + [0.02] * 8, [0.0] * 11, dimples(8, depth))


def learned_at(seed: int, index: int, depth: float = 0.01) -> RecordedTraining:
    return course(seed, [0.4] * 3 + [0.01] * 8, [0.0] * 11, dimples(index, depth))


def plant_deepen(effect: Effect, seed: int) -> dict[str, Row]:
    ratio = {"present": 2.0, "absent": 1.0, "reversed": 0.5}[effect]
    row = compare_dimples(line(seed), learned_at(seed, 8), learned_at(seed, 8, 0.01 * ratio))
    return {"": row | {"depth_ratio_longer": 1.0}}


def plant_energy(effect: Effect, seed: int) -> dict[str, Row]:
    slope = {"present": 0.1, "absent": 0.8 if seed % 2 else 1.25, "reversed": 5.0}[effect]
    return {"": measure_energies(line(seed), boundary_above(seed, 0.3, slope)) | {"energy_untrained": 1.0}}


def plant_trade(effect: Effect, seed: int) -> dict[str, Row]:
    off = {"present": 9, "absent": 6, "reversed": 3}[effect]
    arms = {"clean": 5, "on": 6, "off": off, "on_random": 6, "off_random": 6}
    return {"": compare_costs(line(seed), {arm: learned_at(seed, index) for arm, index in arms.items()})}


@functools.cache
def held_fall(seed: int, near: float) -> float:
    trajectory = course(seed, [0.4] * 3 + [near] * 8, [0.0] * 11, dimples(8, 0.02))
    return follow_distance(line(seed), trajectory).curve.last_reduction


def plant_sensitivity(effect: Effect, seed: int) -> dict[str, Row]:
    odd = {"present": 0.04, "absent": 0.4, "reversed": 0.6}[effect]
    return {"": describe_falls({name: held_fall(seed, odd if name == "tanh" else 0.02) for name in CONDITIONS})}


class TwoScores(nn.Module):
    """Two classes of images `(B, 1, 8, 8)`, separated by the hyperplane through the origin with a normal `(64,)`."""

    def __init__(self, normal: Tensor) -> None:
        super().__init__()
        self.normal = nn.Parameter(normal)

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.normal
        return torch.stack([-score, score], dim=1)


def tilted_subspace(dim: int, sine: float) -> Subspace:
    """A subspace of R^64 with the first coordinate axis at an angle of the given sine."""
    basis = torch.eye(64)[:, 8 : 8 + dim].clone()
    basis[8, 0] = math.sqrt(1 - sine**2)
    basis[0, 0] = sine
    return Subspace(basis)


def plant_images(effect: Effect, seed: int) -> dict[str, Row]:
    first = torch.eye(64)[0]
    x = (1 + 0.01 * seed) * torch.stack([first, -first, 2 * first]).reshape(3, 1, 8, 8)
    boundary = Boundary(TwoScores(first))
    y = boundary.predict(x)
    chance = 1.1 if seed % 2 else 1 / 1.1
    energy = {"present": 0.01, "absent": chance, "reversed": 3.0}[effect]
    names = ("exact", "local", "class", "autoencoder", "bottom", "untrained", "decoder", "noise")
    fields = {name: tilted_subspace(8, math.sqrt(energy * 8 / 64)) for name in names}
    row = compare_margins(boundary, x, y, fields, 39, 10.0, seed)
    for dim in (2, 4, 8, 16):
        row[f"energy_{dim}"] = relative_energy(boundary, x, tilted_subspace(dim, math.sqrt(energy * dim / 64)))
    return {"": row | {"energy_random": 1.0}}


def plant_parts(effect: Effect, seed: int) -> dict[str, Row]:
    waves = torch.zeros(2, 8, 8)
    waves[0] = 1.0
    waves[1, ::2, ::2] = waves[1, 1::2, 1::2] = 1.0
    waves[1, ::2, 1::2] = waves[1, 1::2, ::2] = -1.0
    smooth, rough = (wave.flatten() / 8 for wave in waves)
    along, off = (rough, smooth) if effect == "reversed" else (smooth, rough)
    judged = {"present": along, "absent": along + off, "reversed": off}[effect]
    x = (1 + 0.01 * seed) * torch.stack([along + off, -along - off]).reshape(2, 1, 8, 8)
    prepared = prepare_scene("digits", ["data.subset=100", "data.test=50", "data.measured=10"], seed, Resources())
    samples = dataclasses.replace(
        prepared.samples, test=x, test_labels=torch.tensor([1, 0]), test_rows=torch.arange(2), bounds=None
    )
    prepared = dataclasses.replace(prepared, samples=samples)
    return {"": describe_parts(prepared, TwoScores(along + off), TwoScores(judged), Subspace(along[:, None]), 3.0)}


def learned(seed: int, sign: float) -> BoundaryAbove:
    """All points right for a positive sign, wrong for a negative one, in one class for zero."""
    return boundary_above(seed, 0.3, 0.0, 0.02 * sign)


def plant_mislabel(effect: Effect, seed: int) -> dict[str, Row]:
    above, below = {"present": (1, -1), "absent": (0, 0), "reversed": (-1, 1)}[effect]
    signs = {"above": above, "below": below, "noise": 0, "free": above}
    networks = {arm: learned(seed, sign) for arm, sign in signs.items()}
    return {"": measure_accuracies(line(seed), networks) | {"depth_first": 0.1}}


def plant_mislabel_images(effect: Effect, seed: int) -> dict[str, Row]:
    sign = {"present": 1, "absent": 0, "reversed": -1}[effect]
    signs = {"random": sign, "next": sign, "labels": 0, "noise": 0, "errors": 0}
    return {"": compare_accuracies(line(seed), {arm: learned(seed, one) for arm, one in signs.items()})}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "shamir2021",
    {
        "cling": plant_cling,
        "rotate": plant_rotate,
        "order": plant_order,
        "shallow": plant_shallow,
        "deepen": plant_deepen,
        "energy": plant_energy,
        "trade": plant_trade,
        "sensitivity": plant_sensitivity,
        "off": plant_images,
        "off_digits": plant_images,
        "off_cifar10": plant_images,
        "off_signals": plant_images,
        "energy_digits": plant_images,
        "parts": plant_parts,
        "mislabel": plant_mislabel,
        "mislabel_digits": plant_mislabel_images,
        "mislabel_mnist": plant_mislabel_images,
    },
)


def test_a_planted_boundary_is_where_it_is_said_to_be() -> None:
    row = plant_cling("present", 0)["line"]
    assert math.isclose(row["fall"], 20.0, rel_tol=0.02)


def test_little_is_left_of_the_fall_of_a_boundary_that_sweeps_across_the_manifold() -> None:
    row = plant(0, [0.4, 0.02, 0.4] + [0.4] * 8, [0.0] * 11, dimples(8, 0.02))["line"]
    assert math.isclose(row["fall_held"], 1.0, rel_tol=0.02)


def test_networks_trained_together_are_those_trained_alone() -> None:
    arms = [prepare_scene("sphere_in_3d", ["training.steps=20", "snapshots.count=3"], 0, Resources())] * 2
    networks = [arms[0].initial_network(), arms[0].initial_network()]
    with torch.no_grad():
        networks[1][-1].bias.zero_()  # type: ignore[operator, union-attr, index]
    together = train_together(arms, copy.deepcopy(networks))
    for arm, network, found in zip(arms, networks, together, strict=True):
        alone = train(arm, network)
        assert found.steps == alone.steps
        for one, other in zip(found.networks, alone.networks, strict=True):
            for p, q in zip(one.parameters(), other.parameters(), strict=True):
                torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


def test_the_energy_of_a_tilted_boundary_is_that_of_its_slope() -> None:
    row = measure_energies(line(0), boundary_above(0, 0.3, 0.5))
    assert math.isclose(row["energy"], 2 * 0.25 / 1.25, rel_tol=1e-5)


def test_the_boundary_between_points_is_half_their_distance_away_along_the_line() -> None:
    row = compare_dimples(line(0), learned_at(0, 8), learned_at(0, 8, 0.03))
    assert math.isclose(row["lateral_ratio"], 1.0, rel_tol=0.02)
    assert math.isclose(row["depth_ratio"], 3.0, rel_tol=0.02)


def test_a_margin_within_a_tilted_subspace_is_the_free_one_over_the_sine_of_the_angle() -> None:
    first = torch.eye(64)[0]
    boundary = Boundary(TwoScores(first))
    x = first.reshape(1, 1, 8, 8)
    row = compare_margins(boundary, x, torch.tensor([1]), {"local": tilted_subspace(8, 0.25)}, 3, 10.0, 0)
    assert math.isclose(row["on_local"], 4.0, rel_tol=1e-3)
    assert math.isclose(row["off"], 1 / math.sqrt(1 - 0.25**2), rel_tol=1e-3)


def test_the_low_frequencies_of_white_noise_have_the_fraction_of_their_number() -> None:
    noise = torch.randn(4000, 1, 8, 8, generator=generator(0, "white"), dtype=torch.float64).numpy()
    assert math.isclose(low_frequency_fraction(noise).mean(), 10 / 64, rel_tol=0.02)
