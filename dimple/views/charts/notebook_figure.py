"""Charts as matplotlib figures that a notebook shows, for use from Python."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dimple.errors import UsageError
from dimple.tensors import chunks
from dimple.views.charts.charts_by_unit import MAX_CURVES_PER_CHART
from dimple.views.charts.distributions import is_distance, make_cdf_drawer
from dimple.views.charts.matplotlib_svg import without_formulas

# A matplotlib figure; matplotlib is imported only where something is drawn.
NotebookFigure: TypeAlias = Any
PANEL_SIZE_INCHES = (5.2, 3.4)


@without_formulas
def draw_distributions(
    columns: Mapping[str, NDArray[Any]], units: Mapping[str, str], names: Sequence[str] | None = None
) -> NotebookFigure:
    """Return a figure of the distributions of distances, one panel for each unit, nulls dashed.

    Args:
        columns: `(B,)` each.
        units: units by column.
        names: the columns to draw; None takes all distances.

    Raises:
        UsageError: if there is no distance.
    """
    chosen = [name for name in columns if is_distance(name, columns, units)] if names is None else list(names)
    if not chosen:
        raise UsageError("the measurement has no distance to draw; measure with the probe margin, or name columns")
    groups: dict[str, list[str]] = {}
    for name in chosen:
        groups.setdefault(units.get(name, ""), []).append(name)
    panels = [
        (unit, group[part]) for unit, group in groups.items() for part in chunks(len(group), MAX_CURVES_PER_CHART)
    ]
    figure = _new_figure(len(panels))
    for axes, (unit, group) in zip(figure.axes, panels, strict=True):
        numbers = {name: np.asarray(values) for name, values in columns.items()}
        make_cdf_drawer(numbers, group, unit)(axes)
    return figure


def _new_figure(panels: int) -> NotebookFigure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        """A figure without a window, which a notebook shows as a picture whether or not it has loaded pyplot."""

        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=110)
            return buffer.getvalue()

    width, height = PANEL_SIZE_INCHES
    figure = NotebookFigure(figsize=(width * panels, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(1, panels)
    return figure
