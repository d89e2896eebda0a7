"""Atomic writing of files: a reader finds the old or the new content, never a part of it."""

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

from dimple.errors import RunError, printable
from dimple.limits import require_memory


@contextlib.contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`, which replaces `path` if the block ends without an exception.

    The temporary file has the suffix of `path`. After an exception it is deleted.

    Raises:
        RunError: if the file cannot be written; the old file is then unchanged.
    """
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: is not a regular file; choose another path")
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
            raise RunError(
                f"{path}: cannot be written, since the folder {path.parent} is missing; make it or choose another path"
            ) from None
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another path"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` as the full content of a file."""
    with atomic_replace(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON; nan becomes null, and infinity becomes 1e999, which JSON readers read as infinity."""
    text = json.dumps(content, indent=2)
    # With an indent each number ends its line, and a string ends with a quotation mark, so only numbers match.
    for token, replacement in (("NaN", "null"), ("Infinity", "1e999")):
        text = re.sub(rf"\b{token}(?=,?$)", replacement, text, flags=re.MULTILINE)
    write_bytes(path, (text + "\n").encode())


def replace_nonfinite(value: Any) -> Any:
    """Return the same structure in which every float that is not finite is replaced by None.

    Example:
        >>> replace_nonfinite({"margin": float("inf"), "step": 3})
        {'margin': None, 'step': 3}
    """
    if isinstance(value, Mapping):
        return {key: replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_table(path: Path, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str]) -> None:
    """Write a Parquet table; each field has its unit as the metadata entry `unit`."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    schema = pa.schema(
        [pa.field(name, array.type, metadata={"unit": units.get(name, "")}) for name, array in arrays.items()]
    )
    with atomic_replace(path) as temporary:
        pq.write_table(pa.table(list(arrays.values()), schema=schema), temporary, compression="zstd")


def read_table(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the columns of a table from `write_table`, and their units.

    Raises:
        RunError: if the file is missing or damaged.
    """
    try:
        # pq.read_table loads pandas, which takes half a second.
        with pq.ParquetFile(path) as file:
            size = 16.0 * file.metadata.num_rows * file.metadata.num_columns
            require_memory(size, f"{path}: has {file.metadata.num_rows} rows", RunError)
            table = file.read()
        columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
        units = {field.name: printable((field.metadata or {}).get(b"unit", b"").decode()) for field in table.schema}
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path}: is not a readable table ({error}); make the run again with force=True") from error
    return columns, units
