"""Charts of a run as figures for papers and talks, each with its data beside it as CSV."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.errors import UsageError
from dimple.runs.atomic_io import atomic_replace, write_bytes
from dimple.settings import suggest_word
from dimple.stats.aggregate import HIGH_SUFFIX, LOW_SUFFIX, comparison_column, found_column, is_comparison_column
from dimple.views.charts.charts_by_unit import MAX_CURVES_PER_CHART, UNCHARTED_COLUMNS, charts_by_unit
from dimple.views.charts.distributions import is_distance, make_cdf_drawer
from dimple.views.charts.matplotlib_svg import FONT_SIZE
from dimple.views.charts.timeline import draw_chart
from dimple.views.content.frame import Timeline
from dimple.views.content.labels import LIMITED_COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Columns: TypeAlias = Mapping[str, NDArray[Any]]
STYLE_FILE = Path(__file__).parents[1] / "style" / "figure.mplstyle"
# Widths in inches of one column, and of a page with two.
WIDTHS = {1: 3.25, 2: 6.75}
ASPECT = 0.68
SUFFIXES = (".pdf", ".svg", ".png")
PNG_DPI = 300
# What a sample is, in the data of a distribution.
SAMPLE_COLUMNS = ("index", "label", "prediction")


@final
@dataclasses.dataclass(frozen=True)
class Figure:
    """One chart: what draws it into matplotlib axes, and the columns `(N,)` that are drawn."""

    draw: "Callable[[Axes], None]"
    data: Columns


@final
@dataclasses.dataclass(frozen=True)
class FigureSource:
    """The columns that a run can draw: curves over its steps, or distributions over its samples.

    Attributes:
        columns: the columns with those that they are compared with; curves have the column `step`.
        units: of the columns.
        phases: names and steps of vertical lines in curves.
    """

    columns: Columns
    units: Mapping[str, str]
    phases: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> list[str]:
        """The columns that have a figure."""
        if "step" not in self.columns:
            return [name for name in self.columns if is_distance(name, self.columns, self.units)]
        return [
            name
            for name in self.columns
            if name not in UNCHARTED_COLUMNS and not is_comparison_column(name, self.columns)
        ]

    def figure(self, names: Sequence[str]) -> Figure:
        """Return the figure of columns of one unit.

        Raises:
            UsageError: if a column is missing, or their units differ, or there are too many.
        """
        for name in names:
            if name not in self.names:
                hint = suggest_word(name, self.names, f"choose from {', '.join(self.names)}")
                raise UsageError(f"the run has no figure of {name!r}; {hint}")
        if len({self.units.get(name, "") for name in names}) > 1 or len(names) > MAX_CURVES_PER_CHART:
            units = ", ".join(f"{name} [{self.units.get(name, '')}]" for name in names)
            raise UsageError(f"one figure has up to {MAX_CURVES_PER_CHART} columns of one unit, not {units}")
        compared = [comparison_column(name) for name in names if comparison_column(name) in self.columns]
        # What is drawn of a curve besides: its interval and the band of its null.
        companions = [name + end for name in (*names, *compared) for end in (LOW_SUFFIX, HIGH_SUFFIX)]
        drawn = [*names, *compared, *(companions if "step" in self.columns else ())]
        data = {name: self.columns[name] for name in drawn if name in self.columns}
        if "step" not in self.columns:
            samples = {name: self.columns[name] for name in SAMPLE_COLUMNS if name in self.columns}
            return Figure(make_cdf_drawer(data, names, self.units[names[0]]), samples | data)
        (chart,) = charts_by_unit(data, self.units)
        timeline = Timeline(self.columns["step"].astype(np.int64), (), self.phases)
        # The fraction of points in a mean, which is a lower bound where it is below 1.
        limited = [found_column(name) for name in names if name in LIMITED_COLUMNS]
        data |= {found: self.columns[found] for found in limited if found in self.columns}
        return Figure(partial(draw_chart, chart=chart, timeline=timeline), {"step": self.columns["step"], **data})


def write_figure(figure: Figure, path: Path, width: int = 1) -> list[Path]:
    """Write a figure as .pdf, .svg or .png by its suffix, and its data beside it as .csv.

    The same figure gives the same bytes.

    Args:
        figure: the chart.
        path: the file of the picture.
        width: in columns of a page, 1 or 2.

    Returns:
        The picture and the data.

    Raises:
        RunError: if a file cannot be written.
    """
    import pandas as pd
    from matplotlib import rc_context, rc_params_from_file
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with rc_context(rc_params_from_file(STYLE_FILE, use_default_template=False)):
        canvas = Canvas(figsize=(WIDTHS[width], ASPECT * WIDTHS[1]))
        FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        figure.draw(axes)
        _fit(axes)
        changing = {".pdf": "CreationDate", ".svg": "Date", ".png": "Software"}[path.suffix]
        with atomic_replace(path) as temporary:
            canvas.savefig(temporary, metadata={changing: None}, dpi=PNG_DPI)
    data = path.with_suffix(".csv")
    write_bytes(data, pd.DataFrame(dict(figure.data)).to_csv(index=False).encode())
    return [path, data]


def _fit(axes: "Axes") -> None:
    """Scale what charts have for pages to the font size of the style, and put the legend where it has space."""
    from matplotlib import rcParams
    from matplotlib.text import Text

    figure = axes.figure
    size = float(rcParams["font.size"])
    if (drawn := axes.get_legend()) is not None:
        drawn.remove()
    for text in axes.findobj(lambda artist: isinstance(artist, Text)):
        text.set_fontsize(text.get_fontsize() * size / FONT_SIZE)  # type: ignore[attr-defined]
    for line in axes.lines:
        line.set_linewidth(line.get_linewidth() * size / FONT_SIZE)
    handles, labels = axes.get_legend_handles_labels()
    # Curves alone in their chart have its title.
    if drawn is not None or len(labels) > 1:
        # A letter is about .6 of the font size wide, and a handle as wide as six.
        letters = figure.bbox.width / figure.dpi * 72 / (0.6 * size)
        columns = max(1, int(letters / (max(map(len, labels)) + 6)))
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=size)
