"""Samples as people have them: folders and arrays without splits, other names, vectors, other ranges, and tables."""

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dimple.data import Images, Points, load_images, load_samples
from dimple.data.image_data import ImageFolder
from dimple.errors import DataError, SceneError, UsageError
from tests.data.image_files import packed

STREAM = np.random.Generator(np.random.PCG64(0))


def write_images(folder: Path, classes: dict[str, int], size: int = 4) -> None:
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((size, size, 3), number + 1, dtype=np.uint8)
            pixels[..., 0] = 200
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_folder_of_classes_is_both_splits(form: str, tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"b10": 2, "B9": 1, "a": 3})
    path = tmp_path / "images"
    if form == "archive":
        members = {f"set/{file.relative_to(path)}": file.read_bytes() for file in sorted(path.rglob("*.png"))}
        path = packed(tmp_path / "images.tar", members)
    train, test = (load_images(f"folder:{path}", split) for split in ("train", "test"))  # type: ignore[arg-type]
    # The order of ImageFolder of torchvision: as strings.
    assert test.classes == ("B9", "a", "b10")
    assert test.y.tolist() == [0, 1, 1, 1, 2, 2]
    assert torch.equal(train.pixels, test.pixels) and not test.is_split
    with pytest.raises(SceneError, match="no training and test images of their own"):
        ImageFolder(path=str(path)).sample(None, 0)


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
def test_the_folder_of_the_test_split_has_any_of_its_names(name: str, tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 2, "b": 1})
    write_images(tmp_path / name, {"a": 1, "b": 2})
    test = load_images(f"folder:{tmp_path}", "test")
    assert test.y.tolist() == [0, 1, 1] and test.is_split
    assert load_images(f"folder:{tmp_path}", "train").y.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (("x_train", "y_train"), ("x_test", "y_test")),
        (("X_train", "y_train"), ("X_test", "y_test")),
        (("X_train", "Y_train"), ("X_val", "Y_val")),
        (("train_images", "train_labels"), ("test_images", "test_labels")),
        (("train_images", "train_labels"), ("val_images", "val_labels")),
    ],
)
def test_arrays_are_found_under_their_usual_names(
    train: tuple[str, str], test: tuple[str, str], tmp_path: Path
) -> None:
    x = STREAM.integers(0, 256, (5, 6, 6, 3)).astype(np.uint8)
    labels = np.array([[0], [1], [2], [1], [0]])
    np.savez(tmp_path / "a.npz", **{train[0]: x, train[1]: labels, test[0]: x[:2], test[1]: labels[:2]})
    with pytest.warns(UserWarning, match="are read with channels last"):
        found = load_images(f"npz:{tmp_path / 'a.npz'}", "test")
    assert found.classes == ("0", "1", "2") and found.y.tolist() == [0, 1] and found.is_split
    assert torch.equal(found.pixels, torch.from_numpy(x[:2]).permute(0, 3, 1, 2))


def test_arrays_without_splits_are_both(tmp_path: Path) -> None:
    x = STREAM.random((5, 1, 4, 4))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(5) % 2)
    for split in ("train", "test"):
        found = load_samples(f"npz:{tmp_path / 'a.npz'}", split)  # type: ignore[arg-type]
        assert isinstance(found, Images) and len(found) == 5 and not found.is_split


def test_vectors_are_points_of_the_full_space_or_of_the_bounds(tmp_path: Path) -> None:
    x = 3 * STREAM.standard_normal((20, 4))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(20) % 3, x_test=x[:5], y_test=np.arange(5) % 3)
    spec = f"npz:{tmp_path / 'a.npz'}"
    found = load_samples(spec, "test")
    assert isinstance(found, Points) and found.bounds is None and found.shape == (4,)
    assert torch.equal(found.x, torch.from_numpy(x[:5]))
    bounded = load_samples(spec, "test", bounds=(-20.0, 20.0))
    assert str(bounded.bounds) == str(type(bounded.bounds)(-20.0, 20.0))
    with pytest.raises(DataError, match=r"values must lie in the bounds -1 to 1, and they are from"):
        load_samples(spec, "test", bounds=(-1.0, 1.0))
    with pytest.raises(DataError, match="holds vectors, and images are needed"):
        load_images(spec, "test")


def test_floats_of_any_range_are_read_with_their_bounds(tmp_path: Path) -> None:
    x = (STREAM.random((4, 1, 3, 3)) * 2 - 1).astype(np.float32)
    x[0, 0, 0, 0] = -0.9
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(4) % 2)
    spec = f"npz:{tmp_path / 'a.npz'}"
    with pytest.raises(
        DataError, match=r"values must lie in \[0, 1\].*or give their range, as --bounds -0\.\d+,0\.\d+"
    ):
        load_images(spec, "test")
    assert torch.equal(load_images(spec, "test", bounds=(-1.0, 1.0)).x, torch.from_numpy(x))
    free = load_images(spec, "test", bounds="none")
    assert free.bounds is None and torch.equal(free.x, torch.from_numpy(x))
    with pytest.raises(UsageError, match="give the lower one first"):
        load_images(spec, "test", bounds=(1.0, -1.0))


def test_bytes_stay_levels_only_where_the_bounds_say_so(tmp_path: Path) -> None:
    x = STREAM.integers(0, 256, (4, 1, 3, 3)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(4) % 2)
    spec = f"npz:{tmp_path / 'a.npz'}"
    levels = torch.from_numpy(x).float()
    for bounds, expected in (
        ("data", levels / 255),
        ("none", levels / 255),
        ((0.0, 255.0), levels),
        ((-1.0, 1.0), levels / 255),
    ):
        assert torch.equal(load_images(spec, "test", bounds=bounds).x, expected)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="outside the bounds"):
        load_images(spec, "test", bounds=(0.0, 100.0))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_gives_its_points_and_classes(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "b": [0.5, -1.0, 2.0, 1e-3], "kind": ["yes", "no", "no", "maybe"]})
    path = tmp_path / f"t{suffix}"
    match suffix:
        case ".csv":
            # With the numbers of the rows, as pandas writes them.
            frame.to_csv(path)
        case ".tsv":
            frame.to_csv(path, sep="\t", index=False)
        case _:
            frame.to_parquet(path)
    found = load_samples(f"points:{path}", "test", label="kind")
    assert isinstance(found, Points)
    assert found.x.tolist() == [[1, 0.5], [2, -1], [3, 2], [4, 1e-3]]
    assert found.classes == ("maybe", "no", "yes") and found.y.tolist() == [2, 1, 1, 0]


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([0, 1, 3, 0], ("0", "1", "2", "3"), [0, 1, 3, 0]),
        ([-1, 1, 1, -1], ("-1", "1"), [0, 1, 1, 0]),
        ([1.0, 2.0, 1.0, 3.0], ("1", "2", "3"), [0, 1, 0, 2]),
        ([True, False, True, True], ("False", "True"), [1, 0, 1, 1]),
        (["10", "9", "10", "9"], ("9", "10"), [1, 0, 1, 0]),
    ],
)
def test_labels_of_a_table_are_class_numbers_or_sorted(
    labels: list[object], classes: tuple[str, ...], numbers: list[int], tmp_path: Path
) -> None:
    pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "Label": labels}).to_csv(tmp_path / "t.csv", index=False)
    is_renumbered = classes[0] in ("-1", "1", "9")
    rest = f", and {classes[1]} as class 1$" if len(classes) == 2 else f", {classes[1]} as class 1, and so on to "
    message = f"do not count from 0: {classes[0]} is read as class 0{rest}"
    with pytest.warns(UserWarning, match=message) if is_renumbered else contextlib.nullcontext():
        found = load_samples(f"points:{tmp_path / 't.csv'}", "train")
    assert (found.classes, found.y.tolist()) == (classes, numbers)


def test_a_column_of_a_table_tells_the_splits_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "split": ["train", "val", "Train"], "y": ["b", "a", "c"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    train, test = (load_samples(f"points:{tmp_path / 't.csv'}", split) for split in ("train", "test"))  # type: ignore[arg-type]
    assert train.classes == test.classes == ("a", "b", "c")
    assert (train.y.tolist(), test.y.tolist()) == ([1, 2], [0])
    assert train.is_split


@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        (
            "a,b\n1,2\n",
            None,
            r"has no column label, class, target, y; name the column of the labels by --label \(its columns are a, b\)",
        ),
        ("a,label,y\n1,0,0\n", None, "several columns that may be the label"),
        ("a,kind\n1,0\n", "knd", "has no column 'knd'; did you mean 'kind'"),
        ("a,b,y\n1,red,0\n2,blue,1\n", None, "column 'b' holds 'red'; coordinates are numbers"),
        ("a,y\n1,0\n,1\n", None, "column 'a' has no finite number in row 1"),
        ("a,y\n1,0\n2,\n", None, "column 'y' has no label in row 1"),
        ("a,y\n1,0.5\n2,0.7\n", None, "labels are classes, not measures"),
        ("a,y\n1,x\n2,x\n", None, "has 1 different labels"),
        ("y\n1\n0\n", None, "has no coordinates beside 'y'"),
        ("", None, "is not a readable table"),
        ('a,y\n"1,0\n', None, "is not a readable table"),
    ],
)
def test_a_bad_table_is_answered_with_a_sentence(text: str, label: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_samples(f"points:{tmp_path / 't.csv'}", "test", label=label)
    assert "\n" not in str(caught.value)
