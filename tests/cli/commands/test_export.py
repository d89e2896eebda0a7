"""`dimple film` as a user types it."""

import sys
from pathlib import Path

import pytest

from dimple.cli import main
from tests.views.material import write_flat_run


def test_a_film_prints_where_it_is_and_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_flat_run(tmp_path / "run")
    sheet, page = tmp_path / "sheet.png", tmp_path / "page.html"
    for words, code, out, err in (
        (["-o", str(sheet), "-o", str(page), "--size", "320x180"], 0, f"{sheet}\n{page}\n", ""),
        (["-o", "x.doc"], 2, "", "dimple: --out x.doc: the suffix is .doc; choose from .mp4"),
        (["--size", "wide"], 2, "", "dimple: --size is 'wide'; write it as width x height in pixels, such as 1280x720"),
    ):
        monkeypatch.setattr(sys, "argv", ["dimple", "film", str(run.path), *words])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        assert (stop.value.code or 0, shown.out) == (code, out)
        assert shown.err.startswith(err) and shown.err.count("\n") == bool(err)
