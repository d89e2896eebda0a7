"""Measurement of one snapshot of a scene: one row for each point, and one row of statistics over them."""

import dataclasses
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dimple.boundary import Boundary
from dimple.boundary.boundary import is_correct
from dimple.experiment.provenance import probe_names
from dimple.experiment.simulation.dimple_shape import (
    SHAPE_UNITS,
    measure_widths,
    opposite_spacing,
    summarize_dimples,
    summarize_position,
)
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.probes import PROBES, Cost, Margin, Offset, OnOff, Probe, Robust, run_probes
from dimple.probes.closest_points import closest_points, use_closest_points
from dimple.scene.display_slice import SLICE_UNITS, DisplaySlice, compute_slice_statistics
from dimple.stats.aggregate import (
    ROBUST_PREFIX,
    SAMPLES_SUFFIX,
    aggregate,
    aggregate_units,
    fraction_statistic,
    mean_statistic,
    median_statistic,
    statistic,
    summarize_null,
)

# The number of samples that are measured together: small for images, whose searches take long, and so that their
# memory is bounded.
POINT_CHUNK_SIZE = 4096
IMAGE_CHUNK_SIZE = 64
# The number of samples of which predictions are made together.
PREDICTION_CHUNK_SIZE = 4096
Arrays = dict[str, NDArray[Any]]
Units = dict[str, str]


@final
@dataclasses.dataclass(frozen=True)
class SnapshotMeasurement:
    """Results of one snapshot.

    Attributes:
        metrics: the row of the snapshot, `step` first.
        points: the columns of its points.
        units: the units of the columns of both.
        costs: the cost of each probe, by its name in the table of probes.
        closest_points: the nearest boundary point that any probe found for each training point, `(N, n)`; nan where
            none was found.
    """

    metrics: dict[str, float]
    points: Arrays
    units: Units
    costs: dict[str, Cost]
    closest_points: NDArray[np.float64]


@final
class SnapshotMeasurer:
    """Measurement of the network of a scene at one snapshot after another.

    Every probe of the scene measures the training samples of `train_rows`. The probes `margin` and `robust` also
    measure the test samples of `test_rows`, with which the training samples are compared, and `robust` the validation
    samples. The probe `offset` also measures the unlabeled held-out points of a manifold, which gives the distance of
    the boundary from it.

    Margins of points are measured in float64, because views find their boundary points again. Probes with hundreds of
    searches for each point run in float32, the precision of the training: float64 would take twice as long, and the
    results differ by some 1e-5, by more only where a search ends at another boundary point. Images are float32.

    Args:
        prepared: the scene with its samples.
        display_slice: the slice in which a scene of more than three dimensions is drawn.
    """

    def __init__(self, prepared: PreparedScene, display_slice: DisplaySlice | None = None) -> None:
        scene = prepared.scene
        samples = prepared.samples
        device = prepared.device
        self.prepared = prepared
        self.scene = scene
        self.display_slice = display_slice
        self.samples = samples
        self.device = device
        self.precise_dtype = torch.float32 if device.type == "mps" else samples.train.dtype
        self.tangents = prepared.tangents
        self.chunk_size = POINT_CHUNK_SIZE if samples.bounds is None else IMAGE_CHUNK_SIZE
        has_offset = any(isinstance(probe, Offset) for probe in scene.probes)
        self.spacing = opposite_spacing(samples) if has_offset else np.empty(0)
        reach = np.inf if scene.manifold is None else scene.manifold.reach
        self.probes = [
            dataclasses.replace(probe, limit=min(probe.limit, reach)) if isinstance(probe, Offset) else probe
            for probe in scene.all_probes
        ]
        self._own_units: Units = {}
        # Runs with different seeds have different random subspaces in these two probes. The random directions of
        # `Curvature` depend on the seed of the probe alone, so they are the same in runs with different seeds.
        self.probes = [
            dataclasses.replace(probe, seed=probe.seed + scene.seed) if isinstance(probe, Offset | OnOff) else probe
            for probe in self.probes
        ]

    def measure(self, step: int, network: nn.Module, loss: float) -> SnapshotMeasurement:
        """Measure the network of one snapshot.

        Args:
            step: the number of updates.
            loss: the training loss, which is recorded with the metrics.
        """
        bounds = self.samples.bounds
        boundary = Boundary(freeze(network).to(self.device), bounds)
        precise_boundary = Boundary(freeze(network).to(self.device, self.precise_dtype), bounds)
        columns, details, units, costs = self._measure_splits(boundary, precise_boundary)
        closest_points = self._use_closest_points(precise_boundary, columns["train"], details["train"])
        self._add_widths(precise_boundary, columns["train"], details["train"])
        metrics = {"step": float(step), "loss": loss, **self._accuracies(boundary), **self._summarize(columns, details)}
        if self.display_slice is not None:
            x = self.samples.train.float().to(self.device)
            y = self.samples.train_labels.to(self.device)
            manifold = self.scene.require_manifold()
            metrics |= compute_slice_statistics(self.display_slice, manifold, boundary, x, y, self.scene.seed)
        units |= dict.fromkeys(("margin_test", "margin_correct", "margin_misclassified"), units.get("margin", ""))
        units |= {name: "fraction" for name in metrics if ROBUST_PREFIX in name}
        units |= METRIC_UNITS | SLICE_UNITS
        units |= aggregate_units(metrics, units)
        return SnapshotMeasurement(metrics, self._stack_splits(step, columns), units, costs, closest_points)

    def _use_closest_points(self, boundary: Boundary, columns: Arrays, details: Arrays) -> NDArray[np.float64]:
        """Reconcile the columns of the training points, and return their boundary points."""
        x = self.samples.train[self.samples.train_rows].to(self.device, self.precise_dtype)
        parts = (columns, details)
        arrays = [{name: torch.from_numpy(values) for name, values in part.items()} for part in parts]
        # A table that is measured in single precision holds double precision.
        tables = [
            {name: values.to(x if values.is_floating_point() else x.device) for name, values in part.items()}
            for part in arrays
        ]
        use_closest_points(boundary, x, self.probes, self.tangents, *tables)
        for part, table in zip(parts, tables, strict=True):
            part.update({name: values.cpu().numpy() for name, values in table.items()})
        margin = next((probe for probe in self.probes if isinstance(probe, Margin)), None)
        is_bounded = self.samples.bounds is not None
        if is_bounded or (margin is not None and (margin.norm, margin.adversarial_class) != ("l2", "any")):
            return np.full(x.shape, np.nan)
        return closest_points(x, *tables).cpu().double().numpy()

    def _add_widths(self, boundary: Boundary, columns: Arrays, details: Arrays) -> None:
        """Add the column `dimple_width`, signed as the offset, of points on a manifold."""
        manifold = self.scene.manifold
        if "offset" in columns and manifold is not None:
            x, step = (
                torch.as_tensor(values).to(self.device, self.precise_dtype)
                for values in (self.samples.train, details["offset_step"])
            )
            limit = next(probe.limit for probe in self.probes if isinstance(probe, Offset))
            width = measure_widths(boundary, manifold, x, step, limit).cpu().double().numpy()
            columns["dimple_width"] = np.copysign(width, columns["offset"])

    def _measure_splits(
        self, boundary: Boundary, precise_boundary: Boundary
    ) -> tuple[dict[str, Arrays], dict[str, Arrays], Units, dict[str, Cost]]:
        """Return the columns and the details of every split, the units, and the cost of each probe."""
        samples = self.samples
        points = samples.labeled(measured_only=True)
        if len(samples.heldout):
            points["heldout"] = (samples.heldout, torch.full((len(samples.heldout),), -1))
        columns: dict[str, Arrays] = {split: {} for split in points}
        details: dict[str, Arrays] = {split: {} for split in points}
        units = dict(POINT_UNITS)
        costs: dict[str, Cost] = {}
        # Each probe measures all its splits together; the first pass, without a probe, gives the predictions of all.
        for probes in [[], *([probe] for probe in self.probes)]:
            splits = [split for split in points if all(_has_probe(split, probe) for probe in probes)]
            x, y = (torch.cat(both) for both in zip(*(points[split] for split in splits), strict=True))
            is_precise = any(isinstance(probe, Margin) for probe in probes)
            measured = precise_boundary if is_precise else boundary
            dtype = self.precise_dtype if is_precise else torch.float32
            result = run_probes(
                measured,
                x.to(self.device, dtype),
                y.to(self.device),
                probes,
                self.tangents,
                chunk_size=self.chunk_size,
            )
            if any(type(probe) not in PROBES.values() for probe in probes):
                self._own_units |= {name: unit for name, unit in result.units.items() if name not in columns["train"]}
            sizes = [len(points[split][0]) for split in splits]
            for found, by_split in ((result.columns, columns), (result.details, details)):
                for name, values in found.items():
                    for split, rows in zip(splits, values.cpu().split(sizes), strict=True):
                        by_split[split][name] = (rows.double() if rows.is_floating_point() else rows).numpy()
            units |= result.units
            costs |= dict(zip(probe_names(probes), result.costs, strict=True))
        return columns, details, units, costs

    def _summarize_correct(self, test: Arrays) -> dict[str, float]:
        """Return the median margins of the correct and of the misclassified test samples; nan where there are none."""
        correct = test["prediction"] == test["label"]
        return median_statistic("margin_correct", test["margin"][correct]) | median_statistic(
            "margin_misclassified", test["margin"][~correct]
        )

    def _accuracies(self, boundary: Boundary) -> dict[str, float]:
        """Return the accuracy on each split with labels, and the accuracy of the most frequent class alone."""
        row: dict[str, float] = {}
        measured_only = not self.scene.training.evaluate.clean
        for split, (x, y) in self.samples.labeled(measured_only).items():
            parts = x.split(PREDICTION_CHUNK_SIZE)
            scores = torch.cat([boundary.scores(part.float().to(self.device)).cpu() for part in parts])
            row |= fraction_statistic(f"{split}_accuracy", is_correct(scores, y).numpy())
            row[f"{split}_majority_accuracy"] = int(y.bincount().max()) / len(y)
        return row

    def _summarize(self, columns_by_split: dict[str, Arrays], details_by_split: dict[str, Arrays]) -> dict[str, float]:
        train, test, heldout = (columns_by_split.get(split, {}) for split in ("train", "test", "heldout"))
        row: dict[str, float] = {}
        if "offset" in heldout:
            limit = next(probe.limit for probe in self.probes if isinstance(probe, Offset))
            distance = np.abs(heldout["offset"])
            heldout = heldout | details_by_split["heldout"]
            draws = heldout["offset_draws"]
            null_draws = np.minimum(draws, limit).mean(axis=0)
            position = summarize_position(heldout, limit)
            if not np.isfinite(distance).all():
                # The parts of a mean square are unknown where some distances are.
                parts = ("boundary_translation", "boundary_tilt")
                position |= {
                    name: 0 if name.endswith(SAMPLES_SUFFIX) else np.nan for name in position if name.startswith(parts)
                }
            row |= {
                **mean_statistic("boundary_distance", np.minimum(distance, limit), (0.0, limit)),
                **summarize_null("boundary_distance_null", null_draws),
                "search_limit": limit,
                "boundary_distance_found": float(np.isfinite(distance).mean()),
                "boundary_distance_found_null": float(np.isfinite(draws).mean()),
                **statistic("gradient_off_manifold_fraction", heldout, METRIC_UNITS),
                "gradient_off_manifold_fraction_stderr": _standard_error(heldout["gradient_off_manifold_fraction"]),
                **position,
            }
        if "offset" in train:
            row |= summarize_dimples(train | details_by_split["train"], self.spacing)
        if "margin" in train:
            row |= {
                **median_statistic("margin", train["margin"]),
                **median_statistic("margin_test", test["margin"]),
                "margin_found": float(np.isfinite(train["margin"]).mean()),
            }
            if self.scene.manifold is None:
                row |= self._summarize_correct(test)
        for split, table in columns_by_split.items():
            for name in [name for name in table if name.startswith(ROBUST_PREFIX)]:
                row |= fraction_statistic(f"{split}_{name}", table[name].astype(bool))
        if "margin_unbounded" in train:
            for name in ("margin_on", "margin_on_ratio", "margin_off", "margin_off_ratio"):
                row |= statistic(name, train | details_by_split["train"], METRIC_UNITS)
        return row | self._summarize_own(train)

    def _summarize_own(self, train: Arrays) -> dict[str, float]:
        """Return the statistics of the columns of the user's own probes."""
        own = {name: values for name, values in train.items() if name in self._own_units}
        row = aggregate(own, self._own_units, np.ones(len(train["label"]), dtype=bool))
        # The summary adds verdicts, in words, to the last row.
        return {name: value for name, value in row.items() if not isinstance(value, str)}

    def _stack_splits(self, step: int, columns_by_split: dict[str, Arrays]) -> Arrays:
        """Return the rows of all splits as one table; nan where a probe did not measure a split."""
        names = list(dict.fromkeys(name for columns in columns_by_split.values() for name in columns))
        samples = self.samples
        measured = {"train": samples.train_rows, "test": samples.test_rows}
        counts = {split: len(columns["label"]) for split, columns in columns_by_split.items()}
        rows = {split: measured.get(split, torch.arange(count)) for split, count in counts.items()}
        table: Arrays = {
            "step": np.full(sum(counts.values()), step),
            "split": np.concatenate([np.full(count, split) for split, count in counts.items()]),
            "index": np.concatenate([rows[split].numpy() for split in counts]),
        }
        for name in names:
            filled = [
                columns[name].astype(float) if name in columns else np.full(counts[split], np.nan)
                for split, columns in columns_by_split.items()
            ]
            table[name] = np.concatenate(filled)
        for name in ("label", "prediction"):
            table[name] = table[name].astype(np.int64)
        return table


def _has_probe(split: str, probe: Probe) -> bool:
    """Return whether a probe measures the points of a split."""
    kinds = {"test": Margin | Robust, "validation": Robust, "heldout": Offset}
    return split == "train" or isinstance(probe, kinds[split])


def _standard_error(values: NDArray[Any]) -> float:
    """Return the standard error of the mean without nan, which marks a gradient of zero, of independent points."""
    defined = values[~np.isnan(values)]
    return float(defined.std(ddof=1) / np.sqrt(len(defined))) if len(defined) > 1 else float("nan")


POINT_UNITS = {
    "step": "updates",
    "split": "train, test, validation or heldout",
    "index": "row of the split",
}

METRIC_UNITS = {
    **SHAPE_UNITS,
    "loss": "nats",
    **dict.fromkeys(
        [f"{split}{end}accuracy" for split in ("train", "test", "validation") for end in ("_", "_majority_")],
        "fraction",
    ),
    **{f"{name}_found{end}": "fraction" for name in ("boundary_distance", "dimple_depth") for end in ("", "_null")},
    "margin_found": "fraction",
    **dict.fromkeys(
        (
            "gradient_off_manifold_fraction",
            "gradient_off_manifold_fraction_null",
            "gradient_off_manifold_fraction_null_low",
            "gradient_off_manifold_fraction_null_high",
            "gradient_off_manifold_fraction_stderr",
        ),
        "fraction",
    ),
    **{f"boundary_distance{end}": "l2, input units" for end in ("", "_null", "_null_low", "_null_high")},
    "search_limit": "l2, input units",
    **{f"margin_{direction}_found{end}": "fraction" for direction in ("on", "off") for end in ("", "_null")},
    **{
        f"margin_{direction}{end}": "l2, input units"
        for direction in ("on", "off")
        for end in ("", "_null", "_null_low", "_null_high")
    },
    **{
        f"margin_{direction}_ratio{end}": "x free margin"
        for direction in ("on", "off")
        for end in ("", "_null", "_null_low", "_null_high", "_analytic")
    },
}
