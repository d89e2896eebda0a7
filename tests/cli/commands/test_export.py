"""Tests of the command `dimple export`."""

import sys
from pathlib import Path

import pytest

from dimple.cli import main
from tests.views.material import write_flat_run


def test_files_are_printed_and_mistakes_give_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_flat_run(tmp_path / "run")
    sheet = tmp_path / "sheet.png"
    page = tmp_path / "page.html"
    for words, code, out, err in (
        (["-o", str(sheet), "-o", str(page), "--size", "320x180"], 0, f"{sheet}\n{page}\n", ""),
        (["-o", "x.doc"], 2, "", "dimple: x.doc: the suffix is .doc; choose from .mp4"),
        (["--size", "wide"], 2, "", "dimple: --size is 'wide'; write it as width x height in pixels, such as 1280x720"),
    ):
        monkeypatch.setattr(sys, "argv", ["dimple", "export", str(run.path), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        output = capsys.readouterr()
        assert (stop.value.code or 0, output.out) == (code, out)
        assert output.err.startswith(err) and output.err.count("\n") == bool(err)
