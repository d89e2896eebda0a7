"""Tar archives, read member by member from the front and never unpacked onto the disk."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

from dimple.errors import DataError
from dimple.settings import shown

LARGEST_MEMBER = 64 * 2**20
AGAIN = "get the archive from its source again"
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError)


@final
class Member:
    """One regular file of an archive; `read` it before asking for the next one."""

    def __init__(self, archive: Path, info: tarfile.TarInfo, tar: tarfile.TarFile) -> None:
        self.parts = tuple(part for part in info.name.split("/") if part not in ("", "."))
        self.place = f"{archive}: {shown(info.name)}"
        self._info = info
        self._tar = tar

    def read(self) -> bytes:
        """Its content.

        Raises:
            DataError: if it is a link or a device, larger than 64 MB, or damaged.
        """
        if not self._info.isreg():
            raise DataError(f"{self.place} is a link or a device, no regular file; {AGAIN}")
        if self._info.size > LARGEST_MEMBER:
            raise DataError(f"{self.place} has {self._info.size} bytes; the limit is {LARGEST_MEMBER}")
        try:
            content = self._tar.extractfile(self._info)
            return content.read() if content is not None else b""
        except _DAMAGE as error:
            raise DataError(f"{self.place} cannot be read ({error}); {AGAIN}") from None


def members(path: Path) -> Iterator[Member]:
    """What an archive holds besides folders, in its own order; .tar, .tar.gz, .tar.bz2 or .tar.xz, by content.

    Raises:
        DataError: if it is no archive, is damaged or ends too early, or if a name in it occurs twice or leaves it.
    """
    names: set[str] = set()
    try:
        with path.open("rb") as file, _unpacked(file) as stream:
            watched = _Watched(stream)
            with tarfile.open(fileobj=watched, mode="r:") as tar:  # type: ignore[call-overload]
                for info in tar:
                    _check_name(path, info.name, names)
                    if not info.isdir():
                        yield Member(path, info, tar)
            _check_end(path, watched)
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{path}: is no tar archive, or a damaged one ({error}); {AGAIN}") from None


def _unpacked(file: io.BufferedReader) -> io.BufferedIOBase:
    """The stream without its compression; unlike tarfile's own, these notice that a file ends too early."""
    openers: dict[bytes, Callable[[io.BufferedReader], io.BufferedIOBase]] = {
        b"\xfd7zXZ\x00": lzma.LZMAFile,
        b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
        b"BZh": bz2.BZ2File,
    }
    magic = file.read(6)
    file.seek(0)
    return next((opener(file) for start, opener in openers.items() if magic.startswith(start)), file)


def _check_name(path: Path, name: str, names: set[str]) -> None:
    """Nothing is written, but a name twice or outside the archive says that somebody meant mischief."""
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(f"{path}: holds a member named {shown(name)}, outside the archive; {AGAIN}")
    if name in names:
        raise DataError(f"{path}: holds {shown(name)} twice; {AGAIN}")
    names.add(name)


def _check_end(path: Path, watched: "_Watched") -> None:
    """A block of zeros ends an archive; tarfile takes any unreadable header, or none, for the end."""
    if watched.last.count(0) != 512:
        raise DataError(f"{path}: ends too early or is damaged; {AGAIN}")
    while watched.read(2**20):
        continue


@final
class _Watched:
    """A stream that remembers the last block read from it."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        self.last = self._stream.read(size)
        return self.last

    def seek(self, position: int, whence: int = 0) -> int:
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()
