"""Atomic writing of files: a reader finds the old or the new content, never a part of it."""

import contextlib
import glob
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dimple.errors import RunError, printable
from dimple.limits import require_memory
from dimple.runs.lock import owner_mark, remove_abandoned
from dimple.runs.manifest import Checksum, append_checksum, find_manifest

TEMPORARY_PREFIX = ".dimple-tmp-"
# The characters of a name that its temporary file shares at most; the full name could be too long.
MAX_ENDING = 100


@contextlib.contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`, which replaces `path` if the block ends without an exception.

    The temporary file has the suffix of `path`. After an exception it is deleted. The check sum of a file of a run is
    added to the manifest of the run.

    Raises:
        RunError: if the file cannot be written; the old file is then unchanged.
    """
    temporary: Path | None = None
    try:
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: is not a regular file; choose another path")
        manifest = find_manifest(path)
        ending = f"-{path.name[-MAX_ENDING:]}"
        if manifest is None:
            # A run removes the files of a killed process when it is continued.
            remove_abandoned(path.parent.glob(f"{TEMPORARY_PREFIX}*{glob.escape(ending)}"))
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX + owner_mark(), suffix=ending, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        if manifest is not None:
            append_checksum(manifest, path, Checksum.of(temporary))
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
            # A file that cannot be deleted now is deleted when the run is continued.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Make a folder, with those above it, unless it exists; return it.

    Raises:
        RunError: if it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be made ({error.strerror or error}); choose another path") from None
    return path


def remove_file(path: Path) -> None:
    """Remove a file, and note in the manifest of its run that it was removed.

    Raises:
        RunError: if it cannot be removed.
    """
    try:
        if (manifest := find_manifest(path)) is not None:
            append_checksum(manifest, path, None)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be removed ({error.strerror or error}); choose another path") from error


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
    arrays = {name: _to_arrow(values) for name, values in columns.items()}
    schema = pa.schema(
        [pa.field(name, array.type, metadata={"unit": units.get(name, "")}) for name, array in arrays.items()]
    )
    with atomic_replace(path) as temporary:
        pq.write_table(pa.table(list(arrays.values()), schema=schema), temporary, compression="zstd")


def _to_arrow(values: NDArray[Any]) -> pa.Array:
    """Return a column as pyarrow does, which would load pandas for it; that takes half a second."""
    if values.dtype.kind == "U":
        encoded = [text.encode() for text in values.tolist()]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
        return pa.Array.from_buffers(
            pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
        )
    if values.dtype.kind in "iuf" and values.dtype.isnative and values.dtype.itemsize > 2:
        buffer = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])
    if values.dtype.kind == "b":
        packed = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(packed)])
    return pa.array(values)


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as pyarrow does, which would load pandas for it."""
    if column.null_count == 0:
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return np.from_dlpack(column.combine_chunks())
        if pa.types.is_boolean(column.type):
            return np.array(column.to_pylist(), bool)
        if pa.types.is_string(column.type):
            return np.array(column.to_pylist(), object)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def read_table(
    path: Path, read: Callable[[Path], bytes] = Path.read_bytes
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the columns of a table from `write_table`, and their units.

    Args:
        path: the file.
        read: returns the content of the file.

    Raises:
        RunError: if the file is missing or damaged.
    """
    try:
        # pq.read_table loads pandas, which takes half a second.
        file = pq.ParquetFile(pa.BufferReader(read(path)))
        size = 16.0 * file.metadata.num_rows * file.metadata.num_columns
        require_memory(size, f"{path}: has {file.metadata.num_rows} rows", RunError)
        # A thread could hold the last reference to the bytes when the interpreter ends, which then aborts.
        table = file.read(use_threads=False)
        columns = {name: _to_numpy(table.column(name)) for name in table.column_names}
        units = {field.name: printable((field.metadata or {}).get(b"unit", b"").decode()) for field in table.schema}
    except RunError:
        raise
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path}: is not a readable table ({error}); make the run again with force=True") from error
    return columns, units
