"""Opening of zip archives of strangers, whose directory alone may take gigabytes."""

import os
import zipfile
from typing import BinaryIO

# Of the directory of an archive: some 100,000 entries.
MAX_DIRECTORY_BYTES = 2**23
# The end of an archive: the longest comment, and the records of its directory with 32 and with 64 bits.
_TAIL_BYTES = 2**16 + 22 + 20 + 56
_END_RECORD = b"PK\x05\x06"
_END_RECORD_64 = b"PK\x06\x06"


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Open an archive whose entries are stored or deflated, after a look at the size of its directory.

    Raises:
        zipfile.BadZipFile: if it is no such archive.
    """
    start = max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0)
    file.seek(start)
    tail = file.read(_TAIL_BYTES)
    record = tail.rfind(_END_RECORD)
    record_64 = tail.rfind(_END_RECORD_64)
    size = int.from_bytes(tail[record + 12 : record + 16], "little") if record >= 0 else 0
    size_64 = int.from_bytes(tail[record_64 + 40 : record_64 + 48], "little") if record_64 >= 0 else 0
    if (size if size != 2**32 - 1 else 0) > MAX_DIRECTORY_BYTES or size_64 > MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile(f"its directory has {max(size, size_64)} bytes, more than {MAX_DIRECTORY_BYTES}")
    file.seek(0)
    archive = zipfile.ZipFile(file)
    unusual = [entry for entry in archive.infolist() if entry.compress_type not in (0, zipfile.ZIP_DEFLATED)]
    if unusual:
        raise zipfile.BadZipFile("its entries are neither stored nor deflated")
    return archive
