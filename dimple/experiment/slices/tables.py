"""Tables of a slice: one row for each step, compared with random slices, and one row for each image and step."""

import dataclasses
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.experiment.slices.config import SliceConfig
from dimple.stats.aggregate import aggregate_units, band_verdicts, with_interval
from dimple.stats.intervals import median_interval
from dimple.stats.null_bands import absolute_distances, prediction_interval

Arrays = dict[str, NDArray[Any]]
LENGTH_UNIT = "l2, input units"
SIZE_UNITS = {2: LENGTH_UNIT, 3: f"square of {LENGTH_UNIT}"}
IMAGE_COLUMNS = ("label", "prediction", "confidence")
DISTANCE_COLUMNS = ("margin_unbounded", "margin_in_slice")
# One slice gives no interval.
ONE_SLICE = (-np.inf, np.inf)
NULL_SUFFIXES = ("_null", "_null_low", "_null_high")


@final
@dataclasses.dataclass(frozen=True)
class SliceMeasurement:
    """Measurement of one network in a slice and in its random slices.

    Attributes:
        slice_arrays, control_arrays: `class_fraction` `(K,)`; `class_pairs` `(P, 2)`, the pairs of classes that meet,
            and `class_pair_sizes` `(P,)`, the sizes of their boundaries.
        samples: the columns of the images.
    """

    step: int
    slice_arrays: Arrays
    control_arrays: Sequence[Arrays]
    samples: Arrays


def build_metrics(measurements: Sequence[SliceMeasurement], valid_fractions: Sequence[float]) -> Arrays:
    """Return one row for each step: classes in the box, size of the boundary, and distance of the images from it.

    The null of a column is the median over the random slices, with the band of their values.

    Args:
        valid_fractions: the fraction of the box with valid inputs, in the slice and then in each random slice; empty
            where the inputs are unbounded.
    """
    rows = [_metrics_row(measurement, valid_fractions) for measurement in measurements]
    columns: Arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["step"] = columns["step"].astype(np.int64)
    return columns


def _metrics_row(measurement: SliceMeasurement, valid_fractions: Sequence[float]) -> dict[str, float]:
    samples = measurement.samples
    row: dict[str, float] = {"step": float(measurement.step)}
    for name, compute in (("classes", _count_classes), ("boundary_size", _boundary_size)):
        row |= with_interval(name, compute(measurement.slice_arrays), ONE_SLICE, 1)
        row |= _null_statistics(name, [compute(arrays) for arrays in measurement.control_arrays])
    row |= {name: float(np.median(values)) for name, values in absolute_distances(samples, "margin_in_slice").items()}
    for name in ("margin_in_slice", "margin_unbounded"):
        distance = np.abs(samples[name])
        row |= with_interval(name, float(np.median(distance)), median_interval(distance), len(distance))
    if valid_fractions:
        row |= with_interval("valid_fraction", valid_fractions[0], ONE_SLICE, 1)
        row |= _null_statistics("valid_fraction", list(valid_fractions[1:]))
    return row


def _count_classes(arrays: Arrays) -> int:
    return int((arrays["class_fraction"] > 0).sum())


def _boundary_size(arrays: Arrays) -> float:
    return float(arrays["class_pair_sizes"].sum())


def _null_statistics(name: str, draws: Sequence[float]) -> dict[str, float]:
    values = torch.tensor(draws, dtype=torch.float64)
    low, high = prediction_interval(values)
    return {
        f"{name}_null": float(values.quantile(0.5)),
        f"{name}_null_low": float(low),
        f"{name}_null_high": float(high),
    }


def metric_units(dim: int) -> dict[str, str]:
    """Return the units of the columns of `build_metrics`."""
    units = {
        "classes": "classes",
        "boundary_size": SIZE_UNITS[dim],
        "margin_in_slice": LENGTH_UNIT,
        "valid_fraction": "fraction",
    }
    units |= {f"{name}{end}": unit for name, unit in units.items() for end in NULL_SUFFIXES}
    units |= {"margin_unbounded": LENGTH_UNIT}
    return units | aggregate_units([f"{name}{end}" for name in units for end in ("_low", "_high", "_samples")], units)


def build_slice_point_table(measurements: Sequence[SliceMeasurement], config: SliceConfig) -> Arrays:
    """Return one row for each image and step: prediction, and distance from the boundary in the slice and anywhere.

    Distances are negative where the prediction is wrong.
    """
    names = [*IMAGE_COLUMNS, *DISTANCE_COLUMNS, *[f"margin_in_slice{end}" for end in NULL_SUFFIXES]]
    count = len(config.images)
    table: Arrays = {
        "step": np.repeat([measurement.step for measurement in measurements], count),
        "split": np.full(count * len(measurements), config.split),
        "index": np.tile(config.images, len(measurements)),
    }
    return table | {name: np.concatenate([measurement.samples[name] for measurement in measurements]) for name in names}


def point_units(step_unit: str) -> dict[str, str]:
    """Return the units of the columns of `build_slice_point_table`."""
    units = {"step": step_unit, "split": "train or test", "index": "row of the split", "confidence": "probability"}
    distances = [*DISTANCE_COLUMNS, *[f"margin_in_slice{end}" for end in NULL_SUFFIXES]]
    return units | dict.fromkeys(("label", "prediction"), "class") | dict.fromkeys(distances, LENGTH_UNIT)


def build_summary(
    measurements: Sequence[SliceMeasurement], valid_fractions: Sequence[float], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the statistics of the last step, the fraction of the box of each class, and the size of each boundary."""
    last = measurements[-1]
    fractions = last.slice_arrays["class_fraction"]
    control_fractions = np.mean([arrays["class_fraction"] for arrays in last.control_arrays], axis=0)
    final_row = {name: value for name, value in _metrics_row(last, valid_fractions).items() if name != "step"}
    sizes = zip(last.slice_arrays["class_pairs"].tolist(), last.slice_arrays["class_pair_sizes"].tolist(), strict=True)
    return {
        "final": final_row,
        "verdicts": band_verdicts(final_row),
        "class_fractions": [
            {"class": name, "fraction": float(fractions[k]), "fraction_null": float(control_fractions[k])}
            for k, name in enumerate(classes)
            if fractions[k] > 0 or control_fractions[k] > 0
        ],
        "pairs": [{"classes": [classes[a], classes[b]], "size": size} for (a, b), size in sizes],
    }
