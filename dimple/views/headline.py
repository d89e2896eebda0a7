"""What stands at the head of every page of a run."""

from collections.abc import Mapping
from typing import Any

from dimple.runs.store import Run


def lead_of(run: Run, summary: Mapping[str, Any]) -> str:
    """Seed, device and length of a run, in one line."""
    parts = [f"seed {run.info.get('seed', 0)}", str(run.info.get("device", ""))]
    if "steps" in summary:
        parts.append(f"{summary['steps']:,} steps, {summary.get('snapshots', 0)} snapshots")
    return ", ".join(part for part in parts if part)


def verdict_of(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """What the run says of the claim, as a word and a sentence; nothing where it was not asked.

    Example:
        >>> verdict_of({"verdict": "supported", "verdict_reason": "it fell"})
        {'word': 'supported', 'reason': 'It fell.'}
    """
    if "verdict" not in summary:
        return None
    reason = str(summary.get("verdict_reason", "")).removesuffix(".") + "."
    # A line that ends in "5-" reads as something else.
    reason = reason.replace("-fold", "\N{NON-BREAKING HYPHEN}fold")
    return {"word": str(summary["verdict"]), "reason": reason[:1].upper() + reason[1:]}
