"""Augmentation: crops against torch's own padding, mirrored images, and the size of noise."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dimple.data.cues import contours
from dimple.errors import SceneError
from dimple.scene import load_scene
from dimple.tensors import Box, generator
from dimple.training import AUGMENTATIONS, Stop, Training
from dimple.training.augmentation import Contour, Crop, Flip, Noise, Stylize


def images(count: int = 200) -> torch.Tensor:
    return torch.rand(count, 2, 5, 6, generator=generator(0, "images"))


def test_a_crop_is_one_of_all_shifts_of_the_padded_image_with_equal_probability() -> None:
    x = images()
    cropped = Crop(padding=1)(x, generator(0, "crop"))
    padded = functional.pad(x, (1, 1, 1, 1))
    shifts = torch.stack([padded[:, :, i : i + 5, j : j + 6] for i in range(3) for j in range(3)])
    matches = (shifts == cropped).flatten(2).all(2)
    assert torch.equal(matches.sum(0), torch.ones(200, dtype=torch.long))
    expected = 200 / 9
    # The 99.9 % quantile of chi-square with eight degrees of freedom.
    assert float(((matches.sum(1) - expected) ** 2 / expected).sum()) < 26.1


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_images_are_mirrored_with_the_given_probability(probability: float) -> None:
    x = images(1000)
    flipped = Flip(probability=probability)(x, generator(0, "flip"))
    is_mirrored = (flipped == x.flip(-1)).flatten(1).all(1)
    assert torch.equal(flipped[~is_mirrored], x[~is_mirrored])
    assert float(is_mirrored.double().mean()) == pytest.approx(probability, abs=0.05)


def test_noise_has_its_standard_deviation() -> None:
    noise = Noise(std=0.3)(torch.zeros(100, 100), generator(0, "noise"))
    assert float(noise.std()) == pytest.approx(0.3, rel=0.03)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_images_become_contours_with_the_given_probability(probability: float) -> None:
    x = images(400)
    changed = Contour(probability=probability)(x, generator(0, "contour"))
    edges = contours(x)
    is_changed = (changed == edges).flatten(1).all(1)
    assert torch.equal(changed[~is_changed], x[~is_changed])
    assert float(is_changed.double().mean()) == pytest.approx(probability, abs=0.07)


def test_stylized_images_keep_the_means_of_patches_and_get_new_waves_in_each_step() -> None:
    x = torch.full((64, 1, 32, 32), 0.5)
    styled = [Stylize(probability=1.0)(x, generator(0, "style", step)) for step in (0, 1)]
    means = functional.avg_pool2d(styled[0], 16)
    assert float((means - 0.5).abs().mean()) < 0.02
    # Of waves of root mean square 0.1, those of two steps are not correlated.
    assert float(styled[0].std()) == pytest.approx(0.1, rel=0.1)
    assert abs(float(torch.corrcoef(torch.stack([one.flatten() for one in styled]))[0, 1])) < 0.1


@pytest.mark.parametrize("kind", ["crop", "flip", "stylize", "contour"])
def test_points_are_no_images(kind: str) -> None:
    with pytest.raises(SceneError, match=rf"augmentation has {kind}, which needs images of shape \(C, H, W\).*\(3,\)"):
        AUGMENTATIONS[kind]()(torch.zeros(2, 3), generator(0, "x"))


def test_training_sees_other_samples_in_each_step_within_the_bounds() -> None:
    seen: list[torch.Tensor] = []

    class Recorder(nn.Flatten):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.clone())
            return super().forward(x)

    network = nn.Sequential(Recorder(), nn.Linear(60, 2))
    training = Training(augmentation=(Crop(padding=2), Flip(), Noise(std=0.5)), stop=Stop(steps=2))
    training.fit(network, images(8), torch.arange(8) % 2, [], lambda *_: None, bounds=Box())
    assert len(seen) == 3 and not torch.equal(seen[0], seen[1])
    assert float(torch.cat(seen).min()) == 0.0 and float(torch.cat(seen).max()) == 1.0


def test_a_scene_lists_augmentations_by_kind() -> None:
    scene = load_scene("line_in_2d", ["training.augmentation=[{kind: noise, std: 0.05}]"])
    assert scene.training.augmentation == (Noise(std=0.05),)
