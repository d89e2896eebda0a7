"""The page of a run: what was asked, what happened, and every figure beside its null."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dimple.runs.run import Run
from dimple.stats.aggregate import VERDICT
from dimple.views.charts.figure_charts import chart_pictures, charts_by_unit
from dimple.views.content.from_run import timeline_of
from dimple.views.content.run_header import lead_of, phases_of, simulate_again, verdict_of
from dimple.views.report.html import cost_of, data_uri, jpeg, write_page
from dimple.views.report.robustness import robustness
from dimple.views.report.tables import figure_rows

# A film larger than this stays beside the page.
LARGEST_FILM = 16_000_000


def write_report(run: Run, path: Path | str, charts: Sequence[dict[str, str]] | None = None) -> Path:
    """Write the report of a run as one HTML file that needs no other file and no network.

    The film and its key frames are taken from the run folder, where they are; without them the page has none.

    Args:
        charts: what `report_charts` gives, where that has been asked already.

    Returns:
        `path`.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    summary: dict[str, Any] = run.info.get("summary") or {}
    metrics, units = run.metrics(), run.units()
    last: dict[str, Any] = {name: float(values[-1]) for name, values in metrics.items()}
    verdicts = {name: value for name, value in summary.items() if name.endswith(VERDICT)}
    values = {
        "title": str(run.info.get("name", run.path.name)),
        "lead": lead_of(run, summary),
        "verdict": verdict_of(summary),
        "phases": phases_of(summary, metrics["step"].tolist()),
        "page": page_beside(run, path),
        "film": _film(run.path / "film.mp4"),
        "stills": stills_of(run),
        "rows": figure_rows(last | verdicts, units),
        "charts": report_charts(run) if charts is None else charts,
        "robustness": robustness(run),
        "scene": run.scene_text,
        "reproduce": simulate_again(run),
        **cost_of(run),
    }
    return write_page(path, "run.html", values)


def report_charts(run: Run) -> list[dict[str, str]]:
    """The curves of a report as drawings within a page, `title` and `svg`: what takes longest of it."""
    timeline = timeline_of(run)
    drawn = {curve.name for chart in timeline.charts for curve in chart.curves}
    charts = [*timeline.charts, *charts_by_unit(run.metrics(), run.units(), without=drawn)]
    return chart_pictures(charts, timeline)


def page_beside(run: Run, path: Path | str) -> str:
    """The run's page, as a report in the run's folder links to it; nothing elsewhere, where it may be another run's."""
    page = run.path / "page.html"
    return page.name if page.is_file() and Path(path).resolve().parent == page.resolve().parent else ""


def _film(path: Path) -> str:
    if not path.is_file() or path.stat().st_size > LARGEST_FILM:
        return ""
    return data_uri(path.read_bytes(), "video/mp4")


def stills_of(run: Run, last: bool = False) -> list[dict[str, str]]:
    """The key frames of a run's film, or the last of them: `source` and `caption`."""
    phases = {step: name for name, step in timeline_of(run).phases}
    stills = []
    for file in sorted((run.path / "stills").glob("step_*.png"))[-1 if last else 0 :]:
        step = int(file.stem.removeprefix("step_"))
        caption = f"step {step:,}" + (f": {phases[step]}" if step in phases else "")
        with Image.open(file) as picture:
            stills.append({"source": jpeg(picture), "caption": caption})
    return stills
