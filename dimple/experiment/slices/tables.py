"""What was seen in a section as tables: a row of figures a step beside those of random sections, a row an image."""

import dataclasses
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.experiment.slices.config import SectionRequest
from dimple.stats.null_bands import band, lengths, verdict

Arrays = dict[str, NDArray[Any]]
LENGTH = "l2, input units"
SIZE = {2: LENGTH, 3: f"square of {LENGTH}"}
OF_IMAGES = ("label", "prediction", "confidence")
DISTANCES = ("margin_any", "margin_section")
ENDS = ("_null", "_null_low", "_null_high")


@final
@dataclasses.dataclass(frozen=True)
class Looked:
    """What was seen of one network.

    Attributes:
        chosen, controls: `class_share` `(K,)`; `met` `(P, 2)`, the pairs of classes, and `met_size` `(P,)`.
        samples: the columns of the images.
    """

    step: int
    chosen: Arrays
    controls: Sequence[Arrays]
    samples: Arrays


def metrics_of(steps: Sequence[Looked], valid: Sequence[float]) -> Arrays:
    """A row a step: how many classes the box holds, how large the boundary is in it, how far it is from the images.

    Each stands beside its null, the median over the random sections, with the band of the draws.

    Args:
        valid: the share of the box that are inputs, in the chosen section and in the random ones; empty without bounds.
    """
    rows = [_row(looked, valid) for looked in steps]
    columns: Arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["step"] = columns["step"].astype(np.int64)
    return columns


def _row(looked: Looked, valid: Sequence[float]) -> dict[str, float]:
    samples = looked.samples
    row: dict[str, float] = {"step": float(looked.step)}
    row |= {"classes": _classes(looked.chosen)} | _spread("classes", [_classes(each) for each in looked.controls])
    row |= {"boundary_size": _size(looked.chosen)} | _spread("boundary_size", [_size(c) for c in looked.controls])
    row |= {name: float(np.median(values)) for name, values in lengths(samples, "margin_section").items()}
    row["margin_any"] = float(np.median(np.abs(samples["margin_any"])))
    if valid:
        row |= {"valid_share": valid[0]} | _spread("valid_share", list(valid[1:]))
    return row


def _classes(seen: Arrays) -> int:
    return int((seen["class_share"] > 0).sum())


def _size(seen: Arrays) -> float:
    return float(seen["met_size"].sum())


def _spread(name: str, draws: Sequence[float]) -> dict[str, float]:
    values = torch.tensor(draws, dtype=torch.float64)
    low, high = band(values)
    return {
        f"{name}_null": float(values.quantile(0.5)),
        f"{name}_null_low": float(low),
        f"{name}_null_high": float(high),
    }


def metric_units(dim: int) -> dict[str, str]:
    """The unit of each of these columns."""
    units = {"classes": "classes", "boundary_size": SIZE[dim], "margin_section": LENGTH, "valid_share": "share"}
    units |= {f"{name}{end}": unit for name, unit in units.items() for end in ENDS}
    return units | {"margin_any": LENGTH}


def points_of(steps: Sequence[Looked], request: SectionRequest) -> Arrays:
    """A row an image and step: what the network makes of it, and how far the boundary is, in the section and anywhere.

    Distances are negative where the prediction is wrong.
    """
    names = [*OF_IMAGES, *DISTANCES, *[f"margin_section{end}" for end in ENDS]]
    count = len(request.images)
    table: Arrays = {
        "step": np.repeat([looked.step for looked in steps], count),
        "split": np.full(count * len(steps), request.split),
        "index": np.tile(request.images, len(steps)),
    }
    return table | {name: np.concatenate([looked.samples[name] for looked in steps]) for name in names}


def point_units(step_unit: str) -> dict[str, str]:
    """The unit of each of these columns."""
    units = {"step": step_unit, "split": "train or test", "index": "row of the split", "confidence": "probability"}
    distances = [*DISTANCES, *[f"margin_section{end}" for end in ENDS]]
    return units | dict.fromkeys(("label", "prediction"), "class") | dict.fromkeys(distances, LENGTH)


def summary_of(steps: Sequence[Looked], valid: Sequence[float], classes: Sequence[str]) -> dict[str, Any]:
    """The last step: its figures, the share of each class in the box, and the size of each pair's boundary."""
    last = steps[-1]
    shares, controls = last.chosen["class_share"], np.mean([each["class_share"] for each in last.controls], axis=0)
    final = {name: value for name, value in _row(last, valid).items() if name != "step"}
    sizes = zip(last.chosen["met"].tolist(), last.chosen["met_size"].tolist(), strict=True)
    return {
        "final": final,
        "verdicts": {
            f"{name}_verdict": verdict(value, final[f"{name}_null_low"], final[f"{name}_null_high"])
            for name, value in final.items()
            if f"{name}_null" in final
        },
        "shares": [
            {"class": name, "share": float(shares[k]), "share_null": float(controls[k])}
            for k, name in enumerate(classes)
            if shares[k] > 0 or controls[k] > 0
        ],
        "pairs": [{"classes": [classes[a], classes[b]], "size": size} for (a, b), size in sizes],
    }
