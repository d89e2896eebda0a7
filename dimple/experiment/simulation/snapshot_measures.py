"""One snapshot of a scene measured: a row a point, and the row of the snapshot that sums them up."""

import dataclasses
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dimple.boundary import Boundary
from dimple.data import ManifoldSamples
from dimple.networks.wrappers import frozen
from dimple.probes import PROBES, Cost, Margin, Offset, OnOff, Probe, measure
from dimple.scene.display_slice import SECTION_UNITS, Drawn, section_figures
from dimple.scene.scene import Scene
from dimple.stats.aggregate import figure, median, with_band

Arrays = dict[str, NDArray[Any]]
Units = dict[str, str]
KINDS = {kind: name for name, kind in PROBES.items()}


@final
@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured at one snapshot.

    Attributes:
        metrics: the row of the snapshot, `step` first.
        points: the columns of its points.
        units: of the columns of either.
        costs: of each probe, by its name in the table.
    """

    metrics: dict[str, float]
    points: Arrays
    units: Units
    costs: dict[str, Cost]


@final
class Recorder:
    """Measures the network of a scene at one snapshot after another.

    The training points get every probe of the scene; as many test points the margin, which is the null of theirs; the
    unlabelled probe points the offset, which is the boundary-to-manifold distance. Margins are measured in float64,
    because views find their points again; what has hundreds of searches a point in the precision in which the network
    was trained. In float64 that takes twice as long and differs by some hundred-thousandths, by more only where a
    search comes to another place.

    Args:
        drawn: the section in which the scene is drawn, for scenes of more than three dimensions.
    """

    def __init__(
        self, scene: Scene, samples: ManifoldSamples, device: torch.device, drawn: Drawn | None = None
    ) -> None:
        self.scene = scene
        self.drawn = drawn
        self.samples = samples
        self.device = device
        self.exact = torch.float32 if device.type == "mps" else torch.float64
        reach = scene.manifold.reach
        self.probes = [
            dataclasses.replace(probe, limit=min(probe.limit, reach)) if isinstance(probe, Offset) else probe
            for probe in scene.probes
        ]
        # Runs of different seeds have nulls of their own.
        self.probes = [
            dataclasses.replace(probe, seed=probe.seed + scene.seed) if isinstance(probe, Offset | OnOff) else probe
            for probe in self.probes
        ]

    def measure(self, step: int, network: nn.Module, loss: float) -> Measured:
        """All that is recorded of one snapshot."""
        boundary = Boundary(frozen(network).to(self.device))
        exact = Boundary(frozen(network).to(self.device, self.exact))
        parts, details, units, costs = self._measured(boundary, exact)
        metrics = {"step": float(step), "loss": loss, **self._accuracies(boundary), **self._summary(parts, details)}
        if self.drawn is not None:
            x, y = self.samples.train.float().to(self.device), self.samples.train_labels.to(self.device)
            metrics |= section_figures(self.drawn, self.scene.manifold, boundary, x, y, self.scene.seed)
        units["margin_null"] = units.get("margin", "")
        return Measured(metrics, _stack(step, parts), units | METRIC_UNITS | SECTION_UNITS, costs)

    def _measured(
        self, boundary: Boundary, exact: Boundary
    ) -> tuple[dict[str, Arrays], dict[str, Arrays], Units, dict[str, Cost]]:
        """The columns and the details of every set of points; units and costs of both."""
        samples, compared = self.samples, len(self.samples.train)
        sets = {
            "train": (samples.train, samples.train_labels),
            "test": (samples.test[:compared], samples.test_labels[:compared]),
            "probe": (samples.probe, torch.full((len(samples.probe),), -1)),
        }
        parts: dict[str, Arrays] = {split: {} for split in sets}
        details: dict[str, Arrays] = {split: {} for split in sets}
        units, costs = dict(POINT_UNITS), dict[str, Cost]()
        # All sets that get the same probe travel together; what the network says of a point is asked of all.
        for probes in [[], *([probe] for probe in self.probes)]:
            splits = [split for split in sets if all(_gets(split, probe) for probe in probes)]
            x, y = (torch.cat(both) for both in zip(*(sets[split] for split in splits), strict=True))
            single = not any(isinstance(probe, Margin) for probe in probes)
            asked, dtype = (boundary, torch.float32) if single else (exact, self.exact)
            result = measure(
                asked, x.to(self.device, dtype), y.to(self.device), probes, self.scene.manifold, chunk=4096
            )
            sizes = [len(sets[split][0]) for split in splits]
            for found, kept in ((result.columns, parts), (result.details, details)):
                for name, values in found.items():
                    for split, rows in zip(splits, values.cpu().split(sizes), strict=True):
                        kept[split][name] = (rows.double() if rows.is_floating_point() else rows).numpy()
            units |= result.units
            costs |= {KINDS[type(probe)]: cost for probe, cost in zip(probes, result.costs, strict=True)}
        return parts, details, units, costs

    def _accuracies(self, boundary: Boundary) -> dict[str, float]:
        """The share of right predictions, and as its null the share that the commonest class alone would get."""
        samples, row = self.samples, {}
        for split, x, y in (
            ("train", samples.train, samples.train_labels),
            ("test", samples.test, samples.test_labels),
        ):
            prediction = boundary.predict(x.float().to(self.device)).cpu()
            row[f"{split}_accuracy"] = float((prediction == y).double().mean())
            row[f"{split}_accuracy_null"] = int(y.bincount().max()) / len(y)
        return row

    def _summary(self, parts: dict[str, Arrays], details: dict[str, Arrays]) -> dict[str, float]:
        train, test, probe = parts["train"], parts["test"], parts["probe"]
        row: dict[str, float] = {}
        if "offset" in probe:
            limit = next(p.limit for p in self.probes if isinstance(p, Offset))
            distance = np.abs(probe["offset"])
            null_draws = np.minimum(details["probe"]["offset_draws"], limit).mean(axis=0)
            row |= {
                "boundary_distance": float(np.minimum(distance, limit).mean()),
                **with_band("boundary_distance_null", null_draws),
                "boundary_limit": limit,
                "boundary_found": float(np.isfinite(distance).mean()),
                "off_share": _mean_where_defined(probe["gradient_off_share"]),
                "off_share_null": float(probe["gradient_off_share_null"].mean()),
                "off_share_error": _standard_error(probe["gradient_off_share"]),
                "dimple_depth": median(train["offset"]),
                "dimple_depth_null": median(train["offset_null"]),
                "dimple_found": float(np.isfinite(train["offset"]).mean()),
            }
        if "margin" in train:
            row |= {
                "margin": median(train["margin"]),
                "margin_null": median(test["margin"]),
                "margin_found": float(np.isfinite(train["margin"]).mean()),
            }
        if "margin_any" in train:
            restricted = ("margin_on", "on_ratio", "margin_off", "off_ratio")
            for name in restricted:
                row |= figure(name, train | details["train"], METRIC_UNITS)
        return row


def _gets(split: str, probe: Probe) -> bool:
    """Whether the points of a set get a probe."""
    return split == "train" or isinstance(probe, Margin if split == "test" else Offset)


def _mean_where_defined(values: NDArray[Any]) -> float:
    """The mean without nan, which marks a gradient of zero; nan if there is nothing else."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _standard_error(values: NDArray[Any]) -> float:
    """The standard error of that mean, the points taken as independent."""
    defined = values[~np.isnan(values)]
    return float(defined.std(ddof=1) / np.sqrt(len(defined))) if len(defined) > 1 else float("nan")


def _stack(step: int, parts: dict[str, Arrays]) -> Arrays:
    """The splits one below the other; what a split was not asked is nan."""
    names = list(dict.fromkeys(name for columns in parts.values() for name in columns))
    counts = {split: len(columns["label"]) for split, columns in parts.items()}
    table: Arrays = {
        "step": np.full(sum(counts.values()), step),
        "split": np.concatenate([np.full(count, split) for split, count in counts.items()]),
        "index": np.concatenate([np.arange(count) for count in counts.values()]),
    }
    for name in names:
        filled = [
            columns[name].astype(float) if name in columns else np.full(counts[split], np.nan)
            for split, columns in parts.items()
        ]
        table[name] = np.concatenate(filled)
    for name in ("label", "prediction"):
        table[name] = table[name].astype(np.int64)
    return table


POINT_UNITS = {
    "step": "updates",
    "split": "train, test or probe",
    "index": "row of the split",
}

METRIC_UNITS = {
    "loss": "nats",
    **dict.fromkeys(("train_accuracy", "train_accuracy_null", "test_accuracy", "test_accuracy_null"), "share"),
    **dict.fromkeys(("boundary_found", "dimple_found", "margin_found"), "share"),
    **dict.fromkeys(("off_share", "off_share_null", "off_share_error"), "share"),
    **{f"boundary_distance{end}": "l2, input units" for end in ("", "_null", "_null_low", "_null_high")},
    **dict.fromkeys(("boundary_limit", "dimple_depth", "dimple_depth_null"), "l2, input units"),
    **{f"margin_{way}_found{end}": "share" for way in ("on", "off") for end in ("", "_null")},
    **{
        f"margin_{way}{end}": "l2, input units"
        for way in ("on", "off")
        for end in ("", "_null", "_null_low", "_null_high")
    },
    **{
        f"{way}_ratio{end}": "ratio to the free margin"
        for way in ("on", "off")
        for end in ("", "_null", "_null_low", "_null_high", "_closed")
    },
}
