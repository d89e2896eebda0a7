"""Report of a measurement: aggregates, distributions with their nulls, and pictures of the perturbations."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dimple.stats.cautions import cautions
from dimple.views.charts.charts_by_unit import charts_by_unit, render_charts
from dimple.views.charts.distributions import distribution_charts
from dimple.views.charts.quantile_fans import quantile_fan_charts
from dimple.views.charts.robustness_curve import CERTIFIED, summarize_robustness_curve
from dimple.views.content.columns import rows_to_columns
from dimple.views.content.frame import Timeline
from dimple.views.content.from_slice import to_rgb_bytes
from dimple.views.content.labels import format_number, format_pixel_levels
from dimple.views.report.html import png_data_uri, write_page
from dimple.views.report.tables import statistic_rows

Column = NDArray[Any]
PixelArray = NDArray[np.floating[Any]]
IMAGE_SIDE_PIXELS = 112


@final
@dataclasses.dataclass(frozen=True)
class PerturbedImage:
    """One image with its shortest perturbation, arrays `(C, H, W)`; pixels of the image lie within [0, 1].

    Attributes:
        index, label, prediction: the row of the image, its class and the predicted class.
        margin: its distance to the boundary, in the unit of the measurement.
        image, perturbation: their sum lies on the boundary.
        on_manifold, off_manifold: the parts of the perturbation along and off the data manifold, whose sum it is; None
            where no tangent spaces were known.
        length_unit: the width of the range of the inputs, which the arrays are scaled by.
    """

    index: int
    label: int | str
    prediction: int | str
    margin: float
    image: PixelArray
    perturbation: PixelArray
    on_manifold: PixelArray | None
    off_manifold: PixelArray | None
    length_unit: float = 1.0


def write_measurement_report(
    path: Path | str,
    title: str,
    facts: Sequence[tuple[str, str]],
    columns: Mapping[str, Column],
    units: Mapping[str, str],
    summary_rows: Sequence[Mapping[str, Any]],
    images: Sequence[PerturbedImage],
    *,
    quantiles: Mapping[str, Column] | None = None,
    tables: Sequence[Mapping[str, Any]] = (),
    cost: Mapping[str, Any] | None = None,
    reproduce_command: str = "",
    levels: int | None = None,
) -> Path:
    """Write the report of a measurement as one HTML file that needs no other file and no network.

    Args:
        path: the file.
        title: the title of the page.
        facts: pairs of name and value in words: the network, the data, the seed.
        columns: one value for each sample, with its `split`. Distances are drawn, grouped by unit, each `X` with its
            null dashed.
        units: the unit of each column and aggregate.
        summary_rows: the aggregates of each step in order, with `step` and `split`; the last ones are printed, and all
            of them drawn as curves where there are several steps.
        images: the images to show, in the order of their margins: the lower half as the least robust ones, the upper
            half as the most robust.
        quantiles: quantiles of each distance at each step, see `dimple.views.charts.quantile_fans`.
        tables: further tables, each with `title`, `note`, `heads` and `lines` of text.
        cost: the result of `run_cost`.
        reproduce_command: the command that measures it again.
        levels: the level of the brightest pixel, where the inputs are images from 0 to 1.

    Returns:
        `path`.

    Raises:
        RunError: if the page cannot be written.
    """
    ranked = sorted(images, key=lambda picture: picture.margin)
    half = (len(ranked) + 1) // 2
    groups = (("The least robust images", ranked[:half]), ("The most robust images", ranked[half:]))
    values = {
        "title": title,
        "facts": list(facts),
        "splits": [
            _split_content(name, columns, units, rows, levels) for name, rows in _group_by_split(summary_rows).items()
        ],
        "evolution": quantile_fan_charts(quantiles or {}),
        "grids": tables,
        "groups": [
            {"title": name, "rows": [_image_row(p, units.get("margin", ""), levels) for p in part]}
            for name, part in groups
            if part
        ],
        "reproduce": reproduce_command,
        **(cost or {}),
    }
    return write_page(path, "measurement.html", values)


def _group_by_split(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    splits: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        splits.setdefault(str(row.get("split", "")), []).append(row)
    return splits


def _split_content(
    name: str,
    columns: Mapping[str, Column],
    units: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    levels: int | None,
) -> dict[str, Any]:
    """Return the content of one split: its last aggregates, their distributions, and their curves."""
    mine = columns["split"] == name if "split" in columns else slice(None)
    own = {column: values[mine] for column, values in columns.items()}
    return {
        "name": name,
        "rows": statistic_rows(rows[-1], units, levels),
        "cautions": cautions(rows[-1]),
        "curve": summarize_robustness_curve(own, units.get(CERTIFIED, "")),
        "distributions": distribution_charts(own, units),
        "charts": series_charts(rows, units),
    }


def series_charts(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str]) -> list[dict[str, str]]:
    """Return charts of the aggregates of several checkpoints along their steps; none for a single one."""
    if len(rows) < 2:
        return []
    columns = rows_to_columns(rows)
    return render_charts(charts_by_unit(columns, units), Timeline(columns["step"], ()))


def _image_row(image: PerturbedImage, unit: str, levels: int | None) -> dict[str, Any]:
    strongest = float(np.abs(image.perturbation).max())
    factor = 0.5 / strongest if strongest > 0 else 1.0
    shown = [(image.image, "image"), (image.image + image.perturbation, "perturbed")]
    parts = (
        (image.perturbation, "perturbation"),
        (image.on_manifold, "on manifold"),
        (image.off_manifold, "off manifold"),
    )
    shown += [(0.5 + factor * part, name) for part, name in parts if part is not None]
    energy = float((image.perturbation**2).sum())
    strength = f"{factor:,.0f}" if factor >= 10 else f"{factor:.1f}"
    note = f"{format_number(image.length_unit * float(np.sqrt(energy)))} long in l2, shown {strength} times as strong"
    if image.on_manifold is not None and energy > 0:
        note += f"; {float((image.on_manifold**2).sum()) / energy:.1%} of its squared length lies along the manifold"
    return {
        "index": image.index,
        "label": image.label,
        "prediction": image.prediction,
        "margin": " = ".join(
            filter(None, (format_number(image.margin), format_pixel_levels(image.margin, unit, levels)))
        ),
        "note": note,
        "pictures": [(png_data_uri(pixels_to_image(pixels)), name) for pixels, name in shown],
    }


def pixels_to_image(pixels: PixelArray) -> Image.Image:
    """Return pixels `(C, H, W)`, clipped to [0, 1], magnified by a whole number, as an image in gray if C is not 3."""
    picture = Image.fromarray(to_rgb_bytes(pixels))
    times = max(1, round(IMAGE_SIDE_PIXELS / max(picture.size)))
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
