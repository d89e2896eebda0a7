"""Markdown as HTML: what the opening comments of scenes and the tutorials are written in."""

import html
import importlib
from collections.abc import Callable

from dimple.errors import DeviceError


def require_documentation() -> None:
    """Return if the libraries that write documentation are installed.

    Raises:
        DeviceError: naming the extra that brings them.
    """
    for package in ("markdown_it", "pdoc", "pygments"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise DeviceError(f"a gallery needs the package {package}; pip install 'dimple[docs]' brings it") from None


def to_html(text: str, link: Callable[[str], str] = str) -> str:
    r"""CommonMark with tables as HTML; HTML in the text stays text, code gets the classes of `coloured`.

    Args:
        link: what becomes of an address.

    Example:
        >>> to_html("*near* `x < 1`, <b>[so](a.md)</b>", lambda address: address.replace(".md", ".html"))
        '<p><em>near</em> <code>x &lt; 1</code>, &lt;b&gt;<a href="a.html">so</a>&lt;/b&gt;</p>\n'
    """
    from markdown_it import MarkdownIt

    writer = MarkdownIt("commonmark", {"html": False, "highlight": lambda code, name, _: coloured(code, name)})
    writer.enable("table")
    blocks = writer.parse(text)
    for block in blocks:
        for part in block.children or ():
            if part.type == "link_open":
                part.attrs["href"] = link(str(part.attrs["href"]))
    return str(writer.renderer.render(blocks, writer.options, {}))


def coloured(code: str, language: str) -> str:
    """Code as HTML in which each word has the class of its kind; in an unknown language, without classes.

    Example:
        >>> coloured("1", "python").strip()
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
