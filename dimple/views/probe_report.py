"""The page of a measurement on images: distributions beside their nulls, and what the perturbations look like."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dimple.tensors import chunks
from dimple.views.evolution import DISTANCE, SEARCHED, evolution
from dimple.views.figures import chart_pictures, charts_by_unit, figure_rows
from dimple.views.frame import Timeline
from dimple.views.page import plot, png, write_page
from dimple.views.palette import INK, MUTED, RULE, hexadecimal
from dimple.views.strip import LINES
from dimple.views.wording import NULL, is_null, number, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Column = NDArray[Any]
Pixels = NDArray[np.floating[Any]]
SHOWN_SIDE = 112


@final
@dataclasses.dataclass(frozen=True)
class ProbePicture:
    """One image with its shortest perturbation, arrays `(C, H, W)`; pixels of the image lie within [0, 1].

    Attributes:
        index, label, prediction: which image it is, its class, and the class that the network gives it.
        margin: its distance to the boundary, in the unit of the measurement.
        image, perturbation: what was measured; their sum lies on the boundary.
        on_part, off_part: the perturbation's parts along and off the data manifold, which add up to it; None where no
            tangents were known.
    """

    index: int
    label: int | str
    prediction: int | str
    margin: float
    image: Pixels
    perturbation: Pixels
    on_part: Pixels | None
    off_part: Pixels | None


def write_probe_report(
    path: Path | str,
    title: str,
    facts: Sequence[tuple[str, str]],
    columns: Mapping[str, Column],
    units: Mapping[str, str],
    summary_rows: Sequence[Mapping[str, Any]],
    pictures: Sequence[ProbePicture],
    *,
    quantiles: Mapping[str, Column] | None = None,
    grids: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write a measurement's report as one HTML file that needs no other file and no network.

    Args:
        facts: name and value, in words: what was probed, how, with what seed.
        columns: one value a sample, with its `split`. Those that are distances are drawn, grouped by unit, each `X`
            with its `X_null`, dashed.
        units: the unit of each column and figure.
        summary_rows: the figures of each step that was measured, in order, with its `step` and `split`; the last ones
            are printed, and all of them drawn as curves where there are several steps.
        pictures: the images to show, drawn in the order of their margins: the lower half as the least robust ones, the
            upper half as the most robust.
        quantiles: of each distance at each step, see `dimple.views.evolution`.
        grids: further tables, each with `title`, `note`, `heads` and `lines` of text.

    Returns:
        `path`.

    Raises:
        RunError: if the page cannot be written.
    """
    ranked = sorted(pictures, key=lambda picture: picture.margin)
    half = (len(ranked) + 1) // 2
    groups = (("The least robust images", ranked[:half]), ("The most robust images", ranked[half:]))
    values = {
        "title": title,
        "facts": list(facts),
        "splits": [_split(name, columns, units, rows) for name, rows in _by_split(summary_rows).items()],
        "evolution": evolution(quantiles or {}),
        "grids": grids,
        "groups": [{"title": name, "rows": [_row(p) for p in part]} for name, part in groups if part],
    }
    return write_page(path, "probe.html", values)


def _by_split(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    splits: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        splits.setdefault(str(row.get("split", "")), []).append(row)
    return splits


def _split(
    name: str, columns: Mapping[str, Column], units: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What the page says of one split: its last figures, how they are distributed, and how they came."""
    mine = columns["split"] == name if "split" in columns else slice(None)
    return {
        "name": name,
        "rows": figure_rows(rows[-1], units),
        "distributions": distribution_charts({column: values[mine] for column, values in columns.items()}, units),
        "charts": series_charts(rows, units),
    }


def distribution_charts(columns: Mapping[str, Column], units: Mapping[str, str]) -> list[dict[str, str]]:
    """The distances, those of one unit together, as many in a chart as there are colours."""
    groups: dict[str, list[str]] = {}
    for column, values in columns.items():
        unit = units.get(column, "")
        drawn = unit.endswith(DISTANCE) and np.issubdtype(np.asarray(values).dtype, np.floating)
        if drawn and column != SEARCHED and not is_null(column, columns):
            groups.setdefault(unit, []).append(column)
    return [
        {"title": f"distributions [{unit}]", "source": plot(cumulative_shares(columns, names[part], unit), (6.2, 3.4))}
        for unit, names in groups.items()
        for part in chunks(len(names), len(LINES))
    ]


def series_charts(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> list[dict[str, str]]:
    """The figures of several checkpoints along their steps; nothing for a single one."""
    if len(rows) < 2:
        return []
    names = [name for name, value in rows[-1].items() if isinstance(value, int | float) and name != "samples"]
    names = [name for name in names if sum(row.get(name) is not None for row in rows) > 1]
    values = {name: [row.get(name) for row in rows] for name in names}
    columns = {name: np.array([np.nan if v is None else v for v in column]) for name, column in values.items()}
    steps = columns.pop("step", np.arange(len(rows))).astype(np.int64)
    return chart_pictures(charts_by_unit(columns, units), Timeline(steps, ()))


def cumulative(values: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sorted finite values, and the share of all values at most as large; nan counts as never reached.

    Example:
        >>> cumulative(np.array([3.0, 1.0, np.inf, np.nan]))[1]
        array([0.25, 0.5 ])
    """
    finite = np.sort(np.asarray(values, dtype=np.float64)[np.isfinite(values)])
    return finite, np.arange(1, len(finite) + 1) / max(len(values), 1)


def cumulative_shares(columns: Mapping[str, Column], names: Sequence[str], unit: str) -> Any:
    """What draws these columns' cumulative shares into axes."""

    def draw(axes: "Axes") -> None:
        for place, name in enumerate(names):
            colour = hexadecimal(LINES[place % len(LINES)])
            axes.step(*cumulative(columns[name]), where="post", color=colour, linewidth=1.8, label=words(name))
            if name + NULL in columns:
                axes.step(*cumulative(columns[name + NULL]), "--", where="post", color=colour, linewidth=1.2)
        finite = np.concatenate([cumulative(columns[name])[0] for name in names])
        sizes = np.abs(finite[finite != 0])
        wide = len(sizes) > 0 and np.quantile(sizes, 0.95) > 20 * np.quantile(sizes, 0.05)
        if len(finite) and finite.min() < 0:
            axes.axvline(0, color=hexadecimal(MUTED), linewidth=0.8)
            if wide:
                axes.set_xscale("symlog", linthresh=float(np.quantile(sizes, 0.05)))
                axes.minorticks_off()
        elif wide:
            axes.set_xscale("log")
        if any(name + NULL in columns for name in names):
            axes.plot([], [], "--", color=hexadecimal(MUTED), linewidth=1.2, label="dashed: their nulls")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(unit, fontsize=9, color=hexadecimal(MUTED))
        axes.set_ylabel("share of samples", fontsize=9, color=hexadecimal(MUTED))
        axes.tick_params(labelsize=8.5, colors=hexadecimal(MUTED))
        axes.set_facecolor("none")
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(hexadecimal(RULE))
        axes.legend(fontsize=8.5, frameon=False, loc="best", labelcolor=hexadecimal(INK))

    return draw


def _row(picture: ProbePicture) -> dict[str, Any]:
    strongest = float(np.abs(picture.perturbation).max())
    factor = 0.5 / strongest if strongest > 0 else 1.0
    shown = [(picture.image, "image"), (picture.image + picture.perturbation, "perturbed")]
    parts = ((picture.perturbation, "perturbation"), (picture.on_part, "on the manifold"), (picture.off_part, "off it"))
    shown += [(0.5 + factor * part, name) for part, name in parts if part is not None]
    energy = float((picture.perturbation**2).sum())
    note = f"shown {factor:,.0f} times as strong" if factor >= 10 else f"shown {factor:.1f} times as strong"
    if picture.on_part is not None and energy > 0:
        note += f"; {float((picture.on_part**2).sum()) / energy:.1%} of its squared length lies on the manifold"
    return {
        "index": picture.index,
        "label": picture.label,
        "prediction": picture.prediction,
        "margin": number(picture.margin),
        "note": note,
        "pictures": [(png(image_of(pixels)), name) for pixels, name in shown],
    }


def image_of(pixels: Pixels) -> Image.Image:
    """Pixels `(C, H, W)` within [0, 1], cut off outside, as a picture of whole-number magnification, C = 1 or 3."""
    levels = np.rint(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    picture = Image.fromarray(levels[0] if len(levels) == 1 else np.ascontiguousarray(levels.transpose(1, 2, 0)))
    times = max(1, round(SHOWN_SIDE / max(picture.size)))
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
