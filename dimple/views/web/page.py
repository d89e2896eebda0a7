"""Interactive page of a run in one file: turn, zoom, scrub, play; no library, no network."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dimple.errors import printable
from dimple.runs.run import RunFolder
from dimple.views.content.frame import Frame
from dimple.views.content.run_header import describe_conditions, describe_verdict, run_subtitle, slice_note
from dimple.views.report.html import csp_hash, load_template_source, write_page
from dimple.views.web.data import page_data
from dimple.views.web.slice_page import slice_page_data

STYLE_SHEET = "page.css"
# In the order of the page; each script uses only those before it.
SCRIPT_PARTS = (
    "field",
    "surface",
    "camera",
    "paint",
    "canvas",
    "pace",
    "scene",
    "slice",
    "charts",
    "legend",
    "card",
    "main",
)
SCRIPT_FILES = tuple(f"page_{part}.js" for part in SCRIPT_PARTS)
CONTENT_SECURITY_POLICY = "default-src 'none'; img-src data:"
TOO_MANY_DIMENSIONS_NOTE = (
    "The space has {dims} dimensions, too many for a picture of the boundary; numbers and curves are beside this text."
)
NO_LEVEL_SET_NOTE = (
    "This run has no level set, which takes two classes, so there is no picture of its boundary; a slice shows any "
    "number of classes."
)


def write_web_page(run: RunFolder, frames: Sequence[Frame], path: Path | str) -> Path:
    """Write the interactive page of a run, under 6 MiB for 60 snapshots.

    Between snapshots the page shows the boundary of the interpolated distances and says so; every number on it belongs
    to a snapshot.

    Args:
        run: a simulated run or a slice.
        frames: the frames of the run, from `frames_from_run`; empty for a run that cannot be drawn.
        path: the file.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    blobs: dict[str, str] = {}
    if frames and run.kind == "slice":
        data, blobs = slice_page_data(run, frames)
    else:
        data = page_data(run, frames)
    if frames and run.kind != "slice":
        from dimple.views.web.field import encode_distance_field, encode_offset_field

        data["drawing"]["field"], blobs["field"] = encode_distance_field(frames)
        offsets = encode_offset_field(frames[-1])
        data["drawing"]["offsets"] = None
        if offsets is not None:
            data["drawing"]["offsets"], blobs["offsets"] = offsets
    style = load_template_source(STYLE_SHEET)
    script = Markup("\n").join([Markup("'use strict';"), *map(load_template_source, SCRIPT_FILES)])
    dims = math.prod(run.sample_shape)
    values = {
        "title": str(run.info.get("name", run.path.name)),
        "lead": slice_note(run) if run.kind == "slice" else run_subtitle(run, run.info.get("summary") or {}),
        "verdict": describe_verdict(run.info.get("summary") or {}),
        "conditions": describe_conditions(run.info.get("summary") or {}),
        "note": "" if frames else NO_LEVEL_SET_NOTE if dims <= 3 else TOO_MANY_DIMENSIONS_NOTE.format(dims=dims),
        "scene": run.settings_text,
        "style": style,
        "script": script,
        "policy": f"{CONTENT_SECURITY_POLICY}; style-src {csp_hash(style)}; script-src {csp_hash(script)}",
        "data": _encode_json(data),
        "blobs": blobs,
    }
    return write_page(path, "page.html", values)


def _encode_json(data: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element around it.

    Example:
        >>> "</script>" in _encode_json({"name": "</script>"})
        False
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return printable(text).replace("<", "\\u003c")
