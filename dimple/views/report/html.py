"""Pages that need nothing but themselves: pictures and film inside, no network, light and dark, on screen and paper."""

import base64
import functools
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from dimple.boundary.boundary import BACKWARD, FORWARD
from dimple.runs.atomic_io import write_bytes
from dimple.runs.run import Run

if TYPE_CHECKING:
    import jinja2

# The one script of a report: its tables can be sorted.
SCRIPT = "tables.js"


@functools.cache
def templates() -> "jinja2.Environment":
    """The page templates. Every value is escaped: names and scenes come from files that anybody may have written."""
    # Here, because it takes a fifth of a second to load.
    import jinja2

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
    path, script = Path(path), source(SCRIPT)
    given = {"script": script, "allowed": fingerprint(script), **values}
    write_bytes(path, templates().get_template(template).render(**given).encode())
    return path


def source(name: str) -> Markup:
    """A style sheet or script among the templates, as it is."""
    loader = templates().loader
    assert loader is not None
    return Markup(loader.get_source(templates(), name)[0].strip())


def fingerprint(content: str) -> str:
    """What a browser compares an inline style or script with before it uses it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


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


def cost_of(run: Run) -> dict[str, Any]:
    """The passes of each probe, the seconds of each stage, and the versions, for the template of the cost."""
    info = run.info
    return {
        "forward": FORWARD,
        "passes": [
            {"name": name, **counts, "each": passes_each(counts)} for name, counts in info.get("passes", {}).items()
        ],
        "seconds": [(stage, f"{seconds:.1f}") for stage, seconds in info.get("seconds", {}).items()],
        "versions": made_with(run),
    }


def made_with(run: Run) -> list[tuple[str, str]]:
    """Versions and device."""
    return [*run.info.get("versions", {}).items(), ("device", str(run.info.get("device", "")))]


def passes_each(counts: dict[str, int]) -> float:
    """Passes a sample, a pass being a forward and a backward.

    Example:
        >>> passes_each({"samples": 2, "forwards": 10, "backwards": 10})
        5.0
    """
    return (FORWARD * counts["forwards"] + BACKWARD * counts["backwards"]) / max(counts["samples"], 1)
