"""The built-in tutorials and their pages in the gallery."""

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
        """Text of the file."""
        return self.file.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """First heading of the text."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def page_name(self) -> str:
        """Name of the HTML file."""
        return self.file.with_suffix(".html").name


def list_tutorials() -> list[Tutorial]:
    """Return the tutorials in their reading order.

    They are in `dimple/tutorials` of an installed package and in `docs/tutorials` of a checkout.

    Example:
        >>> list_tutorials()[0].title
        'Your first scene'
    """
    package = Path(dimple.__file__).parent
    folder = next(place for place in (package / "tutorials", package.parent / "docs" / "tutorials") if place.is_dir())
    return [Tutorial(file) for file in sorted(folder.glob("*.md"))]


def write_tutorials(folder: Path) -> None:
    """Write the page of each tutorial into a folder."""
    pages = [(one.page_name, one.title) for one in list_tutorials()]
    for number, tutorial in enumerate(list_tutorials()):
        values = {
            "title": tutorial.title,
            "root": "../",
            "version": dimple.__version__,
            "text": to_html(tutorial.text, lambda address: address.replace(".md", ".html")),
            "before": pages[number - 1] if number else None,
            "after": pages[number + 1] if number + 1 < len(pages) else None,
        }
        write_page(folder / tutorial.page_name, "tutorial.html", values)
