"""The film as one web page: turn it, scrub it, play it; it needs no library, no network and no other file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dimple.runs.run import Run
from dimple.views.content.frame import Frame
from dimple.views.content.from_slice import is_section
from dimple.views.content.run_header import lead_of, note_of, verdict_of
from dimple.views.report.html import fingerprint, source, write_page
from dimple.views.web.data import page_data
from dimple.views.web.slice_page import section_data

STYLE = "film.css"
# In the order in which they stand in the page; each uses only those before it.
PARTS = ("field", "surface", "camera", "paint", "pace", "scene", "section", "charts", "legend", "told", "main")
SCRIPTS = tuple(f"film_{part}.js" for part in PARTS)
POLICY = "default-src 'none'; img-src data:"
NO_PICTURE = (
    "Space has {dims} dimensions here, too many for a picture of the boundary; the figures and curves tell the story."
)
NO_LEVEL_SET = "This run was made without a level set, so there is no picture of its boundary."


def write_web_page(run: Run, frames: Sequence[Frame], path: Path | str) -> Path:
    """Write the page of a run, under 6 MiB for 60 snapshots, with the boundary moving where there are frames of it.

    Between snapshots the page shows the boundary of the interpolated distances and says so; every figure in it is that
    of a snapshot.

    Args:
        frames: of the run, from `frames_of_run`; none for a run that cannot be drawn.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    blobs: dict[str, str] = {}
    if frames and is_section(run):
        data, blobs = section_data(run, frames)
    else:
        data = page_data(run, frames)
    if frames and not is_section(run):
        from dimple.views.web.field import moving_field, pull_field

        data["drawing"]["field"], blobs["field"] = moving_field(frames)
        pull = pull_field(frames[-1])
        data["drawing"]["pull"] = None
        if pull is not None:
            data["drawing"]["pull"], blobs["pull"] = pull
    style, script = source(STYLE), Markup("\n").join([Markup("'use strict';"), *map(source, SCRIPTS)])
    dims = run.geometry()["train"].shape[1]
    values = {
        "title": str(run.info.get("name", run.path.name)),
        "lead": note_of(run) if is_section(run) else lead_of(run, run.info.get("summary") or {}),
        "verdict": verdict_of(run.info.get("summary") or {}),
        "note": "" if frames else NO_LEVEL_SET if dims <= 3 else NO_PICTURE.format(dims=dims),
        "scene": run.scene_text,
        "style": style,
        "script": script,
        "policy": f"{POLICY}; style-src {fingerprint(style)}; script-src {fingerprint(script)}",
        "data": _embedded(data),
        "blobs": blobs,
    }
    return write_page(path, "film.html", values)


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element that it stands in.

    Example:
        >>> "</script>" in _embedded({"name": "</script>"})
        False
    """
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
