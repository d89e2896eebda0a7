"""Tests of images as the data of a scene."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.data import CIFAR10, MNIST, Digits, ImageArrays, ImageFolder, load_images
from dimple.data.source import choose_balanced_rows
from dimple.errors import MissingDataError, SceneError, UsageError
from dimple.locations import locate_dataset


def test_all_images_are_those_of_the_data_set() -> None:
    splits = Digits().sample(None, 0)
    images = load_images("digits", "train")
    assert torch.equal(splits.train, images.x) and torch.equal(splits.train_labels, images.y)
    assert splits.classes == images.classes and splits.bounds == images.bounds and splits.source == "digits"
    assert len(splits.heldout) == 0 and splits.shape == (1, 8, 8)


def test_kept_classes_are_numbered_in_their_order() -> None:
    splits = Digits(classes=(7, 1)).sample(None, 0)
    images = load_images("digits", "test")
    assert splits.classes == ("7", "1")
    assert torch.equal(splits.test[splits.test_labels == 0], images.x[images.y == 7])
    assert torch.equal(splits.test[splits.test_labels == 1], images.x[images.y == 1])


def test_the_halves_are_disjoint_and_together_all() -> None:
    first, second = (Digits(half=half).sample(None, seed).train for half, seed in (("first", 0), ("second", 5)))
    together = np.unique(torch.cat([first, second]).flatten(1).numpy(), axis=0)
    assert len(together) == len(np.unique(load_images("digits", "train").x.flatten(1).numpy(), axis=0))
    assert len(first) + len(second) == len(load_images("digits", "train"))


def test_halves_with_different_classes_are_disjoint() -> None:
    few, many = Digits(half="first", classes=(3, 5)), Digits(half="second", classes=(5, 3, 8))
    first, second = (set(map(tuple, data.sample(None, 0).train.flatten(1).tolist())) for data in (few, many))
    assert 100 < len(first) < 190 and not first & second


def test_a_subset_depends_on_the_seed_alone() -> None:
    one, same, other = (Digits(subset=50).sample(None, seed) for seed in (1, 1, 2))
    assert torch.equal(one.train, same.train) and not torch.equal(one.train, other.train)


def test_projected_images_lie_in_their_tangent_space() -> None:
    splits = Digits(pca=6, classes=(0, 1)).sample(None, 0)
    images = Digits(classes=(0, 1)).sample(None, 0)
    assert splits.tangents is not None and splits.bounds is None
    basis = splits.tangents.tangent_basis(splits.train)
    assert basis.shape == (len(splits.train), 64, 6)
    assert torch.allclose(basis[0].T @ basis[0], torch.eye(6), atol=1e-5)
    difference = (splits.test - splits.test[:1]).flatten(1)
    assert torch.allclose(difference @ basis[0] @ basis[0].T, difference, atol=1e-5)
    # The projection explains as much variance as the six largest singular values say.
    x = images.train.flatten(1).double()
    total = torch.linalg.svdvals(x - x.mean(0)).square()
    kept = (splits.train.flatten(1).double() - x.mean(0)).square().sum()
    assert float(kept / total[:6].sum()) == pytest.approx(1, abs=1e-5)


def test_measured_rows_are_balanced() -> None:
    splits = Digits(measured=40).sample(None, 0)
    assert splits.train_labels[splits.train_rows].bincount().tolist() == [4] * 10
    assert splits.test_labels[splits.test_rows].bincount().tolist() == [4] * 10
    rare = torch.tensor([0] * 95 + [1] * 5)
    assert rare[choose_balanced_rows(rare, 20, torch.Generator())].bincount().tolist() == [15, 5]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (Digits(classes=(3,)), r"data.classes is \[3\]; give at least two"),
        (Digits(classes=(3, 10)), "from 0 to 9"),
        (Digits(subset=100_000), "data.subset is 100000 and digits train has 1442 such images"),
        (Digits(pca=65), "data.pca is 65, and the training images span 61 dimensions"),
    ],
)
def test_what_the_data_set_cannot_give_is_refused(data: Digits, problem: str) -> None:
    with pytest.raises(SceneError, match=problem):
        data.sample(None, 0)


def test_a_data_set_is_looked_for_in_the_named_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DIMPLE_DATA", str(tmp_path / "data"))
    with pytest.raises(MissingDataError, match=r"needs cifar10, .* give --data cifar10:PATH"):
        CIFAR10().sample(None, 0)
    with pytest.raises(MissingDataError, match=r"needs folder, .* give --data folder:PATH"):
        ImageFolder().sample(None, 0)
    (tmp_path / "cache" / "dimple" / "mnist").mkdir(parents=True)
    assert locate_dataset("mnist") == f"mnist:{tmp_path / 'cache' / 'dimple' / 'mnist'}"
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    assert locate_dataset("mnist") == f"mnist:{tmp_path / 'data' / 'mnist'}"
    assert locate_dataset("mnist", "mnist:elsewhere") == "mnist:elsewhere"
    with pytest.raises(UsageError, match="write mnist:PATH"):
        locate_dataset("mnist", "cifar10:elsewhere")


def test_images_of_an_npz_file(tmp_path: Path) -> None:
    x = torch.randint(0, 256, (12, 2, 5, 5), generator=torch.Generator(), dtype=torch.uint8).numpy()
    y = np.arange(12) % 3
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
    splits = ImageArrays(path=str(tmp_path / "own.npz"), test=6).sample(None, 0)
    assert splits.shape == (2, 5, 5) and len(splits.classes) == 3
    assert torch.equal(splits.train, torch.from_numpy(x).float() / 255)


def test_mnist_in_the_folder_of_real_data(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMPLE_DATA", str(shared_data))
    splits = MNIST(subset=100, test=50, classes=(3, 5)).sample(None, 0)
    assert splits.train.shape == (100, 1, 28, 28) and len(splits.test) == 50
