"""Summary of a simulation: its phases, its last row of statistics, and the verdicts that follow from them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.experiment.simulation.dimple_shape import summarize_fall
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurement
from dimple.stats.aggregate import band_verdicts
from dimple.stats.phases import Condition, Phases, detect_phases

# The verdict of a training that did not learn, and the growth of the loss from which on it is one.
DIVERGED = "diverged"
DIVERGED_GROWTH = 1.5


def describe_divergence(steps: Sequence[int], loss: NDArray[np.float64]) -> str:
    """Return the sentence about a training that ends with a loss far above its first one; "" for another training.

    Example:
        >>> describe_divergence([0, 1, 10], np.array([0.7, 3.0, 88.0]))
        'training diverged: the loss rose from 0.7 to 88, and is above its start from step 1 on; lower training.lr'
        >>> describe_divergence([0, 1, 10], np.array([0.7, 3.0, 0.1]))
        ''
    """
    if not loss[-1] > DIVERGED_GROWTH * loss[0]:
        return ""
    below = np.flatnonzero(loss <= loss[0])
    since = steps[int(below[-1]) + 1]
    return (
        f"training diverged: the loss rose from {loss[0]:.3g} to {loss[-1]:.3g}, and is above its start from step "
        f"{since} on; lower training.lr"
    )


def condition_rows(phases: Phases) -> list[dict[str, Any]]:
    """Return the conditions of a verdict as entries of a summary."""
    return [dataclasses.asdict(condition) for condition in phases.conditions]


def _add_divergence(conditions: list[dict[str, Any]], loss: NDArray[np.float64], sentence: str) -> list[dict[str, Any]]:
    """Return the conditions after the first one, that the training did not diverge; it decides where it is not met."""
    growth = float(loss[-1] / loss[0]) if loss[0] > 0 else math.nan
    first = Condition(
        "loss_growth",
        "final training loss over the first one",
        growth,
        DIVERGED_GROWTH,
        not sentence,
        sentence or "the training did not diverge",
        "at most",
        decides=bool(sentence),
    )
    others = [condition | {"decides": condition["decides"] and not sentence} for condition in conditions]
    return [dataclasses.asdict(first), *others]


def summarize_snapshots(snapshots: Sequence[SnapshotMeasurement]) -> dict[str, Any]:
    """Return the summary of the measurements of all snapshots, in the order of their steps."""
    return summarize_metrics(stack_snapshots(snapshots), heldout_distances(snapshots))


def stack_snapshots(snapshots: Sequence[SnapshotMeasurement]) -> dict[str, NDArray[Any]]:
    """Return the columns of metrics.parquet."""
    metrics = {name: np.array([one.metrics[name] for one in snapshots]) for name in snapshots[0].metrics}
    return metrics | {"step": metrics["step"].astype(np.int64)}


def heldout_distances(snapshots: Sequence[SnapshotMeasurement]) -> NDArray[np.float64] | None:
    """Return the distances of held-out points from the boundary, `(snapshots, points)`; None without `offset`."""
    if "boundary_distance" not in snapshots[0].metrics:
        return None
    return np.stack(
        [
            np.minimum(np.abs(one.points["offset"][one.points["split"] == "heldout"]), one.metrics["search_limit"])
            for one in snapshots
        ]
    )


def summarize_metrics(
    metrics: dict[str, NDArray[Any]], point_distances: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the phases, the last row of the metrics, and the verdicts that follow from them.

    Args:
        point_distances: the distances of which `boundary_distance` holds the means, `(snapshots, points)`.
    """
    final_row = {name: float(values[-1]) for name, values in metrics.items() if name != "step"}
    steps = [int(step) for step in metrics["step"]]
    result: dict[str, Any] = {"steps": steps[-1], "snapshots": len(steps)}
    if "boundary_distance" in metrics:
        found: Phases = detect_phases(
            steps,
            metrics["boundary_distance"] if point_distances is None else point_distances[None],
            metrics["train_accuracy"],
            final_row["gradient_off_manifold_fraction"],
            final_row["gradient_off_manifold_fraction_null"],
            off_manifold_fraction_stderr=final_row["gradient_off_manifold_fraction_stderr"],
            found_fraction=metrics["boundary_distance_found"],
            points=int(metrics["boundary_distance_samples"][0]) if "boundary_distance_samples" in metrics else None,
        )
        result |= {
            "cling_step": found.cling_step,
            "dimple_step": found.dimple_step,
            "distance_fall": found.best_reduction_factor,
            "starts_beyond_limit": found.starts_beyond_limit,
            "phases": [{**dataclasses.asdict(phase), "interval": list(phase.interval)} for phase in found.phases],
            "verdict": found.verdict,
            "verdict_reason": found.reason,
            "conditions": condition_rows(found),
            "fall": summarize_fall(metrics, found.dimple_step),
        }
    if "verdict" in result:
        sentence = describe_divergence(steps, metrics["loss"])
        if sentence:
            result |= {"verdict": DIVERGED, "verdict_reason": sentence}
        result["conditions"] = _add_divergence(result["conditions"], metrics["loss"], sentence)
    result |= band_verdicts(final_row)
    return result | {"final": final_row}
