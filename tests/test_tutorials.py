"""The tutorials tell the truth: every block of code runs, in order, and prints what stands below it."""

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((CHECKOUT / "docs" / "tutorials").glob("[0-9]*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Simulations are cut short; all else is as the reader types it.
SHORT = (
    "--set training.steps=12 --set snapshots.count=3 --set data.test_points=20 --set data.heldout_points=20 "
    "--set 'probes=[{kind: margin, restarts: 1}, {kind: onoff, null_draws: 3}, {kind: offset, null_draws: 2}]'"
)
DIMPLE = """#!/bin/sh
case $1 in
    simulate | gallery) exec {python} -m dimple "$@" {short} ;;
    *) exec {python} -m dimple "$@" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder whose shell finds `dimple` and `python`."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("dimple", DIMPLE), ("python", '#!/bin/sh\nexec {python} "$@"\n')):
        (programs / name).write_text(text.format(python=sys.executable, short=SHORT))
        (programs / name).chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    yield work
    # What a tutorial wrote as a module of its own.
    for file in work.glob("*.py"):
        sys.modules.pop(file.stem, None)


def require_libraries(sources: Iterable[str]) -> None:
    """Skip a tutorial about libraries of the extra `test` where they are missing; their own warnings do not matter."""
    for source in sources:
        for library in re.findall(r"^import (foolbox|lightning|polars|transformers|xarray)$", source, re.MULTILINE):
            warnings.simplefilter("ignore")
            pytest.importorskip(library)


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_every_block_runs(tutorial: Path, folder: Path) -> None:
    blocks = BLOCK.findall(tutorial.read_text())
    names: dict[str, object] = {"__name__": "tutorial"}
    printed = ""
    require_libraries(source for language, source in blocks if language == "python")
    for language, source in blocks:
        file = re.match(r"# (\w+\.(?:py|yaml))\n", source)
        if file:
            (folder / file[1]).write_text(source)
        elif language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(source, tutorial.name, "exec"), names)
            printed = out.getvalue()
        elif language == "sh":
            answer = subprocess.run(["bash", "-ec", source], capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stderr
        else:
            assert (language, printed) == ("text", source)
    assert len(blocks) > 3


def test_links_lead_to_tutorials() -> None:
    for tutorial in TUTORIALS:
        for target in re.findall(r"\]\(([^)#]+)\)", tutorial.read_text()):
            assert "://" in target or (tutorial.parent / target).is_file(), f"{tutorial.name}: {target}"
