"""The charts of a run as figures for papers and talks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dimple.errors import UsageError, convert_file_errors
from dimple.experiment.run import Run
from dimple.runs.atomic_io import make_folder
from dimple.settings import expand_home
from dimple.views.charts.figures import SUFFIXES, WIDTHS, FigureSource, write_figure
from dimple.views.content.columns import rows_to_columns
from dimple.views.content.from_run import completed_phases


@convert_file_errors
def write_figures(path: Path | str, out: Path | str, columns: Sequence[str] = (), width: int = 1) -> list[Path]:
    """Write charts of a run as .pdf, .svg or .png, each with its data as .csv beside it.

    A simulation, a series and a slice of several steps have curves along their steps, with dashed lines for what they
    are compared with; a measurement of one network has the distributions of its distances.

    Args:
        path: the run.
        out: a file `NAME.pdf`, `NAME.svg` or `NAME.png`, or a folder for every chart as .pdf.
        columns: the columns of the figure, of one unit; by default the column `NAME`.
        width: in columns of a page with two, 1 (3.25 inches) or 2 (6.75 inches).

    Returns:
        The files, pictures and data.

    Raises:
        UsageError: if a column, the suffix or the width is none that there is.
        RunError: if the run has no charts, or a file cannot be written.
    """
    if width not in WIDTHS:
        raise UsageError(f"--width is {width}; give 1 or 2 columns of a page")
    source = _figure_source(Run.open(path))
    target = expand_home(out)
    if target.suffix == "" and not columns:
        make_folder(target)
        files = [target / f"{name}{SUFFIXES[0]}" for name in source.names]
        return [file for one in files for file in write_figure(source.figure([one.stem]), one, width)]
    if target.suffix not in SUFFIXES:
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise UsageError(f"--figure is {out}; name a file {known}, or a folder for every chart")
    figure = source.figure(columns or [target.stem])
    make_folder(target.parent)
    return write_figure(figure, target, width)


def _figure_source(run: Run) -> FigureSource:
    """Return what the run can draw."""
    if run.kind != "measurement":
        return FigureSource(
            run.columns("metrics"), run.units("metrics"), completed_phases(run.info.get("summary") or {})
        )
    columns, units = run.read_table("measurements")
    rows = run.info["summary"]["rows"]
    last_split = rows[-1].get("split")
    series = [row for row in rows if row.get("split") == last_split]
    if len({row["step"] for row in series}) > 1:
        return FigureSource(rows_to_columns(series), run.info["summary"]["units"])
    last = columns["split"] == last_split if "split" in columns else np.ones(len(columns["step"]), dtype=bool)
    return FigureSource({name: values[last] for name, values in columns.items() if name != "step"}, units)
