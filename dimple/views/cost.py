"""What a run cost, and what it was made with, as a page says it."""

from typing import Any

from dimple.boundary.boundary import BACKWARD, FORWARD
from dimple.runs.store import Run


def cost_of(run: Run) -> dict[str, Any]:
    """The passes of each probe, the seconds of each stage, and the versions, for the template of the cost."""
    info = run.info
    return {
        "forward": FORWARD,
        "passes": [
            {"name": name, **counts, "each": passes_each(counts)} for name, counts in info.get("passes", {}).items()
        ],
        "seconds": [(stage, f"{seconds:.1f}") for stage, seconds in info.get("seconds", {}).items()],
        "versions": made_with(run),
    }


def made_with(run: Run) -> list[tuple[str, str]]:
    """Versions and device."""
    return [*run.info.get("versions", {}).items(), ("device", str(run.info.get("device", "")))]


def passes_each(counts: dict[str, int]) -> float:
    """Passes a sample, a pass being a forward and a backward.

    Example:
        >>> passes_each({"samples": 2, "forwards": 10, "backwards": 10})
        5.0
    """
    return (FORWARD * counts["forwards"] + BACKWARD * counts["backwards"]) / max(counts["samples"], 1)
