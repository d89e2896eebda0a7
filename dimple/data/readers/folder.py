"""Reader of image folders, `train/<class>/<name>` and `test/<class>/<name>` or `<class>/<name>`, also in an archive."""

import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dimple.data.readers.pixels import SPLIT_NAMES, RawImages, decode_image, is_turned, read_image_file, stack_images
from dimple.data.readers.tar import iterate_members
from dimple.errors import DataError
from dimple.limits import require_memory
from dimple.settings import format_value

SPLITS = ("train", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")

# Class, file name and pixels of an image.
NamedImage = tuple[str, str, NDArray[np.uint8]]


def read_folder(path: Path, split: str, classes: tuple[str, ...] = ()) -> RawImages:
    """Read one split of an image folder, or of an image folder in a tar archive; images are sorted by class and name.

    The folder of the test split may be called `val`, `valid` or `validation` too. A folder without a level for the
    split has its class folders directly inside, and all of its images are both splits.

    Args:
        path: the folder, or the archive, of which images of the other split are not decoded.
        split: `train` or `test`.
        classes: the classes of the data set by their numbers, of which the folder may hold a part; without them the
            classes are the subfolders of both splits in alphabetical order.

    Raises:
        DataError: if the split is missing or empty, an image is unreadable or of another size, a file has another image
            format, a class has no images or is not among `classes`, or the archive is damaged.
    """
    folders = _find_splits(path)
    listing = _Listing(folders.get(split, split), tuple(folders.values()) or SPLITS)
    location = f"{path / listing.split}" if path.is_dir() else f"{path}: {listing.split or 'its root'}"
    read = _iterate_folder if path.is_dir() else _iterate_archive
    images = sorted(read(path, listing), key=lambda image: image[:2])
    listing.report_left_out(location, not images)
    if listing.turned:
        warnings.warn(
            f"{location}: {len(listing.turned)} images are turned or mirrored as their EXIF data ask, such as "
            f"{format_value(listing.turned[0])}; ImageFolder of torchvision reads them as stored",
            stacklevel=1,
        )
    values = stack_images(((f"{label}/{name}", values) for label, name, values in images), location)
    names = listing.name_classes(classes, str(path))
    labels = np.array([names.index(label) for label, _, _ in images], dtype=np.int64)
    return RawImages(values, labels, names, is_split=listing.split != "")


def _find_splits(path: Path) -> dict[str, str]:
    """Return the folder of each split by its name; an empty name for class folders without a level for the split."""
    if not path.is_dir():
        return dict.fromkeys(SPLITS, "") if _is_archive_of_classes(path) else dict(zip(SPLITS, SPLITS, strict=True))
    names = {entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    found = {
        split: next(name for name in choices if name in names)
        for split, choices in SPLIT_NAMES.items()
        if names.intersection(choices)
    }
    has_classes = any(file.suffix.lower() in IMAGE_SUFFIXES for name in names for file in (path / name).iterdir())
    return dict.fromkeys(SPLITS, "") if has_classes and not found else found


def _is_archive_of_classes(path: Path) -> bool:
    """Return whether the first image of an archive stands in a class folder without a folder of a split around it."""
    for member in iterate_members(path):
        if not member.is_folder and Path(member.parts[-1]).suffix.lower() in IMAGE_SUFFIXES:
            return len(member.parts) > 1 and not any(name in SPLITS for name in member.parts[:-1])
    return False


@final
class _Listing:
    """The classes of both splits, and the files of one split that are not read, by ending.

    Args:
        split: the name of the folder of the split that is read; empty without a level for the split.
        splits: the names of the folders of all splits.
    """

    def __init__(self, split: str, splits: tuple[str, ...]) -> None:
        self.split = split
        self.splits = tuple(dict.fromkeys(splits))
        self.has_images: dict[str, bool] = {}
        self.left_out: Counter[str] = Counter()
        self.turned: list[str] = []
        self.size = 0

    def add_class(self, name: str) -> str:
        """Register a class, and return its name in the form in which another system writes the same letters."""
        label = unicodedata.normalize("NFC", name)
        self.has_images.setdefault(label, False)
        return label

    def select(self, split: str, label: str, name: str) -> bool:
        """Register a file of a class, and return whether it is an image of the split."""
        suffix = Path(name).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            self.has_images[label] = True
        elif split == self.split:
            self.left_out[suffix or "without an ending"] += 1
        return suffix in IMAGE_SUFFIXES and split == self.split

    def decode(self, content: bytes, location: str) -> NDArray[np.uint8]:
        """Decode an image of the split, and register it where it is stored turned."""
        values = decode_image(content, location)
        # The images are held one by one, and then as one array.
        self.size += 2 * values.nbytes
        require_memory(self.size, f"{location} is one of many large images,", DataError)
        if is_turned(content):
            self.turned.append(location)
        return values

    @property
    def place(self) -> str:
        """The folder of the images of a class, for errors."""
        return f"{self.split}/CLASS" if self.split else "CLASS"

    def report_left_out(self, location: str, is_empty: bool) -> None:
        """Refuse image files of formats that are not read, and warn of other files that were left out."""
        if not self.left_out.total():
            return
        count = self.left_out.total()
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(self.left_out.items()))
        found = f"{location}: holds no images, and" if is_empty else f"{location}: holds"
        files = f"{found} {count} file{'s' if count > 1 else ''} not read ({counts})"
        if is_empty or self.left_out.keys() & Image.registered_extensions().keys():
            raise DataError(f"{files}; images are JPEG or PNG files in {self.place}: convert or move the others")
        warnings.warn(files, stacklevel=1)

    def name_classes(self, classes: tuple[str, ...], location: str) -> tuple[str, ...]:
        """Return the names of the classes by their numbers."""
        unknown = sorted(label for label in self.has_images if label not in classes) if classes else []
        if unknown:
            raise DataError(
                f"{location}: {format_value(unknown[0])} is not a class of the data set; its classes are "
                f"{', '.join(classes)}: read other data as folder:PATH"
            )
        lower = {label.lower(): label for label in self.has_images}
        double = sorted(label for label in self.has_images if lower[label.lower()] != label)
        if double and not classes:
            raise DataError(
                f"{location}: {format_value(double[0])} and {format_value(lower[double[0].lower()])} differ only in "
                "case; give the class one name in train and test"
            )
        empty = sorted(label for label, has_images in self.has_images.items() if not has_images)
        if empty and not classes:
            raise DataError(
                f"{location}: class {format_value(empty[0])} has no JPEG or PNG images in train or test, so the "
                "class numbers are in doubt; add its images, or remove its folder"
            )
        return classes or tuple(sorted(self.has_images))


def _iterate_folder(root: Path, listing: _Listing) -> Iterator[NamedImage]:
    if not (root / listing.split).is_dir():
        raise DataError(
            f"{root}: has no folder {listing.split!r}; an image folder holds {listing.split}/CLASS/IMAGE.png"
        )
    for split in listing.splits:
        for folder in sorted((root / split).glob("[!.]*")):
            if not folder.is_dir():
                listing.left_out["outside a class folder"] += split == listing.split
                continue
            label = listing.add_class(folder.name)
            for path in sorted(folder.glob("[!.]*")):
                if path.is_dir():
                    listing.left_out["in a subfolder"] += split == listing.split
                elif listing.select(split, label, path.name):
                    yield label, path.name, listing.decode(read_image_file(path), str(path))


def _iterate_archive(path: Path, listing: _Listing) -> Iterator[NamedImage]:
    """Yield the images of the split in the order of the archive."""
    for member in iterate_members(path):
        parts = member.parts if listing.split else ("", *member.parts[-2:])
        if member.is_folder:
            if len(parts) > 1 and parts[-2] in listing.splits and not parts[-1].startswith(".") and listing.split:
                listing.add_class(parts[-1])
        elif len(parts) > 2 and parts[-3] in listing.splits and not parts[-1].startswith("."):
            label = listing.add_class(parts[-2])
            if listing.select(parts[-3], label, parts[-1]):
                yield label, parts[-1], listing.decode(member.read(), member.location)
        elif listing.split in parts[:-1] and not parts[-1].startswith("."):
            listing.left_out["in a subfolder" if len(parts) > 3 else "outside a class folder"] += 1
