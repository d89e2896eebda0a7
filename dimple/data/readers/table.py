"""Reader of tables of labeled points: CSV, TSV and parquet files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.data.readers.pixels import MAX_CLASSES, SPLIT_NAMES, RawImages
from dimple.errors import DataError
from dimple.limits import require_memory
from dimple.locations import SEPARATORS, choose_label_column
from dimple.settings import format_value

# The column that tells the splits apart.
SPLIT_COLUMN = "split"
# What pandas calls the numbers of the rows that it wrote.
ROW_NUMBERS = ("", "Unnamed: 0")
# Of a table in memory, for each byte of its file.
GROWTH = 10


def read_points(path: Path, split: str, label: str | None = None) -> RawImages:
    """Read one split of a table: a row for each point, a column for each coordinate, and one for the label.

    A column `split` tells training from test points by the words train and test (or val); without it all points are
    both. Labels are class numbers from 0, or any other values, whose sorted list gives the classes; of whole numbers a
    warning says so.

    Args:
        path: a .csv, .tsv or .parquet file with the names of the columns.
        split: `train` or `test`.
        label: the name of the column with the labels; None for `label`, `class`, `target` or `y`.

    Raises:
        DataError: if the file is no such table, or a coordinate is missing or no number.
    """
    frame = _read_frame(path)
    return points_of_frame(frame, split, label, str(path))


def points_of_frame(frame: Any, split: str, label: str | None, location: str) -> RawImages:
    """Return one split of a pandas frame, see `read_points`.

    Raises:
        DataError: if it has no such column, or a coordinate is missing or no number.
    """
    names = [str(name) for name in frame.columns]
    frame.columns = names
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{location}: has two columns {format_value(duplicate)}; rename one")
    chosen = choose_label_column(names, label, location)
    labels, classes = _number_classes(frame[chosen], chosen, location)
    is_split = SPLIT_COLUMN in names and chosen != SPLIT_COLUMN and frame[SPLIT_COLUMN].dtype.kind not in "iuf"
    coordinates = [name for name in names if name != chosen and not (is_split and name == SPLIT_COLUMN)]
    if (
        coordinates
        and coordinates[0] in ROW_NUMBERS
        and (frame[coordinates[0]].to_numpy() == np.arange(len(frame))).all()
    ):
        del coordinates[0]
    if not coordinates or not len(frame):
        raise DataError(f"{location}: has no {'rows' if coordinates else 'coordinates'} beside {format_value(chosen)}")
    values = np.stack([_numbers(frame[name], name, location) for name in coordinates], axis=1)
    if is_split:
        words = frame[SPLIT_COLUMN].astype(str).str.lower()
        known = next((name for name in SPLIT_NAMES[split] if (words == name).any()), split)
        rows = (words == known).to_numpy()
        if not rows.any():
            raise DataError(f"{location}: its column split has no {split}; it has {', '.join(sorted(set(words))[:5])}")
        values = values[rows]
        labels = labels[rows]
    return RawImages(values, labels, classes, is_split, tuple(coordinates))


def _read_frame(path: Path) -> Any:
    import pandas as pd

    suffix = path.suffix.lower()
    require_memory(GROWTH * path.stat().st_size, f"{path}: is a large table", DataError)
    try:
        if suffix in SEPARATORS:
            frame = pd.read_csv(path, sep=SEPARATORS[suffix], skipinitialspace=True, encoding="utf-8-sig")
            return frame.rename(columns=lambda name: str(name).strip())
        if suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
    # pandas and pyarrow have many classes of errors for damaged files.
    except Exception as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path}: is not a readable table ({cause}); write it again") from None
    raise DataError(f"{path}: ends in {suffix or 'nothing'}; a table is a .csv, .tsv or .parquet file")


def _numbers(column: Any, name: str, location: str) -> NDArray[np.float64]:
    if column.dtype.kind not in "iufb":
        example = next((value for value in column if not isinstance(value, int | float)), None)
        raise DataError(
            f"{location}: column {format_value(name)} holds {format_value(example)}; coordinates are numbers: leave "
            "the column out, or name it by --label"
        )
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"{location}: column {format_value(name)} has no finite number in row {row}; leave such rows out"
        )
    return values  # type: ignore[no-any-return]


def _number_classes(column: Any, name: str, location: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the class number of each row, and the names of the classes."""
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0])
        raise DataError(f"{location}: column {format_value(name)} has no label in row {row}; leave such rows out")
    values = column.to_numpy()
    if values.dtype.kind == "f" and (values == np.round(values)).all():
        values = values.astype(np.int64)
    if values.dtype.kind == "f":
        raise DataError(f"{location}: column {format_value(name)} holds {values[0]}; labels are classes, not measures")
    if values.dtype.kind in "iu" and values.min() == 0 and values.max() < MAX_CLASSES:
        return values.astype(np.int64), tuple(map(str, range(max(2, int(values.max()) + 1))))
    words = values if values.dtype.kind in "iub" else values.astype(str)
    found, numbers = np.unique(words, return_inverse=True)
    if not 2 <= len(found) <= MAX_CLASSES:
        raise DataError(f"{location}: column {format_value(name)} has {len(found)} different labels; give at least two")
    if words.dtype.kind in "iu":
        rest = f", {found[1]} as class 1, and so on to {found[-1]} as class {len(found) - 1}"
        warnings.warn(
            f"{location}: labels in column {format_value(name)} do not count from 0: {found[0]} is read as class 0"
            + (f", and {found[1]} as class 1" if len(found) == 2 else rest),
            stacklevel=1,
        )
    return numbers.astype(np.int64), tuple(map(str, found))
