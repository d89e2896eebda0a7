"""Silhouettes, contours, swapped textures and images of concepts, against what they are made from."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dimple.data.concept_images import draw_concepts
from dimple.data.cues import contours, cue_conflict, silhouettes, stylize
from dimple.data.images import load_images
from dimple.tensors import generator


def disc(inside: float, outside: float, size: int = 32) -> Tensor:
    axis = torch.arange(size) - (size - 1) / 2
    return torch.where(axis[:, None] ** 2 + axis**2 < (size / 4) ** 2, inside, outside)[None, None]


@pytest.mark.parametrize(("inside", "outside"), [(0.9, 0.1), (0.1, 0.9), (0.5, 0.3)])
def test_a_disc_of_any_contrast_has_one_silhouette(inside: float, outside: float) -> None:
    noise = 0.02 * torch.randn(1, 3, 32, 32, generator=torch.Generator())
    assert torch.equal(silhouettes(disc(inside, outside) + noise), disc(1.0, 0.0).expand(1, 3, 32, 32))


def test_a_uniform_image_has_neither_silhouette_nor_contour() -> None:
    x = torch.full((2, 1, 16, 16), 0.7)
    assert float(silhouettes(x).max()) == 0
    assert float(contours(x).max()) == 0


def test_the_contour_of_a_disc_is_a_closed_line_of_one_or_two_pixels_at_its_edge() -> None:
    edge = contours(disc(1.0, 0.0))[0, 0]
    axis = torch.arange(32) - 15.5
    radius = (axis[:, None] ** 2 + axis**2).sqrt()[edge > 0]
    assert bool(((radius > 6.5) & (radius < 9.5)).all())
    assert 30 <= len(radius) <= 80


def test_contours_are_those_of_scikit_image() -> None:
    feature = pytest.importorskip("skimage.feature")
    x = load_images("digits", "test").x[:40]
    x = torch.cat(
        [functional.interpolate(x, size=28, mode="bilinear"), torch.rand(20, 1, 28, 28, generator=torch.Generator())]
    )
    expected = np.stack(
        [feature.canny(image, sigma=0.4, low_threshold=0.35, high_threshold=0.9) for image in x[:, 0].double().numpy()]
    )
    assert np.array_equal(contours(x)[:, 0].numpy() > 0, expected)


def test_a_stylized_image_keeps_its_patches_and_loses_its_detail() -> None:
    x = 0.5 + 0.1 * torch.randn(50, 1, 32, 32, generator=torch.Generator()).clamp(-2, 2)
    styled = stylize(x, generator(0, "style"))
    means = functional.avg_pool2d(x, 4)
    assert float((functional.avg_pool2d(styled, 4) - means).abs().mean()) < 0.05
    up = functional.interpolate(means, size=32)
    detail = torch.corrcoef(torch.stack([(x - up).flatten(), (styled - up).flatten()]))[0, 1]
    assert abs(float(detail)) < 0.02
    assert torch.equal(styled, stylize(x, generator(0, "style")))


def test_conflicting_cues_are_the_outline_of_one_image_and_the_values_of_the_other() -> None:
    shape, texture = disc(1.0, 0.0), torch.rand(1, 1, 32, 32, generator=torch.Generator())
    x = cue_conflict(shape, texture, generator(0, "cues"))
    values = 2 * x - silhouettes(shape)
    assert torch.allclose(values.flatten().sort().values, texture.flatten().sort().values, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_concepts_lie_within_their_masks(channels: int) -> None:
    images = draw_concepts((channels, 32, 32), 20, generator(0, "concepts"))
    outside = images.x.masked_fill(images.mask[:, None], torch.nan)
    assert float((outside - outside.nanmean(dim=(1, 2, 3), keepdim=True)).abs().nanmean()) < 0.03
    area = images.mask.double().mean(dim=(1, 2))
    assert 0.03 < float(area.min()) <= float(area.max()) < 0.5
    assert images.concept.bincount().tolist() == [20] * 16
    again = draw_concepts((channels, 32, 32), 20, generator(0, "concepts"))
    assert torch.equal(images.x, again.x)


def test_textures_and_colors_fill_their_squares() -> None:
    images = draw_concepts((3, 32, 32), 1, generator(0, "concepts"))
    red = images.x[images.names.index("color 0")]
    mask = images.mask[images.names.index("color 0")]
    assert red[:, mask].mean(1).tolist() == pytest.approx([1.0, 0.1, 0.1], abs=0.02)
    rows = images.names.index("rows")
    region = images.mask[rows]
    means = [float(images.x[rows][0][row][region[row]].mean()) for row in torch.nonzero(region.any(1)).flatten()]
    assert max(means) - min(means) > 0.4
