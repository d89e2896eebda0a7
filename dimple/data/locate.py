"""The places where a data set is looked for: a given path, the folder in $DIMPLE_DATA, and the cache of the user."""

import os
from pathlib import Path

from dimple.errors import MissingDataError, UsageError
from dimple.settings import format_value


def locate_dataset(name: str, location: str | None = None) -> str:
    """Return the specification `NAME:PATH` of a data set, as `load_images` takes it.

    Args:
        name: such as `mnist`; `digits` is part of scikit-learn.
        location: `NAME:PATH`, which a user gave; None to look in `$DIMPLE_DATA/NAME` and then in the cache,
            `~/.cache/dimple/NAME`.

    Raises:
        UsageError: if the location is that of another data set.
        MissingDataError: if the data set is in none of these places.
    """
    if name == "digits":
        return name
    if location is not None:
        if not location.startswith(f"{name}:"):
            raise UsageError(f"data {format_value(location)} is not what the scene needs; write {name}:PATH")
        return location
    for folder in data_folders():
        if (folder / name).exists():
            return f"{name}:{(folder / name).resolve()}"
    raise MissingDataError(
        name, f"needs {name}, which is not on this machine; give --data {name}:PATH, or set DIMPLE_DATA to its parent"
    )


def data_folders() -> list[Path]:
    """Return the folders in which data sets are looked for, in this order."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dimple"
    return [*([Path(given)] if (given := os.environ.get("DIMPLE_DATA")) else []), cache]
