"""Report of a slice: the pictures with their control, and every quantity with its null."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dimple.runs.run import RunFolder
from dimple.stats.null_bands import absolute_distances, interval_coverage
from dimple.views.charts.charts_by_unit import charts_by_unit, render_charts
from dimple.views.content.from_slice import build_slice_timeline
from dimple.views.content.labels import column_label, format_number
from dimple.views.content.run_header import slice_note
from dimple.views.report.html import png_data_uri, run_cost, write_page
from dimple.views.report.measurement import pixels_to_image
from dimple.views.report.simulation import find_page_link, load_stills
from dimple.views.report.tables import statistic_cell, statistic_rows

Columns = dict[str, NDArray[Any]]
# The columns of the table of images, each with its null.
IMAGE_TABLE_COLUMNS = ("confidence", "margin_unbounded", "margin_in_slice")


def write_slice_report(run: RunFolder, reproduce_command: str, path: Path | str) -> Path:
    """Write the report of a slice as one HTML file that needs no other file and no network.

    Args:
        run: the run of `dimple slice`.
        reproduce_command: the command that makes the run again.
        path: the file.

    Returns:
        `path`.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    about = run.info["slice"]
    summary = run.info["summary"]
    metrics = run.columns("metrics")
    units = run.units("metrics")
    timeline = build_slice_timeline(run)
    several = len(metrics["step"]) > 1
    drawn = {curve.name for chart in timeline.charts for curve in chart.curves}
    charts = [*timeline.charts, *charts_by_unit(metrics, units, exclude=drawn)] if several else []
    values = {
        "title": str(run.info["name"]),
        "description": about["description"],
        "note": slice_note(run),
        "about": about,
        "has_invalid": min(summary["final"].get(f"valid_fraction{end}", 1.0) for end in ("", "_null")) < 1,
        "coverage": f"{interval_coverage(about['null_draws']):.0%}",
        "facts": [*run.info["facts"], ("seed", str(run.info["seed"]))],
        "page": find_page_link(run, path),
        "stills": load_stills(run) if several else load_stills(run, last_only=True),
        "rows": statistic_rows(summary["final"] | summary["verdicts"], units),
        "heads": [column_label(name) for name in IMAGE_TABLE_COLUMNS],
        "images": _image_rows(run, about["classes"]),
        "fractions": [
            {"name": row["class"], "fraction": f"{row['fraction']:.2%}", "null": f"{row['fraction_null']:.2%}"}
            for row in sorted(summary["class_fractions"], key=lambda row: -row["fraction"])
        ],
        "pairs": [
            {"names": row["classes"], "size": format_number(row["size"])}
            for row in sorted(summary["pairs"], key=lambda row: -row["size"])
        ],
        "unit": units["boundary_size"],
        "charts": render_charts(charts, timeline),
        "settings": run.settings_text,
        "reproduce": reproduce_command,
        **run_cost(run),
    }
    return write_page(path, "slice.html", values)


def _image_rows(run: RunFolder, class_names: list[str]) -> list[dict[str, Any]]:
    """Return one row for each image, at the last step."""
    table, _ = run.read_table("points")
    last = {name: values[table["step"] == table["step"].max()] for name, values in table.items()}
    images = run.geometry().get("images")
    rows = []
    for place, index in enumerate(last["index"].tolist()):
        row = {name: values[place].item() for name, values in last.items() if values.dtype.kind in "fi"}
        right = row["label"] == row["prediction"]
        rows.append(
            {
                "index": index,
                "picture": "" if images is None else png_data_uri(pixels_to_image(images[place])),
                "label": class_names[row["label"]],
                "prediction": "" if right else class_names[row["prediction"]],
                "cells": [statistic_cell(absolute_distances(row, name), name) for name in IMAGE_TABLE_COLUMNS],
            }
        )
    return rows
