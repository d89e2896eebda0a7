"""Pages that need nothing but themselves: pictures and film inside, no script, no network, light and dark."""

import base64
import functools
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from PIL import Image

from dimple.runs.files import write_bytes
from dimple.views.palette import PAPER, hexadecimal

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@functools.cache
def templates() -> jinja2.Environment:
    """The page templates. Every value is escaped: names and scenes come from files that anybody may have written."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("dimple.views", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )


def write_page(path: Path | str, template: str, values: Mapping[str, Any]) -> Path:
    """Fill a template and write the page whole.

    Raises:
        RunError: if it cannot be written.
    """
    path = Path(path)
    write_bytes(path, templates().get_template(template).render(**values).encode())
    return path


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of a media type as an address that holds them.

    Example:
        >>> data_uri(b"GIF", "image/gif")
        'data:image/gif;base64,R0lG'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def jpeg(picture: Image.Image) -> str:
    """A picture as an address; drawings keep their lines at this quality, at a third of a PNG's size."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def png(picture: Image.Image) -> str:
    """A picture as an address, without any loss."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")


def plot(draw: Callable[["Axes"], None], size: tuple[float, float] = (6.2, 2.9)) -> str:
    """What `draw` puts into matplotlib axes, as the address of an SVG.

    Args:
        size: width and height in inches.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Without a fixed salt and date the same run would never give the same page twice.
    with rc_context({"svg.hashsalt": "dimple", "svg.fonttype": "path"}):
        figure = Figure(figsize=size, facecolor=hexadecimal(PAPER), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")
