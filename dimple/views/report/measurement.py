"""The page of a measurement on images: distributions beside their nulls, and what the perturbations look like."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dimple.stats.aggregate import is_doubtful
from dimple.views.charts.distributions import distribution_charts
from dimple.views.charts.figure_charts import chart_pictures, charts_by_unit
from dimple.views.charts.quantile_fans import evolution
from dimple.views.content.columns import columns_of
from dimple.views.content.frame import Timeline
from dimple.views.content.labels import number
from dimple.views.report.html import png, write_page
from dimple.views.report.tables import figure_rows

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
    cost: Mapping[str, Any] | None = None,
    reproduce: str = "",
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
        quantiles: of each distance at each step, see `dimple.views.charts.quantile_fans`.
        grids: further tables, each with `title`, `note`, `heads` and `lines` of text.
        cost: from `dimple.views.report.html`.
        reproduce: the command that measures it again.

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
        "reproduce": reproduce,
        **(cost or {}),
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
        "caution": caution(rows[-1]),
        "distributions": distribution_charts({column: values[mine] for column, values in columns.items()}, units),
        "charts": series_charts(rows, units),
    }


def caution(row: Mapping[str, Any]) -> str:
    """What to bear in mind with figures on and off a manifold whose tangents are estimates; empty where they are good.

    Example:
        >>> caution({"tangent_reliable": 0.1})[:43]
        'Only 10% of the tangent estimates here can '
    """
    if not is_doubtful(row):
        return ""
    share = row["tangent_reliable"]
    some = f"Only {share:.0%}" if share > 0 else "None"
    return (
        f"{some} of the tangent estimates here can be relied on at the distance of the boundary: read the "
        "figures on and off the manifold as those of the estimated planes, not of the data's own."
    )


def series_charts(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> list[dict[str, str]]:
    """The figures of several checkpoints along their steps; nothing for a single one."""
    if len(rows) < 2:
        return []
    columns = columns_of(rows)
    return chart_pictures(charts_by_unit(columns, units), Timeline(columns["step"], ()))


def _row(picture: ProbePicture) -> dict[str, Any]:
    strongest = float(np.abs(picture.perturbation).max())
    factor = 0.5 / strongest if strongest > 0 else 1.0
    shown = [(picture.image, "image"), (picture.image + picture.perturbation, "perturbed")]
    parts = (
        (picture.perturbation, "perturbation"),
        (picture.on_part, "on manifold"),
        (picture.off_part, "off manifold"),
    )
    shown += [(0.5 + factor * part, name) for part, name in parts if part is not None]
    energy = float((picture.perturbation**2).sum())
    strength = f"{factor:,.0f}" if factor >= 10 else f"{factor:.1f}"
    note = f"{number(float(np.sqrt(energy)))} long in l2, shown {strength} times as strong"
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
