"""Texts at the head of the pages of a run: note, subtitle, phases, verdict and the command that repeats the run."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dimple.runs.run import RunFolder

# Name and meaning of each phase, by its key in the summary of a run.
PHASE_DESCRIPTIONS = {
    "cling_step": (
        "clung",
        "from here until the dimpling, the distance of the boundary stays within 1/5 of its initial value",
    ),
    "dimple_step": ("dimpled", "from here on, every training point is classified correctly"),
}
LENGTH_NOTE = "lengths are l2, in input units"


def slice_note(run: RunFolder) -> str:
    """Return the description of the affine slice that a run shows; empty if it shows all of the input space."""
    slice_info = run.info.get("slice")
    return "" if slice_info is None else f"{slice_info['description']}; {LENGTH_NOTE}"


def run_subtitle(run: RunFolder, summary: Mapping[str, Any]) -> str:
    """Return one line with the slice, seed, device, number of steps and number of snapshots of a run."""
    parts = [slice_note(run), f"seed {run.info.get('seed', 0)}", str(run.info.get("device", ""))]
    if "steps" in summary:
        parts.append(f"{summary['steps']:,} steps, {summary.get('snapshots', 0)} snapshots")
    return ", ".join(part for part in parts if part)


def describe_phases(summary: Mapping[str, Any], steps: Sequence[int]) -> list[dict[str, str]]:
    """Return name, step, interval and meaning of each phase; an empty list if the summary has no phases.

    Args:
        summary: the summary of a run.
        steps: the steps of its snapshots. The interval goes from the snapshot before the phase was complete to the
            step at which it was.

    Example:
        >>> cling, dimple = describe_phases({"cling_step": 8}, [0, 4, 8])
        >>> cling["step"], cling["interval"], dimple["step"]
        ('8', 'between 4 and 8', 'never')
    """
    if "cling_step" not in summary:
        return []
    return [
        {
            "name": name,
            "step": "never" if summary.get(key) is None else f"{summary[key]:,}",
            "interval": _snapshot_interval(summary.get(key), steps),
            "meaning": meaning,
        }
        for key, (name, meaning) in PHASE_DESCRIPTIONS.items()
    ]


def _snapshot_interval(step: int | None, steps: Sequence[int]) -> str:
    earlier = [] if step is None else [other for other in steps if other < step]
    return f"between {max(earlier):,} and {step:,}" if earlier else ""


def simulate_command(run: RunFolder) -> str:
    """Return the command that repeats a simulation; it is meant for the folder of the run."""
    out = shlex.quote(f"{run.info.get('name', run.path.name)}-again")
    return f"dimple simulate scene.yaml --seed {run.info.get('seed', 0)} --out {out}"


def describe_verdict(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the verdict of a run as a word, and its reason as a sentence; None if the summary has no verdict.

    Example:
        >>> describe_verdict({"verdict": "supported", "verdict_reason": "it fell"})
        {'word': 'supported', 'reason': 'It fell.'}
    """
    if "verdict" not in summary:
        return None
    reason = str(summary.get("verdict_reason", "")).removesuffix(".") + "."
    # Without this, a line could end with "5-", which looks like another number.
    reason = reason.replace("-fold", "\N{NON-BREAKING HYPHEN}fold")
    return {"word": str(summary["verdict"]), "reason": reason[:1].upper() + reason[1:]}
