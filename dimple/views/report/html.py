"""HTML pages in one file: pictures and film embedded, no network, light and dark, for screen and paper."""

import base64
import functools
import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from PIL import Image

from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.errors import printable
from dimple.runs.atomic_io import write_bytes
from dimple.runs.run import RunFolder
from dimple.settings import without_folders

if TYPE_CHECKING:
    import jinja2

# The only script of a report sorts its tables.
TABLE_SCRIPT = "tables.js"
# What stands for folders of the machine.
FOLDERS_MARK = ".../"


@functools.cache
def template_environment() -> "jinja2.Environment":
    """Return the environment of the page templates.

    Every value is escaped, because names and scenes come from untrusted files.
    """
    # Imported here because it takes a fifth of a second to load.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dimple.views", "templates"),
        autoescape=True,
        finalize=_clean,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.tests["with_folders"] = _names_folders
    return environment


def _names_folders(command: str) -> bool:
    """Return whether folders of a command are left out of the page."""
    return without_folders(command) != command


def _clean(value: Any) -> Any:
    """Return a value of a page without control characters and without folders of this machine."""
    if not isinstance(value, str) or isinstance(value, Markup) or re.match(r"data:\w+/", value):
        return value
    return without_folders(printable(value), FOLDERS_MARK)


def write_page(path: Path | str, template: str, values: Mapping[str, Any]) -> Path:
    """Fill a template and write the page, entirely or not at all.

    Raises:
        RunError: if the page cannot be written.
    """
    path = Path(path)
    script = load_template_source(TABLE_SCRIPT)
    given = {"script": script, "allowed": csp_hash(script), **values}
    write_bytes(path, template_environment().get_template(template).render(**given).encode())
    return path


def load_template_source(name: str) -> Markup:
    """Return a style sheet or a script of the templates unchanged."""
    loader = template_environment().loader
    assert loader is not None
    return Markup(loader.get_source(template_environment(), name)[0].strip())


def csp_hash(content: str) -> str:
    """Return the hash of an inline style or script for the content security policy of its page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def data_uri(content: bytes, media_type: str) -> str:
    """Return a data URI with the bytes of a media type.

    Example:
        >>> data_uri(b"GIF", "image/gif")
        'data:image/gif;base64,R0lG'
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def jpeg_data_uri(image: Image.Image) -> str:
    """Return a data URI of an image as JPEG: sharp lines at a third of the size of a PNG."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def png_data_uri(image: Image.Image) -> str:
    """Return a data URI of an image as PNG, without loss."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")


def run_cost(run: RunFolder) -> dict[str, Any]:
    """Return the passes of each probe, the seconds of each stage and the versions, for the template of the cost."""
    info = run.info
    return {
        "forward": FORWARD_COST,
        "passes": [
            {"name": name, **counts, "each": passes_per_sample(counts)}
            for name, counts in info.get("passes", {}).items()
        ],
        "seconds": [(stage, f"{seconds:.1f}") for stage, seconds in info.get("seconds", {}).items()],
        "versions": run_environment(run),
    }


def run_environment(run: RunFolder) -> list[tuple[str, str]]:
    """Return the versions and the device of a run, as pairs of name and value."""
    return [*run.info.get("versions", {}).items(), ("device", str(run.info.get("device", "")))]


def passes_per_sample(counts: dict[str, int]) -> float:
    """Return the passes for each sample; one pass is one forward with its backward evaluation.

    Example:
        >>> passes_per_sample({"samples": 2, "forwards": 10, "backwards": 10})
        5.0
    """
    return (FORWARD_COST * counts["forwards"] + BACKWARD_COST * counts["backwards"]) / max(counts["samples"], 1)
