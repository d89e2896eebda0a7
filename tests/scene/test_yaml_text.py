"""Files that are not scenes: each is refused at once, with its name and, if it has one, its line."""

import os
from pathlib import Path

import pytest

from dimple.errors import SceneError
from dimple.scene.yaml_text import read_text

REMEDY = 'remove it, or write it as an escape in "double quotes"'
BAD_BYTES = {
    "not utf-8": (
        b"name: a\nnote: caf\xe9\n",
        ":2:10: holds the byte 0xe9, which is not UTF-8; save the file as UTF-8",
    ),
    "utf-16": ("name: a".encode("utf-16"), ": is UTF-16; save it as UTF-8"),
    "nul": (
        b"name: a\n\nseed: 1\x00\n",
        ":3:8: holds the control character '\\x00'; " + REMEDY,
    ),
    "escape sequence": (
        b"name: \x1b[31mred\n",
        ":1:7: holds the control character '\\x1b'; " + REMEDY,
    ),
    "tab": (b"film:\n\tspin: true\n", ":2:1: is indented with a tab; YAML is indented with spaces"),
    "tab after spaces": (
        b"a: 1\nfilm:\n  \tspin: true\n",
        ":3:1: is indented with a tab; YAML is indented with spaces",
    ),
    "huge": (
        b"#" * 1_000_001,
        ": is larger than 1 MB; a scene is a page of YAML, keep data in separate files",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_bytes_that_are_not_text_are_located(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(data)
    with pytest.raises(SceneError) as caught:
        read_text(file)
    assert str(caught.value) == f"{file}{message}"


def test_a_byte_order_mark_is_not_a_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "bom.yaml"
    file.write_bytes(b"\xef\xbb\xbfname: a")
    assert read_text(file) == "name: a"


def test_a_megabyte_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * 1_000_000)
    assert len(read_text(file)) == 1_000_000


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(SceneError, match=r"is not a regular file; a scene is a YAML file$"):
        read_text(pipe)


def test_a_device_without_end_is_refused() -> None:
    with pytest.raises(SceneError, match=r"^/dev/zero: is not a regular file; a scene is a YAML file$"):
        read_text("/dev/zero")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"is not a regular file; a scene is a YAML file$"):
        read_text(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SceneError) as caught:
        read_text(tmp_path / "none.yaml")
    assert str(caught.value) == (f"{tmp_path / 'none.yaml'}: no such file; `dimple scenes` lists the built-in scenes")


@pytest.mark.parametrize("name", ["a\x00b", "x" * 5000], ids=["nul", "too long"])
def test_an_impossible_file_name(name: str) -> None:
    with pytest.raises(SceneError, match=r"no such file|cannot be read .File name too long"):
        read_text(name)
