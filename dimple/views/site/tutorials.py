"""The tutorials that ship, and their pages in the gallery."""

import dataclasses
from pathlib import Path
from typing import final

import dimple
from dimple.views.report.html import write_page
from dimple.views.site.markdown import to_html


@final
@dataclasses.dataclass(frozen=True)
class Tutorial:
    """A tutorial: the Markdown file whose first line is its title."""

    file: Path

    @property
    def text(self) -> str:
        """The whole of it."""
        return self.file.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """Its first heading."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def address(self) -> str:
        """The file of its page."""
        return self.file.with_suffix(".html").name


def shipped_tutorials() -> list[Tutorial]:
    """The tutorials in the order in which they are meant to be read.

    They stand in `dimple/tutorials` of an installed package and in `docs/tutorials` of a checkout.

    Example:
        >>> shipped_tutorials()[0].title
        'Your first scene'
    """
    package = Path(dimple.__file__).parent
    folder = next(place for place in (package / "tutorials", package.parent / "docs" / "tutorials") if place.is_dir())
    return [Tutorial(file) for file in sorted(folder.glob("*.md"))]


def write_tutorials(folder: Path) -> None:
    """Write the page of every tutorial."""
    pages = [(one.address, one.title) for one in shipped_tutorials()]
    for number, tutorial in enumerate(shipped_tutorials()):
        values = {
            "title": tutorial.title,
            "root": "../",
            "version": dimple.__version__,
            "text": to_html(tutorial.text, lambda address: address.replace(".md", ".html")),
            "before": pages[number - 1] if number else None,
            "after": pages[number + 1] if number + 1 < len(pages) else None,
        }
        write_page(folder / tutorial.address, "tutorial.html", values)
