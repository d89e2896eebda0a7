"""`dimple docs`: the documentation of this version."""

import webbrowser
from pathlib import Path

import typer

import dimple
from dimple.errors import DeviceError

# Built by `dev.py docs`, and carried by the wheel.
SITE_INDEX = Path(dimple.__file__).parent / "site" / "index.html"


def docs() -> None:
    """Open the documentation of this version in a browser.

    The pages are files of the installation and need no network. The path of the first page is printed.
    """
    if not SITE_INDEX.is_file():
        raise DeviceError(f"{SITE_INDEX}: not built; python3 dev.py docs in the checkout builds the documentation")
    typer.echo(SITE_INDEX)
    webbrowser.open(SITE_INDEX.as_uri())
