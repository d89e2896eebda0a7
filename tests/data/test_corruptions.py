"""Corruptions of images: laws that all of them obey, and what each is known to keep."""

import math

import pytest
import torch
from torch import Tensor

from dimple.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt, scramble
from dimple.data.images import load_images
from dimple.errors import ShapeError
from dimple.tensors import generator

every_corruption = pytest.mark.parametrize("name", CORRUPTIONS)
SHAPES = ((1, 8, 8), (3, 32, 32), (1, 28, 28), (1, 10, 7))


def images(shape: tuple[int, int, int]) -> Tensor:
    return torch.rand(4, *shape, generator=generator(0, "images"))


def test_there_are_four_families_of_at_least_twelve_corruptions() -> None:
    assert len(CORRUPTIONS) >= 12
    assert len({family for family, _, _ in CORRUPTIONS.values()}) == 4
    assert {len(strengths) for _, _, strengths in CORRUPTIONS.values()} == {SEVERITIES}


@every_corruption
@pytest.mark.parametrize("shape", SHAPES)
def test_results_are_images_that_depend_on_the_generator_alone(name: str, shape: tuple[int, int, int]) -> None:
    x = images(shape)
    before = x.clone()
    first, again = (corrupt(x, name, 3, generator(1, "corruption")) for _ in range(2))
    assert torch.equal(x, before)
    assert torch.equal(first, again)
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


@every_corruption
def test_each_severity_changes_images_more_than_the_one_before(name: str) -> None:
    x = load_images("digits", "test").x
    changes = [
        float((corrupt(x, name, severity, generator(0, name)) - x).square().mean())
        for severity in range(1, SEVERITIES + 1)
    ]
    assert changes == sorted(changes)
    assert changes[0] > 0
    assert len(set(changes)) == SEVERITIES


@pytest.mark.parametrize("name", ["gaussian_blur", "box_blur", "motion_blur", "contrast", "pixelate", "scramble"])
def test_a_uniform_image_stays(name: str) -> None:
    x = torch.full((2, 1, 8, 8), 0.3, dtype=torch.float64)
    assert torch.allclose(corrupt(x, name, 5, torch.Generator()), x)


def test_noise_has_its_standard_deviation() -> None:
    x = torch.full((1, 1, 300, 300), 0.5, dtype=torch.float64)
    deviations = {
        name: float((CORRUPTIONS[name][1](x, 0.1, torch.Generator()) - x).std())
        for name in ("gaussian_noise", "shot_noise", "speckle_noise")
    }
    expected = {"gaussian_noise": 0.1, "shot_noise": 0.1 * math.sqrt(0.5), "speckle_noise": 0.05}
    assert deviations == pytest.approx(expected, rel=0.02)
    changed = CORRUPTIONS["impulse_noise"][1](x, 0.2, torch.Generator()) != x
    assert float(changed.double().mean()) == pytest.approx(0.2, abs=0.01)


def test_scrambled_images_keep_their_values_and_patches() -> None:
    x = images((3, 32, 32))
    moved = scramble(x, 1.0, torch.Generator())
    assert torch.equal(moved.flatten(2).sort(2).values, x.flatten(2).sort(2).values)
    first = {tuple(patch.flatten().tolist()) for patch in x[0].unfold(1, 8, 8).unfold(2, 8, 8).flatten(1, 2)[0]}
    last = {tuple(patch.flatten().tolist()) for patch in moved[0].unfold(1, 8, 8).unfold(2, 8, 8).flatten(1, 2)[0]}
    assert first == last
    assert torch.equal(scramble(x, 0.0, torch.Generator()), x)


def test_contrast_and_blocks_keep_means() -> None:
    x = images((1, 8, 8)).double()
    faint = corrupt(x, "contrast", 4, torch.Generator())
    assert torch.allclose(faint.mean(dim=(2, 3)), x.mean(dim=(2, 3)))
    coarse = corrupt(x, "pixelate", 2, torch.Generator())
    assert torch.allclose(torch.nn.functional.avg_pool2d(coarse, 2), torch.nn.functional.avg_pool2d(x, 2))


def test_motion_blur_keeps_rows_apart() -> None:
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1
    blurred = corrupt(x, "motion_blur", 3, torch.Generator())[0, 0]
    assert torch.nonzero(blurred.sum(1)).flatten().tolist() == [4]
    assert int((blurred[4] > 0).sum()) == 5
    assert float(blurred.sum()) == pytest.approx(1.0, abs=1e-6)


def test_rounding_of_blocks_in_fine_steps_changes_little() -> None:
    x = images((1, 10, 7)).double()
    _, function, _ = CORRUPTIONS["block_rounding"]
    assert float((function(x, 1e-6, torch.Generator()) - x).abs().max()) < 1e-5


def test_a_disc_stays_when_it_is_rotated_and_moves_when_it_is_shifted() -> None:
    axis = torch.arange(32) - 15.5
    x = (axis[:, None] ** 2 + axis**2 < 64).double()[None, None]
    assert float((corrupt(x, "rotate", 5, torch.Generator()) - x).abs().mean()) < 0.02
    wide = torch.nn.functional.pad(x, (10, 10))
    assert float((corrupt(wide, "rotate", 5, torch.Generator()) - wide).abs().mean()) < 0.02
    shifted = corrupt(x, "translate", 5, torch.Generator())[0, 0]
    shift = (shifted.sum(0) @ axis.double()) / shifted.sum()
    assert abs(float(shift)) == pytest.approx(0.18 * 32, rel=0.01)


def test_other_samples_and_severities_are_refused() -> None:
    with pytest.raises(ShapeError, match="need images"):
        corrupt(torch.zeros(2, 5), "contrast", 1, torch.Generator())
    with pytest.raises(ShapeError, match="severity is 6"):
        corrupt(torch.zeros(2, 1, 8, 8), "contrast", 6, torch.Generator())
