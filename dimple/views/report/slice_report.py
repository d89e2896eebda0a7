"""The page of a section: what is shown, the pictures beside their control, and every figure beside its null."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dimple.runs.atomic_io import read_table
from dimple.runs.run import Run
from dimple.stats.null_bands import held, lengths
from dimple.views.charts.figure_charts import chart_pictures, charts_by_unit
from dimple.views.content.from_slice import section_timeline
from dimple.views.content.labels import number, words
from dimple.views.content.run_header import note_of
from dimple.views.report.html import cost_of, png, write_page
from dimple.views.report.measurement import image_of
from dimple.views.report.simulation import page_beside, stills_of
from dimple.views.report.tables import cell, figure_rows

Columns = dict[str, NDArray[Any]]
# What the table of the images says of each, beside its null.
SAID = ("confidence", "margin_any", "margin_section")


def write_section_report(run: Run, again: str, path: Path | str) -> Path:
    """Write the report of a section as one HTML file that needs no other file and no network.

    Args:
        again: the command that makes the run again.

    Returns:
        `path`.

    Raises:
        RunError: if the run cannot be read or the page cannot be written.
    """
    about, summary, metrics, units = run.info["section"], run.info["summary"], run.metrics(), run.units()
    timeline, several = section_timeline(run), len(metrics["step"]) > 1
    drawn = {curve.name for chart in timeline.charts for curve in chart.curves}
    charts = [*timeline.charts, *charts_by_unit(metrics, units, without=drawn)] if several else []
    values = {
        "title": str(run.info["name"]),
        "words": about["words"],
        "note": note_of(run),
        "about": about,
        "held": f"{held(about['draws']):.0%}",
        "facts": [*run.info["facts"], ("seed", str(run.info["seed"]))],
        "page": page_beside(run, path),
        "stills": stills_of(run) if several else stills_of(run, last=True),
        "rows": figure_rows(summary["final"] | summary["verdicts"], units),
        "heads": [words(name) for name in SAID],
        "images": _images(run, about["classes"]),
        "shares": [
            {"name": row["class"], "share": f"{row['share']:.2%}", "null": f"{row['share_null']:.2%}"}
            for row in sorted(summary["shares"], key=lambda row: -row["share"])
        ],
        "pairs": [
            {"name": " and ".join(row["classes"]), "size": number(row["size"])}
            for row in sorted(summary["pairs"], key=lambda row: -row["size"])
        ],
        "unit": units["boundary_size"],
        "charts": chart_pictures(charts, timeline),
        "asked": run.scene_text,
        "again": again,
        **cost_of(run),
    }
    return write_page(path, "section.html", values)


def _images(run: Run, classes: list[str]) -> list[dict[str, Any]]:
    """A row an image, as it is at the last step."""
    table, _ = read_table(run.path / "points.parquet")
    last = {name: values[table["step"] == table["step"].max()] for name, values in table.items()}
    images = run.geometry().get("images")
    rows = []
    for place, index in enumerate(last["index"].tolist()):
        row = {name: values[place].item() for name, values in last.items() if values.dtype.kind in "fi"}
        right = row["label"] == row["prediction"]
        rows.append(
            {
                "index": index,
                "picture": "" if images is None else png(image_of(images[place])),
                "label": classes[row["label"]],
                "prediction": "" if right else classes[row["prediction"]],
                "cells": [cell(lengths(row, name), name) for name in SAID],
            }
        )
    return rows
