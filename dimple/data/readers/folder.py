"""Image folders: `train/<class>/<name>` and `test/<class>/<name>`, on the disk or inside a tar archive."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import Pixels, decoded, stacked
from dimple.data.readers.tar import LARGEST_MEMBER, members
from dimple.errors import DataError
from dimple.settings import shown

SPLITS = ("train", "test")
SUFFIXES = (".jpg", ".jpeg", ".png")

Picture = tuple[str, str, NDArray[np.uint8]]
"""Class, file name, pixels."""


def read_folder(root: Path, split: str) -> Pixels:
    """One split of an image folder; classes are its subfolders in alphabetical order, images are sorted by name.

    A class that only the other split has keeps its number, so that both splits agree.

    Raises:
        DataError: if the split is missing or empty, or an image is unreadable or of another size.
    """
    if not (root / split).is_dir():
        raise DataError(f"{root}: has no folder {split!r}; an image folder holds {split}/CLASS/IMAGE.png")
    classes = {folder.name for name in SPLITS for folder in (root / name).glob("[!.]*") if folder.is_dir()}
    pictures = (
        (path.parent.name, path.name, decoded(_content(path), str(path)))
        for path in sorted((root / split).glob("[!.]*/[!.]*"))
        if path.suffix.lower() in SUFFIXES
    )
    return _labelled(pictures, sorted(classes), f"{root / split}")


def read_archive_folder(path: Path, split: str) -> Pixels:
    """The same from a tar archive, in one pass; images of the other split are passed over undecoded.

    Raises:
        DataError: as `read_folder`, or if the archive is damaged.
    """
    classes: set[str] = set()
    pictures = sorted(_archived(path, split, classes), key=lambda picture: picture[:2])
    return _labelled(pictures, sorted(classes), f"{path}: {split}")


def _archived(path: Path, split: str, classes: set[str]) -> Iterator[Picture]:
    """The split's pictures in the archive's order; every class that is met, of either split, joins `classes`."""
    for member in members(path):
        if len(member.parts) < 3 or member.parts[-3] not in SPLITS:
            continue
        found, label, name = member.parts[-3:]
        if name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES:
            continue
        classes.add(label)
        if found == split:
            yield label, name, decoded(member.read(), member.place)


def _content(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_MEMBER:
            raise DataError(f"{path}: is no regular file of at most {LARGEST_MEMBER} bytes")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def _labelled(pictures: Iterable[Picture], classes: Sequence[str], place: str) -> Pixels:
    numbers = {name: number for number, name in enumerate(classes)}
    labels: list[int] = []

    def named() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for label, name, values in pictures:
            labels.append(numbers[label])
            yield f"{label}/{name}", values

    values = stacked(named(), place)
    return Pixels(values, np.array(labels, dtype=np.int64), tuple(classes))


def renumbered(pixels: Pixels, classes: tuple[str, ...], place: str) -> Pixels:
    """The same images with the class numbers of a known list, whatever part of it the folder holds.

    Raises:
        DataError: naming a class of the folder that the list lacks.
    """
    strangers = [name for name in pixels.classes if name not in classes]
    if strangers:
        raise DataError(
            f"{place}: {shown(strangers[0])} is no class of the data set; its classes are {', '.join(classes)}: "
            "read other data as folder:PATH"
        )
    numbers = np.array([classes.index(name) for name in pixels.classes], dtype=np.int64)
    return Pixels(pixels.values, numbers[pixels.labels], classes)
