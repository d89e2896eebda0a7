"""Images from every file format, compared with the arrays from which the files were written."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from dimple.data import Images, load_images
from dimple.errors import DataError, UsageError
from dimple.tensors import Box
from tests.data.image_files import CLASSES, cifar, packed, png_folder, png_members, record_folder, record_members


def test_digits_are_those_of_scikit_learn_split_without_loss() -> None:
    bunch = load_digits()
    train = load_images("digits", "train")
    test = load_images("digits", "test")
    all_pixels = torch.cat([train.x, test.x]).flatten(1)
    expected = torch.from_numpy(bunch.data).float() / 16
    assert len(train) + len(test) == 1797
    assert torch.equal(all_pixels.sort(0).values, expected.sort(0).values)
    assert train.shape == (1, 8, 8)
    assert float(train.x.max()) == 1.0
    for number, count in enumerate(np.bincount(bunch.target)):
        assert int((test.y == number).sum()) == count // 5
    in_both = [number for number in range(len(test)) if bool((train.x == test.x[number]).flatten(1).all(1).any())]
    assert in_both == []


def test_mnist_is_the_published_one(shared_data: Path) -> None:
    train = load_images(f"mnist:{shared_data / 'mnist'}", "train")
    test = load_images(f"mnist:{shared_data / 'mnist'}", "test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.y[:6].tolist() == [5, 0, 4, 1, 9, 2]
    assert test.y[:6].tolist() == [7, 2, 1, 0, 4, 1]
    # The usual mean gray level for the normalization of MNIST.
    assert float(train.pixels.double().mean() / 255) == pytest.approx(0.1307, abs=5e-5)


def test_cifar_has_a_thousand_test_images_a_class(shared_data: Path) -> None:
    archive = shared_data / "cifar10" / "cifar10-imagefolder.tar.xz"
    test = load_images(f"cifar10:{archive}", "test")
    assert test.y.bincount().tolist() == [1000] * 10
    assert test.classes == CLASSES
    assert test.pixels.dtype == torch.uint8
    # The usual means for the normalization of CIFAR-10; the test set and the recompression differ a little.
    means = test.pixels.double().mean(dim=(0, 2, 3)) / 255
    torch.testing.assert_close(means, torch.tensor([0.4914, 0.4822, 0.4465]).double(), rtol=0, atol=0.005)


@pytest.mark.parametrize(
    "form",
    ["records", "records inside", "binary.tar.gz", "binary.tar", "folder", "folder.tar.xz", "a folder with an archive"],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_form_of_cifar_holds_the_same_images(form: str, split: str, tmp_path: Path) -> None:
    sets = {"train": cifar(20, 0), "test": cifar(10, 1)}
    path = tmp_path / "data"
    match form:
        case "records":
            record_folder(path, sets)
        case "records inside":
            record_folder(path / "cifar-10-batches-bin", sets)
        case "binary.tar.gz" | "binary.tar":
            path = packed(tmp_path / form, record_members(sets))
        case "folder":
            png_folder(path, sets)
        case "folder.tar.xz":
            # The members of an archive may come in any order.
            path = packed(tmp_path / form, dict(reversed(png_members(sets).items())))
        case _:
            packed(path / "cifar.tar.bz2", png_members(sets))
    images = load_images(f"cifar10:{path}", split)  # type: ignore[arg-type]
    assert_same(images, *sets[split], in_class_order="folder" in form)
    assert images.classes == CLASSES
    assert images.bounds == Box(0.0, 1.0)


def assert_same(images: Images, pixels: NDArray[np.uint8], labels: NDArray[np.int64], in_class_order: bool) -> None:
    order = np.argsort(labels, kind="stable") if in_class_order else np.arange(len(labels))
    assert images.y.tolist() == labels[order].tolist()
    assert torch.equal(images.x, torch.from_numpy(pixels[order]).float() / 255)


def test_some_classes_have_the_numbers_of_cifar_or_are_numbered_from_zero_as_a_folder(tmp_path: Path) -> None:
    pixels, _ = cifar(4, 0)
    png_folder(tmp_path, {"train": (pixels, np.array([3, 3, 8, 8])), "test": (pixels, np.array([1, 3, 8, 8]))})
    assert load_images(f"cifar10:{tmp_path}", "train").y.tolist() == [3, 3, 8, 8]
    plain = load_images(f"folder:{tmp_path}", "train")
    # The class that only the test split has keeps its number.
    assert plain.classes == ("automobile", "cat", "ship")
    assert plain.y.tolist() == [1, 1, 2, 2]
    with_other = tmp_path / "train" / "zebra"
    with_other.mkdir()
    with pytest.raises(DataError, match="'zebra' is not a class of the data set; its classes are airplane"):
        load_images(f"cifar10:{tmp_path}", "train")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("inside", [".", "MNIST/raw"])
def test_idx_files_are_read_with_and_without_gzip(suffix: str, mark: str, inside: str, tmp_path: Path) -> None:
    pixels = 10 * np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    folder = tmp_path / inside
    folder.mkdir(parents=True, exist_ok=True)
    images = struct.pack(">4I", 0x803, 2, 3, 4) + pixels.tobytes()
    labels = struct.pack(">2I", 0x801, 2) + bytes([7, 0])
    for kind, content in [(f"images{mark}idx3", images), (f"labels{mark}idx1", labels)]:
        (folder / f"t10k-{kind}-ubyte{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    found = load_images(f"mnist:{tmp_path}", "test")
    assert torch.equal(found.pixels[:, 0], torch.from_numpy(pixels))
    assert found.y.tolist() == [7, 0]


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_npz_arrays_come_back_as_they_were(fortran: bool, compressed: bool, tmp_path: Path) -> None:
    stream = np.random.Generator(np.random.PCG64(0))
    floats = stream.random((5, 2, 3, 4))
    gray = stream.integers(0, 256, (3, 4, 4)).astype(np.uint8)
    write = np.savez_compressed if compressed else np.savez
    order = np.asfortranarray if fortran else np.ascontiguousarray
    write(
        tmp_path / "x.npz",
        x_train=order(floats),
        y_train=np.array([0, 1, 2, 1, 0]),
        x_test=order(gray),
        y_test=np.array([0, 1, 1]),
    )
    train = load_images(f"npz:{tmp_path / 'x.npz'}", "train")
    test = load_images(f"npz:{tmp_path / 'x.npz'}", "test")
    assert torch.equal(train.x, torch.from_numpy(floats).float())
    assert torch.equal(test.x[:, 0], torch.from_numpy(gray).float() / 255)
    assert train.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((28, 28, 1), (1, 28, 28)),
        ((32, 32, 3), (3, 32, 32)),
        ((32, 32, 4), (4, 32, 32)),
        ((20, 30, 3), (3, 20, 30)),
    ],
)
def test_channels_last_are_read_as_what_they_are(
    shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path
) -> None:
    x = np.random.Generator(np.random.PCG64(0)).random((2, *shape)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x_test=x, y_test=np.array([0, 1]))
    with pytest.warns(UserWarning, match="are read with channels last, as"):
        images = load_images(f"npz:{tmp_path / 'x.npz'}", "test")
    assert images.shape == expected
    assert torch.equal(images.x, torch.from_numpy(x).permute(0, 3, 1, 2))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (3, 8, 3), (1, 8, 1), (5, 8, 8), (28, 8, 8), (2, 5, 7)])
def test_channels_first_stay_first(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_test=np.zeros((2, *shape), np.uint8), y_test=np.array([0, 1]))
    assert load_images(f"npz:{tmp_path / 'x.npz'}", "test").shape == shape


def test_the_classes_of_an_npz_file_are_those_of_both_splits_or_named(tmp_path: Path) -> None:
    x = np.zeros((40, 8, 8), np.uint8)
    content = {"x_train": x, "y_train": np.arange(40) % 10, "x_test": x[:2], "y_test": np.array([[3], [7]])}
    np.savez(tmp_path / "x.npz", **content)
    for split in ("train", "test"):
        assert load_images(f"npz:{tmp_path / 'x.npz'}", split).classes == tuple("0123456789")  # type: ignore[arg-type]
    names = np.array([b"ant", b"bee", b"cat"])
    none = np.zeros(0, np.uint8)
    np.savez(tmp_path / "y.npz", x_test=x[:2], y_test=np.array([1, 2], np.uint8), y_train=none, classes=names)
    images = load_images(f"npz:{tmp_path / 'y.npz'}", "test")
    assert images.classes == ("ant", "bee", "cat")
    assert images.y.tolist() == [1, 2]


def test_bool_images_are_zeros_and_ones(tmp_path: Path) -> None:
    x = np.eye(4, dtype=bool)[None].repeat(2, 0)
    np.savez(tmp_path / "x.npz", x_test=x, y_test=np.array([0, 1]))
    assert load_images(f"npz:{tmp_path / 'x.npz'}", "test").x.unique().tolist() == [0.0, 1.0]


def test_levels_that_look_dark_give_a_warning(tmp_path: Path) -> None:
    x = np.arange(32, dtype=np.uint8).reshape(2, 4, 4) % 17
    np.savez(tmp_path / "x.npz", x_test=x, y_test=np.array([0, 1]))
    with pytest.warns(UserWarning, match="largest value of all images is 16, where 255 is white; if 16 is white, save"):
        assert float(load_images(f"npz:{tmp_path / 'x.npz'}", "test").x.max()) == pytest.approx(16 / 255)


def test_more_than_ten_classes_of_idx_files_are_those_of_both_splits(tmp_path: Path) -> None:
    for prefix, labels in (("train", [46, 0]), ("t10k", [3, 12])):
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 2, 2, 2) + bytes(8))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 2) + bytes(labels))
    assert len(load_images(f"mnist:{tmp_path}", "test").classes) == 47


def test_a_class_whose_letters_are_written_in_two_forms_is_one_class(tmp_path: Path) -> None:
    pixels, _ = cifar(1, 0)
    png_folder(tmp_path, {"train": (pixels, np.array([3])), "test": (pixels, np.array([3]))})
    (tmp_path / "train" / "cat").rename(tmp_path / "train" / "caf\u00e9")
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "cafe\u0301")
    for split in ("train", "test"):
        assert load_images(f"folder:{tmp_path}", split).classes == ("caf\u00e9",)  # type: ignore[arg-type]


def test_a_batch_holds_the_images_with_these_indices() -> None:
    images = load_images("digits", "test")
    x, y = images.batch(torch.tensor([3, 0, 3]))
    assert torch.equal(x, images.x[[3, 0, 3]])
    assert torch.equal(y, images.y[[3, 0, 3]])


@pytest.mark.parametrize(
    ("indices", "message"), [([], "at least one index"), ([0, 355], "image 355 does not exist"), ([-1], "image -1")]
)
def test_images_that_do_not_exist_are_a_usage_error(indices: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_images("digits", "test").batch(indices)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("minst:x", "did you mean 'mnist'"),
        ("digit", "did you mean 'digits'"),
        ("", "choose digits, cifar10:PATH"),
        ("cifar10:", "write cifar10:PATH"),
        ("hf://x", "names no data set"),
    ],
)
def test_an_unknown_specification_is_a_usage_error(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_images(spec, "test")


def test_a_third_split_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="choose train or test"):
        load_images("digits", "valid")  # type: ignore[arg-type]


def test_an_unclear_place_of_the_channels_is_refused_or_told(tmp_path: Path) -> None:
    x = np.random.Generator(np.random.PCG64(0)).random((2, 20, 1, 3)).astype(np.float32)
    content = {"x_test": x, "y_test": np.array([0, 1])}
    np.savez(tmp_path / "x.npz", **content)
    with pytest.raises(DataError, match="may have their channels first or last; save an array layout"):
        load_images(f"npz:{tmp_path / 'x.npz'}", "test")
    for layout, axes in (("NCHW", (0, 1, 2, 3)), ("NHWC", (0, 3, 1, 2))):
        np.savez(tmp_path / "x.npz", **content, layout=layout)
        assert np.array_equal(load_images(f"npz:{tmp_path / 'x.npz'}", "test").x, x.transpose(axes))
    np.savez(tmp_path / "x.npz", **content, layout="HWC")
    with pytest.raises(DataError, match="layout is not 'NCHW' or 'NHWC'"):
        load_images(f"npz:{tmp_path / 'x.npz'}", "test")


# The EXIF orientations and what undoes them, on arrays `(H, W)`.
ORIENTATIONS = {
    2: np.fliplr,
    3: lambda rows: np.rot90(rows, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda rows: np.rot90(rows, -1),
    7: lambda rows: np.rot90(rows, 2).T,
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_are_turned_as_their_exif_data_ask(
    orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("ant", "bee"):
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.fromarray(values).save(tmp_path / "test" / name / "0.png")
    Image.fromarray(values).save(tmp_path / "test" / "ant" / "1.png", exif=exif)
    with pytest.warns(UserWarning, match=r"1 images are turned .*1\.png.* torchvision reads them as stored"):
        images = load_images("folder:.", "test")
    assert np.array_equal(images.pixels[0], values.transpose(2, 0, 1))
    for channel, row in enumerate(images.pixels[1]):
        assert np.array_equal(row, ORIENTATIONS[orientation](values[:, :, channel]))


def test_idx_files_of_other_names_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "emnist-letters-test-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds 'emnist-letters-test-images-idx3-ubyte.gz'.*transposed"):
        load_images(f"mnist:{tmp_path}", "test")
