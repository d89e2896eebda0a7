"""Writing files so that a reader finds the old one or the new one, never a half."""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dimple.errors import RunError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` (same suffix) that takes its place when the block ends well, and goes otherwise.

    Raises:
        RunError: when the disk refuses; the old file is then untouched.
    """
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: is not a regular file; choose another place")
        handle, name = tempfile.mkstemp(prefix=".dimple-tmp-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, RunError):
            raise
        if not path.parent.is_dir():
            raise RunError(f"{path}: cannot be written, as there is no folder {path.parent}; make it or choose another place") from None
        raise RunError(f"{path}: cannot be written ({error.strerror or error}); free space or choose another place") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes) -> None:
    """`content` as the whole file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """`content` as JSON, which lacks nan and infinity: they become null and 1e999, which is read as infinite again."""
    text = json.dumps(content, indent=2)
    # Every number ends its line, and every string ends with a quotation mark.
    for word, number in (("NaN", "null"), ("Infinity", "1e999")):
        text = re.sub(rf"\b{word}(?=,?$)", number, text, flags=re.MULTILINE)
    write_bytes(path, (text + "\n").encode())


def without_infinities(value: Any) -> Any:
    """The same structure with every float that is not finite replaced by None.

    Example:
        >>> without_infinities({"margin": float("inf"), "step": 3})
        {'margin': None, 'step': 3}
    """
    if isinstance(value, Mapping):
        return {key: without_infinities(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_infinities(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_table(path: Path, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str]) -> None:
    """A Parquet table whose fields carry their unit as metadata `unit`."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    schema = pa.schema(
        [pa.field(name, array.type, metadata={"unit": units.get(name, "")}) for name, array in arrays.items()]
    )
    with replacing(path) as temporary:
        pq.write_table(pa.table(list(arrays.values()), schema=schema), temporary, compression="zstd")


def read_table(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The columns of such a table, and their units.

    Raises:
        RunError: if it is missing or damaged.
    """
    try:
        # pyarrow's own read_table loads pandas, which takes half a second.
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{path}: is no readable table ({error}); make the run again with --force") from error
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in table.schema}
    return columns, units
