"""Invalid image files: each is refused with one line that names it."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.data import load_images
from dimple.data.readers import cifar as cifar_module
from dimple.errors import DataError
from tests.data.image_files import cifar, packed, png, png_folder, png_members, record_folder, record_members

SETS = {"train": cifar(20, 0), "test": cifar(10, 1)}


def assert_refused(spec: str, message: str, split: str = "test") -> str:
    with pytest.raises(DataError, match=message) as caught:
        load_images(spec, split)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


def image_bytes(mode: str, size: tuple[int, int] = (32, 32), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


def huge_png(side: int) -> bytes:
    """Return a PNG file whose header claims `side` x `side` pixels."""
    content = bytearray(image_bytes("L"))
    content[16:24] = struct.pack(">2I", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


BAD_IMAGES: dict[str, tuple[bytes, str]] = {
    "huge": (huge_png(9000), "9000 x 9000 pixels; images have at most 4096"),
    "a bomb": (huge_png(60_000), "at most 4096 per side"),
    "truncated": (png(SETS["test"][0][0])[:900], "not a readable JPEG or PNG"),
    "empty": (b"", "not a readable JPEG or PNG"),
    "text": (b"hello", "not a readable JPEG or PNG"),
    "gif": (image_bytes("L", kind="GIF"), "not a readable JPEG or PNG"),
    "palette": (image_bytes("P"), "mode is P; save it as 8-bit gray or 8-bit RGB"),
    "16 bits": (image_bytes("I;16"), "mode is I;16"),
    "cmyk": (image_bytes("CMYK", kind="JPEG"), "mode is CMYK"),
    "transparent": (image_bytes("RGBA"), "mode is RGBA"),
    "black and white": (image_bytes("1"), "mode is 1"),
    "another size": (
        image_bytes("RGB", (32, 31)),
        r"'truck/zzzz.png' is 3 x 31 x 32, the images before it 3 x 32 x 32",
    ),
    "gray among colors": (image_bytes("L"), r"'truck/zzzz.png' is 1 x 32 x 32"),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_an_invalid_image_is_named(kind: str, form: str, tmp_path: Path) -> None:
    content, message = BAD_IMAGES[kind]
    path = tmp_path / "data"
    if form == "folder":
        png_folder(path, SETS)
        (path / "test" / "truck" / "zzzz.png").write_bytes(content)
    else:
        path = packed(tmp_path / "data.tar.gz", png_members(SETS) | {"test/truck/zzzz.png": content})
    assert "truck/zzzz.png" in assert_refused(f"cifar10:{path}", message)
    assert len(load_images(f"cifar10:{path}", "train")) == 20


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    assert_refused(f"cifar10:{tmp_path}", "holds 0 archives and neither train/CLASS")
    assert_refused(f"folder:{tmp_path}", "has no folder 'test'")
    (tmp_path / "test" / "cat").mkdir(parents=True)
    (tmp_path / "test" / "cat" / "notes.txt").write_text("none yet")
    assert_refused(f"cifar10:{tmp_path}", "holds no images")
    assert_refused(f"cifar10:{tmp_path}", "has no folder 'train'", "train")
    assert_refused(f"folder:{tmp_path / 'nowhere'}", "no such file or folder")
    assert_refused(f"folder:{tmp_path / ('x' * 300)}", "cannot be read")
    os.mkfifo(tmp_path / "pipe")
    for kind in ("cifar10", "folder", "npz"):
        assert_refused(f"{kind}:{tmp_path / 'pipe'}", "neither a regular file nor a folder")


def test_images_of_another_size_are_not_cifar(tmp_path: Path) -> None:
    small = np.zeros((2, 1, 8, 8), dtype=np.uint8)
    png_folder(tmp_path, {"test": (small, np.array([0, 1]))})
    assert_refused(f"cifar10:{tmp_path}", r"have shape \(1, 8, 8\); those of CIFAR-10 have \(3, 32, 32\)")
    assert load_images(f"folder:{tmp_path}", "test").shape == (1, 8, 8)


def test_damaged_records_are_refused_with_their_offset(tmp_path: Path) -> None:
    record_folder(tmp_path / "bin", SETS)
    file = tmp_path / "bin" / "test_batch.bin"
    good = file.read_bytes()
    file.write_bytes(good[:-1])
    assert_refused(
        f"cifar10:{tmp_path / 'bin'}",
        f"has {10 * 3073 - 1} bytes, so a record of 3073 is cut short at offset {9 * 3073}",
    )
    file.write_bytes(b"")
    assert_refused(f"cifar10:{tmp_path / 'bin'}", "has 0 bytes")
    file.write_bytes(good[: 2 * 3073] + b"\xff" + good[2 * 3073 + 1 :])
    assert_refused(f"cifar10:{tmp_path / 'bin'}", f"has label 255 at offset {2 * 3073}")
    file.unlink()
    assert_refused(f"cifar10:{tmp_path / 'bin'}", "lacks test_batch.bin")


def test_the_python_edition_is_refused_with_the_edition_to_use(tmp_path: Path) -> None:
    archive = packed(tmp_path / "cifar-10-python.tar.gz", {"cifar-10-batches-py/data_batch_1": b"\x80\x02}."})
    assert_refused(f"cifar10:{archive}", r"pickles can run code; use cifar-10-binary\.tar\.gz")
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "data_batch_1").write_bytes(b"\x80\x02}.")
    assert_refused(f"cifar10:{tmp_path / 'py'}", r"use cifar-10-binary\.tar\.gz")


def test_an_archive_of_the_official_size_must_have_the_official_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / "cifar-10-binary.tar.gz", record_members(SETS))
    monkeypatch.setattr(cifar_module, "OFFICIAL_ARCHIVE_BYTES", archive.stat().st_size)
    assert_refused(
        f"cifar10:{archive}", "has the size of cifar-10-binary.tar.gz but sha256 [0-9a-f]{64}; download it again"
    )


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("fraction", [0.3, 0.7, 0.9])
def test_a_truncated_archive_is_refused(suffix: str, fraction: float, tmp_path: Path) -> None:
    archive = packed(tmp_path / f"data.{suffix}", png_members(SETS))
    content = archive.read_bytes()
    archive.write_bytes(content[: int(fraction * len(content))])
    assert_refused(f"folder:{archive}", "archive", "train")


def test_a_damaged_header_within_an_archive_is_not_its_end(tmp_path: Path) -> None:
    archive = packed(tmp_path / "data.tar", png_members(SETS))
    content = bytearray(archive.read_bytes())
    position = content.index(b"test/cat/")
    content[position] ^= 1
    archive.write_bytes(content)
    assert_refused(f"folder:{archive}", "ends too early or is damaged")


def link(name: str, kind: bytes, target: str = "/etc/hostname") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


MEMBERS: dict[str, tuple[tarfile.TarInfo, str]] = {
    "outside": (tarfile.TarInfo("../test/cat/x.png"), "outside the archive"),
    "absolute": (tarfile.TarInfo("/test/cat/x.png"), "outside the archive"),
    "symbolic link": (link("test/cat/x.png", tarfile.SYMTYPE), "link or a device"),
    "hard link": (link("test/cat/x.png", tarfile.LNKTYPE), "link or a device"),
    "device": (link("test/cat/x.png", tarfile.CHRTYPE), "link or a device"),
    "fifo": (link("test/cat/x.png", tarfile.FIFOTYPE), "link or a device"),
    "twice": (tarfile.TarInfo("test/airplane/0000.png"), "twice"),
    "long name": (tarfile.TarInfo(f"test/cat/{'x' * 5000}.png"), "not a readable JPEG or PNG"),
    "escape codes": (tarfile.TarInfo("test/cat/\x1b[31m.png"), r"\\x1b"),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_malicious_member_is_refused_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    info, message = MEMBERS[kind]
    archive = packed(tmp_path / "data.tar", png_members(SETS))
    with tarfile.open(archive, "a") as opened:
        opened.addfile(info)
    text = assert_refused(f"cifar10:{archive}", message)
    assert len(text) < 400
    assert "\x1b" not in text
    assert list(tmp_path.iterdir()) == [archive]


def test_archives_without_a_data_set_are_refused(tmp_path: Path) -> None:
    assert_refused(f"cifar10:{packed(tmp_path / 'a.tar.gz', {'notes.txt': b'x'})}", "holds neither train/CLASS")
    assert_refused(f"folder:{packed(tmp_path / 'b.tar.gz', {'notes.txt': b'x'})}", "holds no images")
    (tmp_path / "c.tar").write_bytes(b"no archive")
    assert_refused(f"cifar10:{tmp_path / 'c.tar'}", "not a tar archive, or is damaged")
    (tmp_path / "d.tar").write_bytes(b"")
    assert_refused(f"cifar10:{tmp_path / 'd.tar'}", "not a tar archive, or is damaged")
    assert_refused(f"cifar10:{tmp_path}", "holds 4 archives")


def idx(folder: Path, images: bytes, labels: bytes) -> str:
    folder.mkdir()
    (folder / "t10k-images-idx3-ubyte").write_bytes(images)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)
    return f"mnist:{folder}"


GOOD_IMAGES = struct.pack(">4I", 0x803, 2, 2, 2) + bytes(8)
GOOD_LABELS = struct.pack(">2I", 0x801, 2) + bytes([1, 9])
IDX: dict[str, tuple[bytes, bytes, str]] = {
    "magic": (
        struct.pack(">4I", 0xD03, 2, 2, 2) + bytes(8),
        GOOD_LABELS,
        "not an IDX file of unsigned bytes with 3 axes but of 32-bit floats with 3; save other arrays as npz",
    ),
    "swapped": (GOOD_LABELS, GOOD_IMAGES, "3 axes but of unsigned bytes with 1;"),
    "color": (struct.pack(">5I", 0x804, 2, 1, 1, 3) + bytes(6), GOOD_LABELS, "3 axes but of unsigned bytes with 4"),
    "no idx": (b"hello world, hello again", GOOD_LABELS, "3 axes; get the file from its source again"),
    "levels 0 and 1": (GOOD_IMAGES[:-1] + b"\x01", GOOD_LABELS, "largest value of all images is 1, where 255 is white"),
    "header cut": (GOOD_IMAGES[:9], GOOD_LABELS, "not an IDX file"),
    "short": (GOOD_IMAGES[:-1], GOOD_LABELS, "claims 8 bytes and only 7 follow"),
    "long": (GOOD_IMAGES + b"x", GOOD_LABELS, "claims 8 bytes and more follow"),
    "lying": (struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2), GOOD_LABELS, "the limit is"),
    "counts": (GOOD_IMAGES, struct.pack(">2I", 0x801, 3) + bytes(3), "has 2 images for 3 labels"),
    "letters": (
        struct.pack(">4I", 0x803, 12, 1, 1) + bytes(12),
        struct.pack(">2I", 0x801, 12) + bytes(range(1, 13)),
        "labels count from 1 to 12, class numbers from 0: save y - 1",
    ),
    "none": (struct.pack(">4I", 0x803, 0, 2, 2), struct.pack(">2I", 0x801, 0), "holds no images"),
    "gzip cut": (b"\x1f\x8b\x08\x00", GOOD_LABELS, "cannot be read"),
}


@pytest.mark.parametrize("kind", IDX)
def test_a_bad_idx_file_is_named(kind: str, tmp_path: Path) -> None:
    images, labels, message = IDX[kind]
    assert str(tmp_path / "mnist") in assert_refused(idx(tmp_path / "mnist", images, labels), message)


def test_missing_idx_files_are_named(tmp_path: Path) -> None:
    assert_refused(f"mnist:{tmp_path}", "lacks train-images-idx3-ubyte.gz", "train")
    (tmp_path / "file").touch()
    assert_refused(f"mnist:{tmp_path / 'file'}", "is not a folder")


def member(header: str, content: bytes = b"") -> bytes:
    """Return a .npy file with the given header."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def arrays(**changes: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        values = {"x_test": np.zeros((2, 1, 2, 2), np.uint8), "y_test": np.array([0, 1])} | changes
        np.savez(path, **{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]

    return write


def raw(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x_test.npy", content)

    return write


NPZ: dict[str, tuple[Callable[[Path], None], str]] = {
    "objects": (arrays(x_test=np.array([{}, []], dtype=object)), "holds Python objects"),
    "four pebibytes": (
        raw(member("{'descr': '|u1', 'fortran_order': False, 'shape': (4503599627370496,)}")),
        "has a header for shape",
    ),
    "negative": (
        raw(member("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1)}", b"x")),
        "has a header for shape",
    ),
    "no header": (raw(member("{'descr'")), "not an .npy array"),
    "no npy": (raw(b"hello"), "not an .npy array"),
    "missing": (arrays(y_test=None), "y_test is missing; the file holds x_test.npy"),
    "lengths": (arrays(y_test=np.array([0, 1, 1])), "has 2 images and y_test 3 labels"),
    "binary": (arrays(x_test=np.eye(2, dtype=np.uint8)[None].repeat(2, 0)), "save images of 0 and 1 as float32"),
    "divided twice": (arrays(x_test=np.full((2, 4, 4), 1 / 255)), "divided by 255 twice"),
    "symmetric": (arrays(x_test=np.linspace(-1, 1, 8).reshape(2, 2, 2)), r"lie in \[-1, 1\]; save \(x \+ 1\) / 2"),
    "normalized": (
        arrays(x_test=np.linspace(-0.4, 2.8, 8).reshape(2, 2, 2)),
        r"save x \* std \+ mean, .*--mean and --std; or .* --bounds -0\.4,2\.8",
    ),
    "rounded": (arrays(x_test=np.linspace(-1e-7, 1, 8).reshape(2, 2, 2)), r"by rounding; save x\.clip"),
    "levels": (arrays(x_test=np.linspace(0, 255, 8).reshape(2, 2, 2)), "divide them by 255"),
    "deep levels": (arrays(x_test=np.linspace(0, 65535, 8).reshape(2, 2, 2)), "by the largest level"),
    "integer levels": (arrays(x_test=np.arange(8).reshape(2, 2, 2)), "int64; .* save them as uint8"),
    "integer ones": (arrays(x_test=np.ones((2, 2, 2), np.int32)), "int32; .* save images of 0 and 1 as float32"),
    "signed bytes": (arrays(x_test=np.full((2, 2, 2), -3, np.int8)), r"int8; .* lie in \[-3, -3\]; add"),
    "words": (arrays(x_test=np.full((2, 2, 2), "a")), "has dtype <U1"),
    "labels from 1": (arrays(y_test=np.array([2, 1])), "labels count from 1 to 2, class numbers from 0: save y - 1"),
    "signs": (arrays(y_test=np.array([-1, 1])), r"save \(y \+ 1\) // 2"),
    "one-hot": (arrays(y_test=np.eye(2)), r"labels are \(N,\): save y_test\.argmax\(1\)"),
    "other split": (arrays(y_train=np.array([0, -5])), r"y_train\[1\] is -5"),
    "unnamed class": (arrays(classes=np.array(["a", "b"]), y_test=np.array([0, 2])), "class numbers from 0 to 1"),
    "one name": (arrays(classes=np.array(["a"])), "it is a list of names, one a class"),
    "images last": (arrays(x_test=np.zeros((8, 8, 2), np.uint8)), "move the last axis to the front"),
    "nan": (arrays(x_test=np.array([[[0.0, np.nan]], [[0, 0]]])), r"x_test\[0, 0, 1\] is nan; repair such samples"),
    "out of range": (arrays(x_test=np.array([[[0.0, 1.0]], [[0, 255.0]]])), r"x_test\[1, 0, 1\] is 255\.0"),
    "integers": (arrays(x_test=np.zeros((2, 1, 2), np.int64)), "has dtype int64"),
    "axes": (arrays(x_test=np.zeros(2, np.uint8)), r"has shape \(2,\)"),
    "empty": (arrays(x_test=np.zeros((0, 1, 2, 2), np.uint8), y_test=np.zeros(0, np.int64)), "N >= 1"),
    "half levels": (
        arrays(x_test=np.linspace(-0.5, 0.5, 8).reshape(2, 2, 2)),
        r"lie in \[-0\.5, 0\.5\]; save x \+ 0\.5",
    ),
    "centered levels": (arrays(x_test=np.linspace(-128, 127, 8).reshape(2, 2, 2)), r"save \(x \+ 128\) / 255"),
    "few levels": (
        arrays(x_test=np.linspace(0, 16, 8).reshape(2, 2, 2)),
        "by the largest level that the format allows",
    ),
    "label of no class": (
        arrays(y_test=np.array([3, 255], np.uint8)),
        "labels are up to 3, and 255, which means no class",
    ),
    "text labels": (arrays(y_test=np.array(["a", "b"])), "labels are integers: save np.unique.y_test, return_inv"),
    "one row": (arrays(y_test=np.array([[0, 1]])), r"y_test has shape \(1, 2\); labels are \(N,\)$"),
    "flat": (arrays(x_test=np.zeros((2, 16), np.uint8)), r"save x_test\.reshape\(N, C, H, W\)"),
    "one array": (
        lambda path: path.write_bytes(member("{}")) and None,
        "is one array; save x_test and y_test together",
    ),
    "float labels": (arrays(y_test=np.array([0.0, 1.0])), "labels are integers"),
    "negative label": (arrays(y_test=np.array([0, -1])), r"y_test\[1\] is -1; labels are class numbers from 0"),
    "no zip": (lambda path: path.write_bytes(b"PK nothing") and None, "not a readable .npz"),
}


@pytest.mark.parametrize("kind", NPZ)
def test_a_bad_npz_file_is_named(kind: str, tmp_path: Path) -> None:
    write, message = NPZ[kind]
    path = tmp_path / "images.npz"
    write(path)
    assert str(path) in assert_refused(f"npz:{path}", message)


def test_a_folder_is_no_npz_file(tmp_path: Path) -> None:
    assert_refused(f"npz:{tmp_path}", "is a folder, not an .npz file")


def test_a_home_folder_of_nobody_is_no_such_file() -> None:
    assert_refused("npz:~nobody-at-all/x.npz", "~nobody-at-all/x.npz: no such file or folder")


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_two_classes_whose_names_differ_in_case_are_refused(form: str, tmp_path: Path) -> None:
    content = {f"{split}/0.png": image_bytes("RGB") for split in ("train/Cat", "test/cat")}
    assert_refused(f"folder:{written(tmp_path / 'data', content, form)}", "'Cat' and 'cat' differ only in case")


def test_a_zip_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("test/cat/0.png", image_bytes("RGB"))
    assert_refused(f"folder:{tmp_path / 'a.zip'}", "is a zip archive; unpack it")


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_images_of_other_formats_are_counted_and_refused(form: str, tmp_path: Path) -> None:
    content = {"test/cat/0.png": image_bytes("RGB")}
    content |= {f"test/cat/{number}.bmp": image_bytes("RGB", kind="BMP") for number in range(5)}
    path = written(tmp_path / "some", content, form)
    assert_refused(f"folder:{path}", r"holds 5 files not read \(5 \.bmp\); images are JPEG or PNG")
    path = written(tmp_path / "all", {"test/cat/0.ppm": image_bytes("RGB", kind="PPM"), "test/cat/a.txt": b""}, form)
    assert_refused(f"folder:{path}", r"holds no images, and 2 files not read \(1 \.ppm, 1 \.txt\)")


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_other_files_that_are_left_out_are_counted_in_a_warning(form: str, tmp_path: Path) -> None:
    names = ["cat/labels.csv", "cat/README", "cat/more/1.png", "2.png", "cat/.hidden"]
    content = {f"test/{name}": image_bytes("L") for name in ["cat/0.png", "cat/1.jfif", *names]}
    path = written(tmp_path / "data", content, form)
    counts = "1 .csv, 1 in a subfolder, 1 outside a class folder, 1 without an ending"
    with pytest.warns(UserWarning, match=rf"holds 4 files not read \({counts}\)"):
        assert len(load_images(f"folder:{path}", "test")) == 2


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_class_without_images_makes_the_class_numbers_doubtful(form: str, tmp_path: Path) -> None:
    content = {f"{split}/{name}/0.png": image_bytes("RGB") for split, name in [("train", "a"), ("test", "c")]}
    assert load_images(f"folder:{written(tmp_path / 'good', content, form)}", "test").y.tolist() == [1]
    path = written(tmp_path / "bad", content | {"train/b/": b""}, form)
    assert_refused(f"folder:{path}", "class 'b' has no JPEG or PNG images in train or test")
    # The classes of CIFAR-10 have their own numbers.
    content = {"test/dog/0.png": image_bytes("RGB"), "test/cat/": b""}
    assert load_images(f"cifar10:{written(tmp_path / 'cifar', content, form)}", "test").y.tolist() == [5]


def written(path: Path, content: dict[str, bytes], form: str) -> Path:
    """Write files, or folders where the name ends with a slash, to a folder or an archive."""
    if form == "archive":
        return packed(path.with_suffix(".tar"), content)
    for name, data in content.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            file.mkdir()
        else:
            file.write_bytes(data)
    return path


def test_a_huge_label_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    arrays(y_test=np.array([0, 2**40]))(path)
    assert_refused(f"npz:{path}", r"y_test\[1\] is 1099511627776; labels are class numbers from 0 to 9999")
