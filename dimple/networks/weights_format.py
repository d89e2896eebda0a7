"""What kind of file a weights file is, told by its first bytes, and whether a zip archive is whole."""

import io
import pickletools
import zipfile
import zlib
from typing import Literal

from dimple.errors import ModelError
from dimple.settings import shown

Container = Literal["torch", "safetensors"]
LEGACY_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LONGEST_HEADER = 2**40
AGAIN = "get it from its source again"


def container(content: bytes, place: str) -> Container:
    """`torch` or `safetensors`, by content; the extension is not looked at.

    Args:
        content: the whole file.
        place: what errors call it.

    Raises:
        ModelError: naming what it is instead: empty, a web page, a Git LFS pointer, an exported program, damaged.
    """
    if not content:
        raise ModelError(f"{place}: is empty; {AGAIN}")
    if content.startswith(b"version https://git-lfs"):
        raise ModelError(f"{place}: is a Git LFS pointer, not the weights; fetch them with git lfs pull")
    if content[:200].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ModelError(f"{place}: is a web page, not a weights file; download the file itself")
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < LONGEST_HEADER:
        return "safetensors"
    if content.startswith(b"PK"):
        _check_zip(content, place)
        return "torch"
    if content.startswith((LEGACY_TORCH, b"\x80")):
        return "torch"
    raise ModelError(f"{place}: begins with {shown(content[:12])}, so it is no safetensors or torch file; name one")


def _check_zip(content: bytes, place: str) -> None:
    """Refuse what torch would load without a word: compressed entries, damaged ones, and programs.

    A compressed entry may swell a thousandfold, and torch compares no checksum.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_program(archive, place)
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ModelError(f"{place}: has compressed entries, which torch.save never writes; save it anew")
            if sum(info.file_size for info in archive.infolist()) > len(content):
                raise ModelError(f"{place}: its entries overlap or lie about their size; save it anew")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{place}: is a truncated or damaged zip file ({error}); {AGAIN}") from None
    if damaged is not None:
        raise ModelError(f"{place}: the checksum (CRC) of {shown(damaged)} is wrong; {AGAIN}")


def _check_program(archive: zipfile.ZipFile, place: str) -> None:
    names = [name.split("/") for name in archive.namelist()]
    if any(name[-1] in ("archive_format", "constants.pkl") or "code" in name[:-1] for name in names):
        raise ModelError(f"{place}: is a TorchScript or exported program, which runs code; save model.state_dict()")
    if not any(name[-1] == "data.pkl" for name in names):
        raise ModelError(f"{place}: is a zip file without torch weights; save model.state_dict() with torch.save")


def first_global(content: bytes) -> str | None:
    """The first Python object that a bare pickle asks for, told from its opcodes, none of which is carried out."""
    words: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "GLOBAL":
                return shown(str(argument).replace(" ", "."))[1:-1]
            if opcode.name == "STACK_GLOBAL":
                return shown(".".join(words[-2:]))[1:-1]
            if isinstance(argument, str):
                words.append(argument)
    except (ValueError, UnicodeError):
        return None
    return None
