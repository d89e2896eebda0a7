"""Reader of image folders with `train/<class>/<name>` and `test/<class>/<name>`, on disk or in a tar archive."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import RawImages, decode_image, stack_images
from dimple.data.readers.tar import MAX_MEMBER_BYTES, iterate_members
from dimple.errors import DataError
from dimple.settings import format_value

SPLITS = ("train", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

# Class, file name and pixels of an image.
NamedImage = tuple[str, str, NDArray[np.uint8]]


def read_folder(root: Path, split: str) -> RawImages:
    """Read one split of an image folder; classes are its subfolders in alphabetical order, images are sorted by name.

    The classes of both splits are numbered together, so that a class has the same number in both.

    Raises:
        DataError: if the split is missing or empty, or an image is unreadable or of another size.
    """
    if not (root / split).is_dir():
        raise DataError(f"{root}: has no folder {split!r}; an image folder holds {split}/CLASS/IMAGE.png")
    classes = {folder.name for name in SPLITS for folder in (root / name).glob("[!.]*") if folder.is_dir()}
    images = (
        (path.parent.name, path.name, decode_image(_read_bytes(path), str(path)))
        for path in sorted((root / split).glob("[!.]*/[!.]*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
    )
    return _stack_labeled(images, sorted(classes), f"{root / split}")


def read_archive_folder(path: Path, split: str) -> RawImages:
    """Read one split of an image folder in a tar archive, in one pass; images of the other split are not decoded.

    Raises:
        DataError: as `read_folder`, or if the archive is damaged.
    """
    classes: set[str] = set()
    images = sorted(_iterate_archived_images(path, split, classes), key=lambda image: image[:2])
    return _stack_labeled(images, sorted(classes), f"{path}: {split}")


def _iterate_archived_images(path: Path, split: str, classes: set[str]) -> Iterator[NamedImage]:
    """Yield the images of the split in the order of the archive, and add the classes of both splits to `classes`."""
    for member in iterate_members(path):
        if len(member.parts) < 3 or member.parts[-3] not in SPLITS:
            continue
        member_split, label, name = member.parts[-3:]
        if name.startswith(".") or Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            continue
        classes.add(label)
        if member_split == split:
            yield label, name, decode_image(member.read(), member.location)


def _read_bytes(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > MAX_MEMBER_BYTES:
            raise DataError(f"{path}: is not a regular file of at most {MAX_MEMBER_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _stack_labeled(images: Iterable[NamedImage], classes: Sequence[str], location: str) -> RawImages:
    numbers = {name: number for number, name in enumerate(classes)}
    labels: list[int] = []

    def name_images() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for label, name, values in images:
            labels.append(numbers[label])
            yield f"{label}/{name}", values

    values = stack_images(name_images(), location)
    return RawImages(values, np.array(labels, dtype=np.int64), tuple(classes))


def renumber_classes(images: RawImages, classes: tuple[str, ...], location: str) -> RawImages:
    """Return the images with class numbers from the list `classes`, of which the folder may hold only a part.

    Raises:
        DataError: if a class of the folder is not in the list.
    """
    unknown = [name for name in images.classes if name not in classes]
    if unknown:
        raise DataError(
            f"{location}: {format_value(unknown[0])} is not a class of the data set; its classes are "
            f"{', '.join(classes)}: read other data as folder:PATH"
        )
    numbers = np.array([classes.index(name) for name in images.classes], dtype=np.int64)
    return RawImages(images.values, numbers[images.labels], classes)
