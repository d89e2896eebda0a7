"""Reading of a scene file as text: a regular UTF-8 file of at most 1 MB."""

import os
from collections.abc import Callable
from pathlib import Path

from yaml.reader import Reader

from dimple.errors import SceneError

MAX_FILE_BYTES = 1_000_000


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of the scene file `path`, without a byte-order mark.

    Devices, pipes and folders are refused before anything is read, and at most one megabyte is read.

    Raises:
        SceneError: if the file is unreadable, not UTF-8, or contains a forbidden character, with line and column.
    """
    file = Path(path)
    try:
        if not file.exists():
            raise SceneError(f"{path}: no such file; `dimple scenes` lists the built-in scenes")
        if not file.is_file():
            raise SceneError(f"{path}: is not a regular file; a scene is a YAML file")
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror}); check its name and permissions") from None
    return decode(data, str(path))


def decode(data: bytes, file: str) -> str:
    """Return the bytes of `file` as text.

    Example:
        >>> decode(b"name: a", "a.yaml")
        'name: a'
    """
    if len(data) > MAX_FILE_BYTES:
        raise SceneError(f"{file}: is larger than 1 MB; a scene is a page of YAML, keep data in separate files")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SceneError(f"{file}: is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(data[: error.start].decode("utf-8"))
        raise SceneError(
            f"{file}:{line}:{column}: holds the byte 0x{data[error.start]:02x}, which is not UTF-8; "
            "save the file as UTF-8"
        ) from None
    require_printable(text, lambda line, column: f"{file}:{line}:{column}")
    return text


def require_printable(text: str, source_location: Callable[[int, int], str]) -> None:
    """Refuse control characters, which an editor may hide, and tabs in the indentation, which YAML forbids."""
    control = Reader.NON_PRINTABLE.search(text)
    if control:
        line, column = _line_and_column(text[: control.start()])
        raise SceneError(
            f"{source_location(line, column)}: holds the control character {control.group()!r}; remove it, "
            'or write it as an escape in "double quotes"'
        )
    for number, line_text in enumerate(text.split("\n"), start=1):
        if "\t" in line_text[: len(line_text) - len(line_text.lstrip())]:
            raise SceneError(f"{source_location(number, 1)}: is indented with a tab; YAML is indented with spaces")


def _line_and_column(prefix: str) -> tuple[int, int]:
    """Return the line and the column of the character after `prefix`, both counted from 1."""
    return prefix.count("\n") + 1, len(prefix) - (prefix.rfind("\n") + 1) + 1
