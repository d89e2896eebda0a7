"""Tests of the commands napari and pack: exit codes, and one sentence where something is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from dimple.cli import main
from dimple.runs import RunFolder
from tests.views.material import write_run

# Python treats a module that is None as one that cannot be found.
WITHOUT_NAPARI = """
import sys
sys.modules["napari"] = None
sys.argv = ["dimple", "napari", sys.argv[1]]
from dimple.cli import main
main()
"""


def test_a_missing_extra_gives_exit_code_7(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NAPARI, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.strip() == "dimple: napari is not installed; pip install '.[napari]' in the checkout"


def test_pack_prints_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    run = write_run(tmp_path / "ball")
    run.info["status"] = "complete"
    run.save()
    monkeypatch.setattr(sys, "argv", ["dimple", "pack", str(run.path)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path / 'ball.dimple'}\n"
    assert RunFolder.open(tmp_path / "ball.dimple").steps == run.steps
