"""The page of a run: what was asked, what happened, and every figure beside its null."""

import shlex
from pathlib import Path
from typing import Any

from PIL import Image

from dimple.runs.store import Run
from dimple.views.figures import VERDICT, chart_pictures, charts_by_unit, figure_rows
from dimple.views.frame import Timeline
from dimple.views.frames_of_run import timeline_of
from dimple.views.headline import lead_of, verdict_of
from dimple.views.page import data_uri, jpeg, write_page
from dimple.views.robustness import robustness

MEANINGS = {
    "cling_step": ("clung", "from here until the dimpling the boundary stays within a fifth of its first distance"),
    "dimple_step": ("dimpled", "every training point stays on its right side from here on"),
}
# A film larger than this stays beside the page.
LARGEST_FILM = 16_000_000


def write_report(run: Run, path: Path | str) -> Path:
    """Write the report of a run as one HTML file that needs no other file and no network.

    The film and its key frames are taken from the run folder, where they are; without them the page has none.

    Returns:
        `path`.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    summary: dict[str, Any] = run.info.get("summary") or {}
    metrics, units = run.metrics(), run.units()
    last: dict[str, Any] = {name: float(values[-1]) for name, values in metrics.items()}
    verdicts = {name: value for name, value in summary.items() if name.endswith(VERDICT)}
    timeline = timeline_of(run)
    drawn = {curve.name for chart in timeline.charts for curve in chart.curves}
    charts = [*timeline.charts, *charts_by_unit(metrics, units, without=drawn)]
    name = str(run.info.get("name", run.path.name))
    values = {
        "title": name,
        "lead": lead_of(run, summary),
        "verdict": verdict_of(summary),
        "phases": [
            {"name": label, "step": "never" if summary.get(key) is None else f"{summary[key]:,}", "meaning": meaning}
            for key, (label, meaning) in MEANINGS.items()
        ],
        "page": "page.html" if (Path(path).parent / "page.html").is_file() else "",
        "film": _film(run.path / "film.mp4"),
        "stills": _stills(run, timeline),
        "rows": figure_rows(last | verdicts, units),
        "charts": chart_pictures(charts, timeline),
        "robustness": robustness(run),
        "scene": run.scene_text,
        "reproduce": f"dimple simulate scene.yaml --seed {run.info.get('seed', 0)} --out {shlex.quote(name)}-again",
        "seconds": [(stage, f"{seconds:.1f}") for stage, seconds in (run.info.get("seconds") or {}).items()],
        "versions": [*(run.info.get("versions") or {}).items(), ("device", run.info.get("device", ""))],
    }
    return write_page(path, "run.html", values)


def _film(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > LARGEST_FILM:
        return ""
    return data_uri(path.read_bytes(), "video/mp4")


def _stills(run: Run, timeline: Timeline) -> list[dict[str, str]]:
    phases = {step: name for name, step in timeline.phases}
    stills = []
    for file in sorted((run.path / "stills").glob("step_*.png")):
        step = int(file.stem.removeprefix("step_"))
        caption = f"step {step:,}" + (f": {phases[step]}" if step in phases else "")
        with Image.open(file) as picture:
            stills.append({"source": jpeg(picture), "caption": caption})
    return stills
