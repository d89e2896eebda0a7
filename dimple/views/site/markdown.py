"""Conversion of Markdown to HTML, for tutorials and the opening comments of scenes."""

import html
import importlib
from collections.abc import Callable

from dimple.errors import DeviceError


def check_docs_dependencies() -> None:
    """Return if the libraries that write documentation are installed.

    Raises:
        DeviceError: if one is missing, naming the extra that installs it.
    """
    for package in ("markdown_it", "pdoc", "pygments"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise DeviceError(
                f"a gallery needs the package {package}; pip install '.[docs]' in the checkout brings it"
            ) from None


def to_html(text: str, rewrite_link: Callable[[str], str] = str) -> str:
    r"""Convert CommonMark with tables to HTML; HTML in the text stays text, code is highlighted by `highlight_code`.

    Args:
        text: the Markdown.
        rewrite_link: maps the address of each link to that of the page.

    Example:
        >>> to_html("*near* `x < 1`, <b>[so](a.md)</b>", lambda address: address.replace(".md", ".html"))
        '<p><em>near</em> <code>x &lt; 1</code>, &lt;b&gt;<a href="a.html">so</a>&lt;/b&gt;</p>\n'
    """
    from markdown_it import MarkdownIt

    writer = MarkdownIt("commonmark", {"html": False, "highlight": lambda code, name, _: highlight_code(code, name)})
    writer.enable("table")
    blocks = writer.parse(text)
    for block in blocks:
        for part in block.children or ():
            if part.type == "link_open":
                part.attrs["href"] = rewrite_link(str(part.attrs["href"]))
    return str(writer.renderer.render(blocks, writer.options, {}))


def highlight_code(code: str, language: str) -> str:
    """Return code as HTML with the classes of pygments; escaped text where the language is unknown.

    Example:
        >>> highlight_code("1", "python").strip()
        '<span class="mi">1</span>'
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return html.escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
