"""Tests of the command `dimple report`."""

import sys
from pathlib import Path

import pytest

from dimple.cli import main
from tests.views.material import write_run


def test_the_page_of_one_or_several_runs_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for name in ("a", "b"):
        run = write_run(tmp_path / name, name=name)
        run.info["status"] = "complete"
        run.save()
        runs.append(str(run.path))
    page = str(tmp_path / "both.html")
    for words, code, out, err in (
        (runs[:1], 0, f"{runs[0]}/report.html\n", ""),
        ([*runs, "-o", page], 0, f"{page}\n", ""),
        (runs, 2, "", "dimple: 2 runs have no common folder for their page; name a file with -o"),
    ):
        monkeypatch.setattr(sys, "argv", ["dimple", "report", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        output = capsys.readouterr()
        assert (stop.value.code or 0, output.out) == (code, out)
        assert output.err.startswith(err) and output.err.count("\n") == bool(err)
    assert "b</bdi>), seed 3" in Path(page).read_text()
