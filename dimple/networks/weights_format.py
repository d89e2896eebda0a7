"""Detection of the format of a weights file from its first bytes, and the check of zip archives."""

import io
import json
import shlex
import zipfile
import zlib
from pathlib import Path
from typing import Literal

from dimple.errors import ModelError
from dimple.settings import format_value
from dimple.zip_files import open_zip

WeightsFormat = Literal["torch", "safetensors"]
# First bytes of a file of torch.save without a zip archive.
LEGACY_TORCH_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# Length above which the first eight bytes are not that of a safetensors header.
MAX_HEADER_BYTES = 2**40
# Of an entry of a zip archive: the start of its header, and what may follow its content.
LOCAL_HEADER_BYTES = 30
MAX_DESCRIPTOR_BYTES = 24
DOWNLOAD_AGAIN_HINT = "get it from its source again"


def describe_conversion(location: str, load: str = 'torch.load({path}, map_location="cpu", weights_only=False)') -> str:
    """Return a line of Python that turns a file which is not read into one of weights alone; it runs the file's code.

    Args:
        location: the file.
        load: the call that loads it, with `{path}` for its path.

    Example:
        >>> print(describe_conversion("net.pt", "torch.jit.load({path})"))
        python -c 'import torch; w = lambda v: ...; torch.save(w(torch.jit.load("net.pt")), "net-weights.pt")'
    """
    path, target = (json.dumps(name, ensure_ascii=False) for name in (location, f"{Path(location).stem}-weights.pt"))
    keep = (
        "w = lambda v: w(v.state_dict()) if isinstance(v, torch.nn.Module) else v if isinstance(v, torch.Tensor) else "
        "{k: w(x) for k, x in v.items() if isinstance(x, (dict, torch.nn.Module, torch.Tensor))}"
    )
    # A name of a file that a shell would run stays a name.
    return f"python -c {shlex.quote(f'import torch; {keep}; torch.save(w({load.format(path=path)}), {target})')}"


def detect_weights_format(content: bytes, location: str) -> WeightsFormat:
    """Return `torch` or `safetensors`, from the content of a file; its extension is ignored.

    Args:
        content: the full file.
        location: name of the file in error messages.

    Raises:
        ModelError: if it is empty, a web page, a Git LFS pointer, an exported program, damaged or of another format.
    """
    if not content:
        raise ModelError(f"{location}: is empty; {DOWNLOAD_AGAIN_HINT}")
    if content.startswith(b"version https://git-lfs"):
        raise ModelError(f"{location}: is a Git LFS pointer, not the weights; fetch them with git lfs pull")
    if content[:200].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ModelError(f"{location}: is a web page, not a weights file; download the file itself")
    if content[8:9] == b"{" and int.from_bytes(content[:8], "little") < MAX_HEADER_BYTES:
        return "safetensors"
    if content.startswith(b"PK"):
        _check_zip(content, location)
        return "torch"
    if content.startswith((LEGACY_TORCH_MAGIC, b"\x80")):
        return "torch"
    raise ModelError(
        f"{location}: begins with {format_value(content[:12])}, so it is not a safetensors or torch file; name one"
    )


def _check_zip(content: bytes, location: str) -> None:
    """Raise a ModelError for what torch would load without a warning: compressed entries, damaged ones and programs.

    A compressed entry may expand a thousandfold, and torch does not compare checksums.
    """
    try:
        with open_zip(io.BytesIO(content)) as archive:
            _check_program(archive, location)
            _check_hidden(archive, content, location)
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ModelError(f"{location}: has compressed entries, which torch.save never writes; save it again")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{location}: is a truncated or damaged zip file ({error}); {DOWNLOAD_AGAIN_HINT}") from None
    if damaged is not None:
        raise ModelError(f"{location}: the checksum (CRC) of {format_value(damaged)} is wrong; {DOWNLOAD_AGAIN_HINT}")


def _check_hidden(archive: zipfile.ZipFile, content: bytes, location: str) -> None:
    """Raise a ModelError for bytes that belong to no entry: those of a second directory would be read elsewhere."""
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        header = content[info.header_offset : info.header_offset + LOCAL_HEADER_BYTES]
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        if not 0 <= info.header_offset - end <= MAX_DESCRIPTOR_BYTES:
            break
        end = info.header_offset + LOCAL_HEADER_BYTES + lengths + info.compress_size
    else:
        if 0 <= archive.start_dir - end <= MAX_DESCRIPTOR_BYTES:
            return
    raise ModelError(f"{location}: has entries that overlap, or bytes between them; save it again with torch.save")


def _check_program(archive: zipfile.ZipFile, location: str) -> None:
    names = [name.split("/") for name in archive.namelist()]
    if any(name[-1] in ("archive_format", "constants.pkl") or "code" in name[:-1] for name in names):
        is_script = any(name[-1] == "constants.pkl" for name in names)
        load = 'torch.jit.load({path}, map_location="cpu")' if is_script else "torch.export.load({path}).module()"
        raise ModelError(
            f"{location}: is a TorchScript or exported program, which runs code; if you trust it, convert it: "
            f"{describe_conversion(location, load)}"
        )
    if not any(name[-1] == "data.pkl" for name in names):
        raise ModelError(f"{location}: is a zip file without torch weights; save model.state_dict() with torch.save")
