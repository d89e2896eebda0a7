"""Reader of data sets of the Hugging Face hub, by the package `datasets`."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import SPLIT_NAMES, RawImages, stack_images
from dimple.data.readers.table import points_of_frame
from dimple.errors import DataError, describe_cause
from dimple.locations import choose_label_column
from dimple.settings import format_value

MODES = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB", "RGBA": "RGB"}


def read_hub_dataset(name: str, split: str, label: str | None = None) -> RawImages:
    """Read one split of a data set of the hub: its images, or else its columns of numbers.

    Args:
        name: `OWNER/NAME`, with `@REVISION` and `:CONFIGURATION` where there are several.
        split: `train` or `test`; a validation split serves as `test` where there is none.
        label: the column with the labels; None for the only one of class labels, or `label`.

    Raises:
        DataError: if the data set is not there, or has no images of one size and no numbers.
    """
    table, is_split = _load(name, split)
    location = f"hf:{name}"
    kinds = {column: type(feature).__name__ for column, feature in table.features.items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    labels = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    if not images:
        return points_of_frame(table.to_pandas(), split, label, location)._replace(is_split=is_split)
    if len(images) > 1:
        raise DataError(f"{location}: has {len(images)} columns of images ({', '.join(images)}); save one as a folder")
    chosen = labels[0] if label is None and len(labels) == 1 else choose_label_column(list(kinds), label, location)
    if kinds[chosen] == "ClassLabel":
        classes = tuple(map(str, table.features[chosen].names))
        numbers = np.array(table[chosen], dtype=np.int64)
    else:
        found, inverse = np.unique(np.array([str(value) for value in table[chosen]]), return_inverse=True)
        classes = tuple(map(str, found))
        numbers = inverse.astype(np.int64)
    if len(invalid := np.flatnonzero((numbers < 0) | (numbers >= len(classes)))):
        raise DataError(
            f"{location}: row {invalid[0]} of {split} has the label {numbers[invalid[0]]}, which is no class"
        )
    values = stack_images(((str(row), _pixels(image)) for row, image in enumerate(table[images[0]])), location)
    return RawImages(values, numbers, classes, is_split)


def _pixels(image: Any) -> NDArray[np.uint8]:
    mode = MODES.get(image.mode)
    if mode is None:
        raise DataError(f"an image of the data set has the mode {format_value(image.mode)}; save it as 8-bit images")
    values = np.asarray(image.convert(mode), dtype=np.uint8)
    return values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))


def _load(name: str, split: str) -> tuple[Any, bool]:
    """Return the table of a split, and whether the data set tells splits apart."""
    try:
        library = importlib.import_module("datasets")
    except Exception as error:
        raise DataError(f"hf:{name}: the package datasets cannot be imported ({describe_cause(error)})") from None
    repository, _, configuration = name.partition(":")
    repository, _, revision = repository.partition("@")
    try:
        found = library.load_dataset(repository, configuration or None, revision=revision or None)
    # The package passes on the errors of the libraries below it.
    except Exception as error:
        kind = type(error).__name__
        if "NotFound" in kind and "Connection" not in kind:
            raise DataError(f"hf:{name}: there is no such public data set; check the name") from None
        raise DataError(
            f"hf:{name}: is not in the cache and the hub cannot be reached, or is no table ({describe_cause(error)}); "
            "connect to the network, or copy the cache of a machine that has it and set HF_HOME"
        ) from None
    names = list(found)
    if len(names) == 1:
        return found[names[0]], False
    chosen = next((word for word in SPLIT_NAMES[split] if word in names), None)
    if chosen is None:
        raise DataError(f"hf:{name}: has the splits {', '.join(names)}, and none for {split}; name another data set")
    return found[chosen], True
