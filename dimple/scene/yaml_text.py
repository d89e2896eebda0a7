"""A scene file as text: an ordinary file of UTF-8, at most 1 MB, or a sentence that says what else it is."""

import os
from collections.abc import Callable
from pathlib import Path

from yaml.reader import Reader

from dimple.errors import SceneError

LARGEST = 1_000_000


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of the scene file `path`, without a byte-order mark.

    Devices, pipes and folders are refused before anything is read, and never more than a megabyte is held.

    Raises:
        SceneError: naming the file and, for a character that has no place in a scene, its line and column.
    """
    file = Path(path)
    try:
        if not file.exists():
            raise SceneError(f"{path}: there is no such file; `dimple scenes` lists the scenes that ship")
        if not file.is_file():
            raise SceneError(f"{path}: is not a regular file; a scene is a YAML file")
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror}); check its name and permissions") from None
    return decode(data, str(path))


def decode(data: bytes, file: str) -> str:
    """The bytes of `file` as text.

    Example:
        >>> decode(b"name: a", "a.yaml")
        'name: a'
    """
    if len(data) > LARGEST:
        raise SceneError(f"{file}: is larger than 1 MB; a scene is a page of YAML, keep data in files of their own")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SceneError(f"{file}: is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(data[: error.start].decode("utf-8"))
        raise SceneError(
            f"{file}:{line}: column {column} holds the byte 0x{data[error.start]:02x}, which is not UTF-8; "
            "save the file as UTF-8"
        ) from None
    require_printable(text, lambda line: f"{file}:{line}")
    return text


def require_printable(text: str, place: Callable[[int], str]) -> None:
    """Refuse control characters, which hide in an editor, and tabs in the indentation, which YAML forbids."""
    control = Reader.NON_PRINTABLE.search(text)
    if control:
        line, column = _line_and_column(text[: control.start()])
        raise SceneError(
            f"{place(line)}: column {column} holds the control character {control.group()!r}; remove it, "
            'or write it as an escape in "double quotes"'
        )
    for number, line_text in enumerate(text.split("\n"), start=1):
        if "\t" in line_text[: len(line_text) - len(line_text.lstrip())]:
            raise SceneError(f"{place(number)}: is indented with a tab; YAML is indented with spaces")


def _line_and_column(before: str) -> tuple[int, int]:
    """Where the character stands that follows `before`, both counted from 1."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
