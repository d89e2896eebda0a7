"""What a run shows in the end: when the phases came, the last figures beside their nulls, and the verdicts."""

from typing import Any

from numpy.typing import NDArray

from dimple.probes.nulls import verdict
from dimple.probes.phases import Phases, phases


def summary(metrics: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """The dates of the phases, the final row of the metrics, and what both say of the model's predictions."""
    final_row = {name: float(values[-1]) for name, values in metrics.items() if name != "step"}
    steps = [int(step) for step in metrics["step"]]
    result: dict[str, Any] = {"steps": steps[-1], "snapshots": len(steps)}
    if "boundary_distance" in metrics:
        dated: Phases = phases(
            steps,
            metrics["boundary_distance"].tolist(),
            metrics["train_accuracy"].tolist(),
            final_row["off_share"],
            final_row["off_share_null"],
            off_share_error=final_row["off_share_error"],
            found=float(metrics["boundary_found"][0]),
        )
        result |= {
            "cling_step": dated.cling_step,
            "dimple_step": dated.dimple_step,
            "distance_fall": dated.best_fall,
            "verdict": dated.verdict,
            "verdict_reason": dated.reason,
        }
    for way in ("on", "off"):
        if f"{way}_ratio" in final_row:
            result[f"{way}_ratio_verdict"] = verdict(
                final_row[f"{way}_ratio"], final_row[f"{way}_ratio_null_low"], final_row[f"{way}_ratio_null_high"]
            )
    return result | {"final": final_row}
