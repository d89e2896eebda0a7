"""What stands at the head of every page of a run."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dimple.runs.run import Run

MEANINGS = {
    "cling_step": ("clung", "from here until the dimpling the boundary stays within a fifth of its first distance"),
    "dimple_step": ("dimpled", "every training point stays on its right side from here on"),
}


LENGTHS = "lengths are l2, in input units"


def note_of(run: Run) -> str:
    """What is drawn, where that is a section of a larger space; nothing for others."""
    about = run.info.get("section")
    return "" if about is None else f"{about['words']}; {LENGTHS}"


def lead_of(run: Run, summary: Mapping[str, Any]) -> str:
    """What is drawn, seed, device and length of a run, in one line."""
    parts = [note_of(run), f"seed {run.info.get('seed', 0)}", str(run.info.get("device", ""))]
    if "steps" in summary:
        parts.append(f"{summary['steps']:,} steps, {summary.get('snapshots', 0)} snapshots")
    return ", ".join(part for part in parts if part)


def phases_of(summary: Mapping[str, Any], steps: Sequence[int]) -> list[dict[str, str]]:
    """When each phase was complete, and between which two snapshots it fell; nothing where no phase was dated.

    Example:
        >>> phases_of({"cling_step": 8}, [0, 4, 8])[0]["step"], phases_of({"cling_step": 8}, [0, 4, 8])[0]["interval"]
        ('8', 'between 4 and 8')
    """
    if "cling_step" not in summary:
        return []
    return [
        {
            "name": name,
            "step": "never" if summary.get(key) is None else f"{summary[key]:,}",
            "interval": _interval(summary.get(key), steps),
            "meaning": meaning,
        }
        for key, (name, meaning) in MEANINGS.items()
    ]


def _interval(step: int | None, steps: Sequence[int]) -> str:
    earlier = [] if step is None else [other for other in steps if other < step]
    return f"between {max(earlier):,} and {step:,}" if earlier else ""


def simulate_again(run: Run) -> str:
    """The command that makes a simulated run again, from its folder."""
    again = shlex.quote(f"{run.info.get('name', run.path.name)}-again")
    return f"dimple simulate scene.yaml --seed {run.info.get('seed', 0)} --out {again}"


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
