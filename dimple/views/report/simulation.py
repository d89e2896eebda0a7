"""Report of a simulated run: verdict, phases, pictures, and every quantity with its null."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dimple.runs.run import RunFolder
from dimple.stats.aggregate import found_column, is_comparison_column
from dimple.views.charts.charts_by_unit import charts_by_unit, render_charts
from dimple.views.charts.replica_bands import replica_charts
from dimple.views.content.from_run import build_timeline
from dimple.views.content.labels import NO_ENTRY, column_label, format_interval, format_statistic
from dimple.views.content.run_header import (
    describe_best,
    describe_conditions,
    describe_controls,
    describe_depth,
    describe_fall,
    describe_phases,
    describe_replicas,
    describe_verdict,
    describe_verdicts_of_replicas,
    run_subtitle,
    simulate_command,
)
from dimple.views.report.html import data_uri, jpeg_data_uri, run_cost, write_page
from dimple.views.report.robustness import summarize_robustness
from dimple.views.report.tables import statistic_rows

# A film larger than this stays beside the page.
MAX_FILM_BYTES = 16_000_000


def write_simulation_report(run: RunFolder, path: Path | str, charts: Sequence[dict[str, str]] | None = None) -> Path:
    """Write the report of a run as one HTML file that needs no other file and no network.

    The film and its key frames are read from the run folder; without them the page has none.

    Args:
        charts: the result of `report_charts`, if it is there already.

    Returns:
        `path`.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    summary: dict[str, Any] = run.info.get("summary") or {}
    metrics = run.columns("metrics")
    units = run.units("metrics")
    last: dict[str, Any] = {name: float(values[-1]) for name, values in metrics.items()}
    median = run.info.get("replicas", {}).get("median", {})
    values = {
        "title": str(run.info.get("name", run.path.name)),
        "lead": run_subtitle(run, summary),
        "warnings": run.info.get("warnings", []),
        "replicas": describe_replicas(run),
        "replica_rows": _replica_rows(run, units),
        "replica_charts": replica_charts(run.columns("replicas"), units) if "replicas" in run.info else [],
        "verdict": describe_verdict(summary),
        "conditions": describe_conditions(summary),
        "is_points": len(run.sample_shape) == 1,
        "notes": [
            note
            for note in (
                describe_depth(summary),
                describe_fall(summary),
                describe_best(summary),
                *describe_controls(summary),
            )
            if note
        ],
        "median": describe_verdict(median),
        "median_conditions": describe_conditions(median),
        "verdict_of_each": describe_verdicts_of_replicas(run),
        "phases": describe_phases(summary, metrics["step"].tolist()),
        "page": find_page_link(run, path),
        "film": _film_data_uri(run),
        "stills": load_stills(run),
        "rows": statistic_rows(last, units),
        "charts": report_charts(run) if charts is None else charts,
        "robustness": summarize_robustness(run),
        "scene": run.settings_text,
        "reproduce": simulate_command(run),
        **run_cost(run),
    }
    return write_page(path, "simulation.html", values)


def _replica_rows(run: RunFolder, units: dict[str, str]) -> list[dict[str, str]]:
    """Return the median and the range over the replicas of each final number; empty without replicas."""
    statistics = run.info.get("replicas", {}).get("statistics", {})
    return [
        {
            "name": column_label(name),
            **{
                end: NO_ENTRY
                if row[end] is None
                else format_statistic({name: row[end]} | _least_found(name, statistics), name)
                for end in ("median", "low", "high")
            },
            "interval": format_interval({f"{name}_{end}": row.get(f"median_{end}") for end in ("low", "high")}, name),
            "unit": units.get(name, ""),
        }
        for name, row in statistics.items()
        if not is_comparison_column(name, statistics)
    ]


def _least_found(name: str, statistics: Mapping[str, Any]) -> dict[str, float]:
    """Return the fraction of points found in the replica with the fewest, by its column; empty where there is none."""
    row = statistics.get(found_column(name))
    return {} if row is None or row["low"] is None else {found_column(name): row["low"]}


def report_charts(run: RunFolder) -> list[dict[str, str]]:
    """Return the curves of a report as `title` and `svg`; this is the slowest part of a report."""
    timeline = build_timeline(run)
    drawn = {curve.name for chart in timeline.charts for curve in chart.curves}
    charts = [*timeline.charts, *charts_by_unit(run.columns("metrics"), run.units("metrics"), exclude=drawn)]
    return render_charts(charts, timeline)


def find_page_link(run: RunFolder, path: Path | str) -> str:
    """Return the link to the page of a run for a report in the folder of the run; empty for a report elsewhere."""
    page = run.views_path / "page.html"
    is_beside = Path(path).resolve().parent == run.path.resolve()
    return page.relative_to(run.path).as_posix() if page.is_file() and is_beside else ""


def _film_data_uri(run: RunFolder) -> str:
    path = run.views_path / "film.mp4"
    if not path.is_file() or path.stat().st_size > MAX_FILM_BYTES:
        return ""
    return data_uri(run.read_bytes(path), "video/mp4")


def load_stills(run: RunFolder, last_only: bool = False) -> list[dict[str, str]]:
    """Return the key frames of the film of a run, or the last of them, as `source` and `caption`."""
    phases = {step: name for name, step in build_timeline(run).phases}
    stills = []
    for file in sorted((run.views_path / "stills").glob("step_*.png"))[-1 if last_only else 0 :]:
        step = int(file.stem.removeprefix("step_"))
        caption = f"step {step:,}" + (f": {phases[step]}" if step in phases else "")
        with Image.open(io.BytesIO(run.read_bytes(file))) as picture:
            stills.append({"source": jpeg_data_uri(picture), "caption": caption})
    return stills
