"""Image data of strangers: what they may cost, and what a user is told."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dimple.data import load_images
from tests.attacks.hostile import attempt, changed_bytes, require_answer, try_many

Compress = Callable[[bytes], bytes]
# More than a file may take.
LARGE = 4 * 10**8


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "'|u1'", content: bytes = b"", *, length: int | None = None) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = len(text) if length is None else length
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", size) + text + content


def npz(path: Path, compression: int = zipfile.ZIP_DEFLATED, **members: bytes | tuple[bytes, int]) -> str:
    """Write an archive; a member given as a start and a size goes on with zeros to that size."""
    arrays: dict[str, Any] = {"x_test": npy(images(8)[:, 0]), "y_test": npy(np.arange(8) % 2), **members}
    with zipfile.ZipFile(path / "data.npz", "w", compression, compresslevel=1) as archive:
        for name, content in arrays.items():
            start, size = content if isinstance(content, tuple) else (content, len(content))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                file.write(start)
                for begin in range(len(start), size, 2**24):
                    file.write(bytes(min(2**24, size - begin)))
    return f"npz:{path / 'data.npz'}"


def images(count: int) -> Any:
    stream = np.random.Generator(np.random.PCG64(0))
    return stream.integers(0, 256, (count, 1, 8, 8)).astype(np.uint8)


def image_file(kind: str = "PNG", size: int = 8, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.tile(images(1)[0, 0], (size // 8, size // 8))).save(buffer, kind, **options)
    return buffer.getvalue()


def folder(path: Path, **others: bytes) -> str:
    """Write an image folder of two classes; the others are files of the second class."""
    for name, content in {"a/0.png": image_file(), "b/0.png": image_file(), **others}.items():
        file = path / "data" / "test" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return f"folder:{path / 'data'}"


def archive(path: Path, members: dict[str, bytes], compress: Compress = bytes, more: bytes = b"") -> str:
    """Write a tar archive that goes on with other bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        start = buffer.getvalue()
    (path / "data.tar.x").write_bytes(compress(start) + more)
    return f"folder:{path / 'data.tar.x'}"


def tar_header(kind: bytes, size: int, content: bytes = b"") -> bytes:
    info = tarfile.TarInfo("test/a/0.png")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + content


SOUND = {f"test/{label}/{number}.png": image_file() for label in "ab" for number in range(3)}


def compressed_zeros(path: Path, compress: Compress, name: str = "notes", kind: bytes = b"0") -> str:
    """Write a compressed archive of 1 GB in a few kilobytes: compressed parts may follow each other."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, 2**30
    part = compress(bytes(2**24))
    return archive(path, SOUND, compress, compress(info.tobuf(tarfile.GNU_FORMAT)) + part * 64)


def numbered_members(count: int) -> bytes:
    info = tarfile.TarInfo("test/a/000000.txt")
    return b"".join((setattr(info, "name", f"test/a/{number:06}.txt"), info.tobuf())[1] for number in range(count))


def idx(path: Path, header: bytes, zeros: int, labels: int = 8) -> str:
    (path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, labels) + bytes(labels))
    with gzip.open(path / "t10k-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(0, zeros, 2**24):
            file.write(bytes(2**24))
    return f"mnist:{path}"


def png_chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_with(chunk: bytes) -> bytes:
    content = image_file()
    return content[:33] + chunk + content[33:]


def scans(count: int) -> bytes:
    """Return a progressive JPEG image whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.new("L", (4096, 4096)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def many_members(path: Path) -> str:
    with zipfile.ZipFile(path / "data.npz", "w") as target:
        for number in range(100_000):
            target.writestr(f"{number}", b"")
    return f"npz:{path / 'data.npz'}"


# Each data set, and a part of the sentence that a user sees; empty where the data are read.
ATTACKS: dict[str, tuple[Callable[[Path], str], str]] = {
    "npz of 400 MB that are no images": (
        lambda path: npz(path, x_test=(npy_header(f"({LARGE},)"), len(npy_header(f"({LARGE},)")) + LARGE)),
        "has shape",
    ),
    "npz of 400 MB of labels": (lambda path: npz(path, y_test=(npy(np.arange(3)), LARGE)), "write it again"),
    "npz whose header is 400 MB": (
        lambda path: npz(path, x_test=(npy_header("()", length=LARGE), LARGE + 200)),
        "its header claims 400000000 bytes",
    ),
    "npz of 400 MB without labels": (
        lambda path: npz(path, x_test=(npy_header("(400000, 10, 100)"), LARGE + 70)),
        "write it again|images and y_test 8 labels",
    ),
    "npz of long class names": (
        lambda path: npz(path, classes=npy(np.array(["a" * 10**7, "b"]))),
        "at most 1000 bytes",
    ),
    "npz with sides that are bool": (
        lambda path: npz(path, x_test=npy_header("(True, 8, 8)", content=bytes(64))),
        "shape",
    ),
    "npz with a side of 2^63": (lambda path: npz(path, x_test=npy_header(f"(0, {2**63}, 8)")), "shape"),
    "npz with sides that overflow": (lambda path: npz(path, x_test=npy_header(f"({2**40}, {2**40}, 8)")), "shape"),
    "npz with a negative side": (lambda path: npz(path, x_test=npy_header("(-1, 8, 8)")), "shape"),
    "npz with items of size 0": (lambda path: npz(path, x_test=npy_header("(9999999999, 8, 8)", "'|S0'")), "dtype"),
    "npz with void items": (lambda path: npz(path, x_test=npy_header("(8, 8, 8)", "'|V0'")), "dtype"),
    "npz with records": (lambda path: npz(path, x_test=npy(np.zeros((8, 8, 8), dtype="u1,u1"))), "dtype"),
    "npz with items that are arrays": (
        lambda path: npz(path, x_test=npy_header("(8,)", "[('a', '|u1', (10000, 10000))]")),
        "dtype",
    ),
    "npz with dates": (lambda path: npz(path, x_test=npy(np.zeros((8, 8, 8), dtype="M8[s]"))), "dtype"),
    "npz with objects": (lambda path: npz(path, x_test=npy_header("(8,)", "'|O'")), "Python objects"),
    "npz with a deep header": (lambda path: npz(path, x_test=npy_header("(" * 5000)), "is not an .npy array"),
    "npz with a header of code": (
        lambda path: npz(path, x_test=npy_header("__import__('os')")),
        "is not an .npy array",
    ),
    "npz in bzip2": (lambda path: npz(path, zipfile.ZIP_BZIP2), "neither stored nor deflated"),
    "npz of 100,000 members": (many_members, "directory|is missing"),
    "npz with class names that are no text": (
        lambda path: npz(path, classes=npy(np.array([b"\xff\xfe", b"b"]))),
        "no text",
    ),
    "idx that claims 2^90 bytes": (
        lambda path: idx(path, struct.pack(">BBBBIII", 0, 0, 8, 3, 8, 2**31, 2**31), 0),
        "more GB of memory|GB of memory; the limit is 16 GB",
    ),
    "idx of other labels": (
        lambda path: idx(path, struct.pack(">BBBBIII", 0, 0, 8, 3, 2**20, 50, 50), 2**28),
        "images for 8 labels",
    ),
    "idx that goes on for 256 MB": (
        lambda path: idx(path, struct.pack(">BBBBIII", 0, 0, 8, 3, 8, 8, 8), 2**28),
        "more follow",
    ),
    "tar.gz of 1 GB": (lambda path: compressed_zeros(path, gzip.compress), "times its size"),
    "tar.bz2 of 1 GB": (lambda path: compressed_zeros(path, bz2.compress), "times its size"),
    "tar.xz of 1 GB": (lambda path: compressed_zeros(path, lzma.compress), "times its size"),
    "tar with an image of 1 GB": (
        lambda path: compressed_zeros(path, gzip.compress, "test/a/9.png"),
        "the limit is 67108864|times its size",
    ),
    "tar with a name of 1 GB": (lambda path: compressed_zeros(path, gzip.compress, kind=b"L"), "a header of"),
    "tar with properties of 1 GB": (lambda path: compressed_zeros(path, gzip.compress, kind=b"x"), "a header of"),
    "tar with properties of digits": (
        lambda path: archive(path, SOUND, more=tar_header(b"x", 60_000, b"1" * 60_416)),
        "damaged header",
    ),
    "tar of 50,000 members": (
        lambda path: archive(path, SOUND, more=numbered_members(50_000) + bytes(1024)),
        "",
    ),
    "image of many scans": (lambda path: folder(path, **{"b/1.jpg": scans(5000)}), "more than 100 scans"),
    "image with compressed text": (
        lambda path: folder(path, **{"b/1.png": png_with(png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8))))}),
        "not a readable",
    ),
    "image with a compressed profile": (
        lambda path: folder(path, **{"b/1.png": png_with(png_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**8))))}),
        "",
    ),
    "image with damaged properties": (
        lambda path: folder(path, **{"b/1.png": png_with(png_chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"))}),
        "",
    ),
    "image cut short after its pixels": (lambda path: folder(path, **{"b/1.png": image_file()[:-12]}), "cut short"),
    "large images that are empty": (
        lambda path: folder(path, **{f"b/{n}.png": png_of_zeros(4096) for n in range(1)}),
        "the images before it",
    ),
}


def png_of_zeros(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.filterwarnings("ignore")
def test_images_of_strangers_are_answered_in_bounded_memory_and_time(kind: str, tmp_path: Path) -> None:
    make, message = ATTACKS[kind]
    spec = make(tmp_path)
    found = attempt(load_images, spec, "test")
    found.require_bounded()
    if message:
        assert any(part in found.answer for part in message.split("|")), found


def test_large_images_count_together_against_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIMPLE_MAX_MEMORY", "0.5")
    for label in "ab":
        (tmp_path / "test" / label).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "test" / label / f"{number}.png").write_bytes(png_of_zeros(4096))
    answer = attempt(load_images, f"folder:{tmp_path}", "test").answer
    assert (
        "GB of memory; the limit is 0.5 GB: make it smaller, or raise the limit, as with DIMPLE_MAX_MEMORY=1" in answer
    )


def seeds(path: Path) -> dict[str, tuple[str, Path]]:
    """Write sound data sets; return their names, and the file in each that is changed."""
    for kind in ("npz", "png", "jpeg", "tar", "idx", "cifar10"):
        (path / kind).mkdir()
    npz_spec = npz(path / "npz", zipfile.ZIP_STORED)
    for kind, name in (("png", "b/1.png"), ("jpeg", "b/1.jpg")):
        folder(path / kind, **{name: image_file(kind.upper())})
    idx_spec = idx(path / "idx", struct.pack(">BBBBIII", 0, 0, 8, 3, 8, 8, 8) + images(8).tobytes(), 0)
    (path / "cifar10" / "test_batch.bin").write_bytes((b"\x01" + bytes(range(256)) * 12) * 4)
    return {
        "npz": (npz_spec, path / "npz" / "data.npz"),
        "png": (f"folder:{path / 'png' / 'data'}", path / "png" / "data" / "test" / "b" / "1.png"),
        "jpeg": (f"folder:{path / 'jpeg' / 'data'}", path / "jpeg" / "data" / "test" / "b" / "1.jpg"),
        "tar": (archive(path / "tar", SOUND, bytes), path / "tar" / "data.tar.x"),
        "idx": (idx_spec, path / "idx" / "t10k-labels-idx1-ubyte"),
        "cifar10": (f"cifar10:{path / 'cifar10'}", path / "cifar10" / "test_batch.bin"),
    }


KINDS = ("npz", "png", "jpeg", "tar", "idx", "cifar10")


def try_changed(kind: str, count: int, path: Path) -> None:
    spec, file = seeds(path)[kind]

    def check(content: bytes) -> None:
        file.write_bytes(content)
        require_answer(load_images, spec, "test")

    try_many(check, changed_bytes(file.read_bytes()), count)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_changed_images_are_read_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    try_changed(kind, 50, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_thousands_of_changed_images_are_read_or_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    try_changed(kind, 2000, tmp_path)
