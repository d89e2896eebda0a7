"""Small data sets in the file formats of real ones."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

LabeledImages = tuple[NDArray[np.uint8], NDArray[np.int64]]


def cifar(count: int, seed: int) -> LabeledImages:
    """Random images `(count, 3, 32, 32)` and labels that cycle through the ten classes."""
    stream = np.random.Generator(np.random.PCG64(seed))
    return stream.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8), np.arange(count) * 7 % 10


def records(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    return np.concatenate([labels.astype(np.uint8)[:, None], pixels.reshape(len(pixels), -1)], axis=1).tobytes()


def record_members(sets: Mapping[str, LabeledImages]) -> dict[str, bytes]:
    """The members of the binary archive, with the training images in five files."""
    pixels, labels = sets["train"]
    members = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\n"}
    for number, rows in enumerate(np.array_split(np.arange(len(labels)), 5), start=1):
        members[f"cifar-10-batches-bin/data_batch_{number}.bin"] = records(pixels[rows], labels[rows])
    members["cifar-10-batches-bin/test_batch.bin"] = records(*sets["test"])
    return members


def record_folder(path: Path, sets: Mapping[str, LabeledImages]) -> None:
    path.mkdir(parents=True)
    for name, content in record_members(sets).items():
        (path / Path(name).name).write_bytes(content)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """`(C, H, W)` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def png_members(sets: Mapping[str, LabeledImages]) -> dict[str, bytes]:
    """The files of an image folder, by their path in it."""
    return {
        f"{split}/{CLASSES[label]}/{number:04}.png": png(pixels[number])
        for split, (pixels, labels) in sets.items()
        for number, label in enumerate(labels)
    }


def png_folder(path: Path, sets: Mapping[str, LabeledImages]) -> None:
    for name, content in png_members(sets).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def packed(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar archive, compressed according to its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix[1:]
    with tarfile.open(path, "w" if suffix == "tar" else f"w:{suffix}") as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(content))
    return path
