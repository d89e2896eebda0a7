"""`dimple docs` opens the site of the installation, or says how to build it."""

import sys
import webbrowser
from pathlib import Path

import pytest

from dimple.cli import main
from dimple.cli.commands import docs


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was asked to open."""
    addresses: list[str] = []
    monkeypatch.setattr(docs, "SITE_INDEX", tmp_path / "site" / "index.html")
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setattr(sys, "argv", ["dimple", "docs"])
    return addresses


def test_the_first_page_is_printed_and_opened(
    opened: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "site" / "index.html"
    index.parent.mkdir()
    index.touch()
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code or 0, capsys.readouterr().out, opened) == (0, f"{index}\n", [index.as_uri()])


def test_a_missing_site_is_answered_with_the_command_that_builds_it(
    opened: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 7 and opened == []
    assert capsys.readouterr().err == (
        f"dimple: {tmp_path / 'site' / 'index.html'}: not built; "
        "python3 dev.py docs in the checkout builds the documentation\n"
    )
