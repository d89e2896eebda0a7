"""Image sets made of another one: the same images through the functions that make them, and their classes."""

from typing import get_args

import pytest
import torch

from dimple.data import Digits
from dimple.data.corruptions import CORRUPTIONS, corrupt
from dimple.data.cues import contours, silhouettes
from dimple.data.transforms import Transform, transform_images
from dimple.errors import SceneError
from dimple.tensors import generator


def test_every_corruption_is_a_transform() -> None:
    assert set(get_args(Transform)) == {"silhouettes", "contours", "stylized", "cue_conflict", *CORRUPTIONS}


@pytest.mark.parametrize("name", get_args(Transform))
def test_transformed_images_are_images_of_the_same_shape_and_differ(name: Transform) -> None:
    splits = Digits(subset=40).sample(None, 0)
    x = transform_images(splits.train, splits.train_labels, name, 3, generator(0, name))
    assert x.shape == splits.train.shape and x.dtype == splits.train.dtype
    assert float(x.min()) >= 0 and float(x.max()) <= 1 and not torch.equal(x, splits.train)


def test_a_scene_shows_the_transformed_images_of_the_same_choice() -> None:
    plain = Digits(subset=60, test=30).sample(None, 5)
    made = Digits(subset=60, test=30, transform="contours").sample(None, 5)
    assert torch.equal(made.train, contours(plain.train)) and torch.equal(made.test, contours(plain.test))
    assert torch.equal(made.train_labels, plain.train_labels) and torch.equal(made.test_rows, plain.test_rows)


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_split_alone_is_transformed(split: str) -> None:
    plain = Digits(subset=60, test=30).sample(None, 5)
    settings = {"transform": "gaussian_noise", "severity": 5, "transformed": split}
    made = Digits(subset=60, test=30, **settings).sample(None, 5)  # type: ignore[arg-type]
    other = "test" if split == "train" else "train"
    assert torch.equal(getattr(made, other), getattr(plain, other))
    stream = generator(5, f"transformed {split} images")
    assert torch.equal(getattr(made, split), corrupt(getattr(plain, split), "gaussian_noise", 5, stream))


def test_the_texture_of_conflicting_cues_is_that_of_another_class() -> None:
    """Each class has a gray of its own, of which the texture is half, and the same silhouette."""
    y = torch.arange(90) % 3
    x = torch.zeros(90, 1, 8, 8)
    x[:, :, 2:6, 2:6] = (0.3 * (y + 1))[:, None, None, None]
    conflict = transform_images(x, y, "cue_conflict", 1, generator(0, "cues"))
    texture = 2 * conflict - silhouettes(x)
    gray = texture.flatten(1).max(1).values
    given = (gray / 0.3).round().long() - 1
    assert torch.allclose(gray, 0.3 * (given + 1), atol=1e-5)
    assert bool((given != y).all()) and set(given.tolist()) == {0, 1, 2}


def test_the_texture_of_another_class_needs_another_class() -> None:
    with pytest.raises(SceneError, match="all 3 images of a split have one class"):
        transform_images(torch.zeros(3, 1, 8, 8), torch.ones(3).long(), "cue_conflict", 1, generator(0, "one"))
