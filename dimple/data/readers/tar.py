"""Reader of tar archives, member by member from the start, without unpacking to disk."""

import bz2
import contextlib
import gzip
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

from dimple.errors import DataError
from dimple.settings import format_value

MAX_MEMBER_BYTES = 64 * 2**20
# Of what tarfile reads at once before a member: its long name, and other properties.
MAX_HEADER_BYTES = 2**16
# Of the decompressed archive: beyond the first bytes, a multiple of its size.
MAX_GROWTH = 20
FREE_BYTES = 2**28
# Digits that are no property of a member, on whose rows tarfile takes a time that grows with the square.
LONG_NUMBER_PATTERN = re.compile(rb"\d{32}")
DOWNLOAD_AGAIN_HINT = "get the archive from its source again"
_READ_ERRORS = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError)


@final
class TarMember:
    """A member of an archive; call `read` before the iteration moves to the next member."""

    def __init__(self, archive: Path, info: tarfile.TarInfo, tar: tarfile.TarFile, blocks: "_Blocks") -> None:
        self.parts = tuple(part for part in info.name.split("/") if part not in ("", "."))
        self.location = f"{archive}: {format_value(info.name)}"
        self.is_folder = info.isdir()
        self._info = info
        self._tar = tar
        self._blocks = blocks

    def read(self) -> bytes:
        """Return the content.

        Raises:
            DataError: if the member is a link or a device, larger than 64 MB, or damaged.
        """
        if not self._info.isreg():
            raise DataError(f"{self.location} is a link or a device, not a regular file; {DOWNLOAD_AGAIN_HINT}")
        if self._info.size > MAX_MEMBER_BYTES:
            raise DataError(f"{self.location} has {self._info.size} bytes; the limit is {MAX_MEMBER_BYTES}")
        try:
            content = self._tar.extractfile(self._info)
            with self._blocks.unlimited():
                return content.read() if content is not None else b""
        except _READ_ERRORS as error:
            raise DataError(f"{self.location} cannot be read ({error}); {DOWNLOAD_AGAIN_HINT}") from None


def iterate_members(path: Path) -> Iterator[TarMember]:
    """Yield the members of an archive in their order.

    The compression (none, gzip, bzip2 or xz) is detected from the content.

    Raises:
        DataError: if the file is not a tar archive, is damaged or truncated, or if a member's name occurs twice or
            points outside the archive.
    """
    names: set[str] = set()
    try:
        with path.open("rb") as file, _open_decompressed(file) as stream:
            blocks = _Blocks(stream, path)
            with tarfile.open(fileobj=blocks, mode="r:") as tar:  # type: ignore[call-overload]
                while (info := tar.next()) is not None:
                    _check_name(path, info.name, names)
                    yield TarMember(path, info, tar, blocks)
                    # A long archive would fill the memory.
                    tar.members.clear()
            _check_end(path, blocks)
    except DataError:
        raise
    except _READ_ERRORS as error:
        raise DataError(f"{path}: is not a tar archive, or is damaged ({error}); {DOWNLOAD_AGAIN_HINT}") from None


def _open_decompressed(file: io.BufferedReader) -> io.BufferedIOBase:
    """Return the decompressed stream; unlike the decompression of tarfile, these classes detect a truncated file."""
    openers: dict[bytes, Callable[[io.BufferedReader], io.BufferedIOBase]] = {
        b"\xfd7zXZ\x00": lzma.LZMAFile,
        b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
        b"BZh": bz2.BZ2File,
    }
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"PK"):
        raise DataError(f"{file.name}: is a zip archive; unpack it, and name the folder")
    return next((opener(file) for start, opener in openers.items() if magic.startswith(start)), file)


def _check_name(path: Path, name: str, names: set[str]) -> None:
    """Refuse a name that occurs twice or points outside the archive: such an archive may be malicious."""
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(
            f"{path}: holds a member named {format_value(name)}, outside the archive; {DOWNLOAD_AGAIN_HINT}"
        )
    if name in names:
        raise DataError(f"{path}: holds {format_value(name)} twice; {DOWNLOAD_AGAIN_HINT}")
    names.add(name)


def _check_end(path: Path, stream: "_Blocks") -> None:
    """Require the block of zeros at the end of an archive; tarfile accepts any unreadable header as the end."""
    if stream.last_block.count(0) != 512:
        raise DataError(f"{path}: ends too early or is damaged; {DOWNLOAD_AGAIN_HINT}")
    while stream.read(MAX_HEADER_BYTES):
        continue


@final
class _Blocks:
    """A decompressed stream that stores the last block read from it, and ends an archive that grows without limit."""

    def __init__(self, stream: io.BufferedIOBase, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._max_position = MAX_GROWTH * path.stat().st_size + FREE_BYTES
        self._is_header = True
        self.last_block = b""

    @contextlib.contextmanager
    def unlimited(self) -> Iterator[None]:
        """Read the content of a member, whose size has been checked."""
        self._is_header = False
        try:
            yield
        finally:
            self._is_header = True

    def read(self, size: int = -1) -> bytes:
        if self._is_header and size > MAX_HEADER_BYTES:
            raise DataError(f"{self._path}: has a member with a header of {size} bytes; {DOWNLOAD_AGAIN_HINT}")
        self.last_block = self._stream.read(size)
        if self._is_header and size > tarfile.BLOCKSIZE and LONG_NUMBER_PATTERN.search(self.last_block):
            raise DataError(f"{self._path}: has a member with a damaged header; {DOWNLOAD_AGAIN_HINT}")
        self._check_position(self._stream.tell())
        return self.last_block

    def seek(self, position: int, whence: int = 0) -> int:
        self._check_position(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check_position(self, position: int) -> None:
        if position > self._max_position:
            raise DataError(
                f"{self._path}: grows to more than {MAX_GROWTH} times its size; unpack it, and name the folder"
            )
