"""Texts at the head of the pages of a run: note, subtitle, phases, verdict and the command that repeats the run."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dimple.runs.run import RunFolder
from dimple.views.content.labels import AT_LEAST

# Name and meaning of each phase, by its key in the summary of a run.
PHASE_DESCRIPTIONS = {
    "cling_step": (
        "clung",
        "the distance has fallen to 1/5 of its initial value, and stays below 1/2 until the dimpling",
    ),
    "dimple_step": (
        "dimpled",
        "at least 99 % of the training points are classified correctly, from then on at 80 % of the snapshots",
    ),
}
# The key in the summary by the name of the phase that it begins.
PHASE_KEYS = {"near": "cling_step", "correct": "dimple_step"}
CONTROLS_NOTE = "Controls, the same network with permuted labels or a start on the data, were not run."
LENGTH_NOTE = "lengths are l2, in input units"


def slice_note(run: RunFolder) -> str:
    """Return the description of the affine slice that a run shows; empty if it shows all of the input space."""
    slice_info = run.info.get("slice")
    return "" if slice_info is None else f"{slice_info['description']}; {LENGTH_NOTE}"


def run_subtitle(run: RunFolder, summary: Mapping[str, Any]) -> str:
    """Return one line with the slice, seed, device, number of steps and number of snapshots of a run."""
    seed = run.info.get("seed", 0) + run.shown_replica
    replicas = f" (the median one of {run.info['replicas']['count']} replicas)" if "replicas" in run.info else ""
    parts = [slice_note(run), f"seed {seed}{replicas}", str(run.info.get("device", ""))]
    if "steps" in summary:
        parts.append(f"{summary['steps']:,} steps, {summary.get('snapshots', 0)} snapshots")
    return ", ".join(part for part in parts if part)


def describe_replicas(run: RunFolder) -> list[str]:
    """Return sentences about the population of seeds; an empty list for a run without replicas."""
    replicas: dict[str, Any] | None = run.info.get("replicas")
    if replicas is None:
        return []
    seeds = replicas["seeds"]
    first = (
        f"{replicas['count']} replicas with the seeds {seeds[0]} to {seeds[-1]}. Film, pages and all that follows show "
        f"the one with seed {seeds[replicas['shown']]}, whose curve is nearest to the median of all."
    )
    if "verdicts" not in replicas:
        return [first]
    low, high = (round(100 * end) for end in replicas["supported_interval"])
    counts = ", ".join(f"{word} for {count}" for word, count in replicas["verdicts"].items())
    verdicts = (
        f"Cling, then dimple: {counts} of {replicas['count']} seeds. It is supported for "
        f"{100 * replicas['supported_fraction']:.0f} % of them (95 % interval {low} to {high} %); for the median "
        f"curves the verdict is {replicas['median']['verdict']}."
    )
    phases = "; ".join(f"{name} {_step_range(replicas[key])}" for key, (name, _) in PHASE_DESCRIPTIONS.items())
    return [first, verdicts, f"In the median over the replicas: {phases}."]


def describe_verdicts_of_replicas(run: RunFolder) -> list[dict[str, str]]:
    """Return seed, verdict and reason of each replica; an empty list without replicas or verdicts."""
    replicas: dict[str, Any] = run.info.get("replicas", {})
    rows = zip(replicas.get("verdict_of_each", []), replicas.get("reason_of_each", []), strict=True)
    return [
        {"seed": str(seed), "verdict": verdict, "reason": reason}
        for seed, (verdict, reason) in zip(replicas.get("seeds", []), rows, strict=False)
    ]


def _step_range(steps: Mapping[str, float | None]) -> str:
    """Return the median over the replicas of a step, with its range.

    Example:
        >>> _step_range({"median": 40.0, "low": 31.0, "high": None})
        'at step 40 (95 % of the replicas: 31 to never)'
    """
    words = {end: "never" if step is None else f"{step:,.0f}" for end, step in steps.items()}
    median = "never" if steps["median"] is None else f"at step {words['median']}"
    return f"{median} (95 % of the replicas: {words['low']} to {words['high']})"


def describe_phases(summary: Mapping[str, Any], steps: Sequence[int]) -> list[dict[str, str]]:
    """Return name, step, interval and meaning of each phase; an empty list if the summary has no phases.

    Args:
        summary: the summary of a run.
        steps: the steps of its snapshots. The interval is that of the phase, or else goes from the snapshot before the
            phase began to the step at which it did.

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
            "step": _describe_step(summary, key),
            "interval": _began_between(summary, key, steps),
            "meaning": f"{meaning}{_list_phases(summary, key)}",
        }
        for key, (name, meaning) in PHASE_DESCRIPTIONS.items()
    ]


def _describe_step(summary: Mapping[str, Any], key: str) -> str:
    step = summary.get(key)
    if step is None:
        return "never"
    # A fall from a distance beyond the limit of the search is larger than what is known, and was so earlier.
    return f"{step:,}" + (" at the latest" if key == "cling_step" and summary.get("starts_beyond_limit") else "")


def _began_between(summary: Mapping[str, Any], key: str, steps: Sequence[int]) -> str:
    step = summary.get(key)
    if step is None:
        return ""
    begins = max((other for other in steps if other < step), default=step)
    ends = step
    for phase in summary.get("phases", []):
        if PHASE_KEYS.get(phase["name"]) == key and phase["first_step"] == step:
            begins, ends = phase["interval"]
    return f"between {begins:,} and {ends:,}" if begins < ends else ""


def _list_phases(summary: Mapping[str, Any], key: str) -> str:
    """Return the intervals in which a phase was so, where there are several."""
    found = [phase for phase in summary.get("phases", []) if PHASE_KEYS.get(phase["name"]) == key]
    intervals = [f"{phase['first_step']:,} to {phase['last_step']:,}" for phase in found]
    return f"; so from {', '.join(intervals)}" if len(intervals) > 1 else ""


def describe_conditions(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return statement, value, threshold and outcome of each condition of the verdict; empty in earlier runs.

    Example:
        >>> condition = {"statement": "fall of the distance", "value": 15.6, "threshold": 5.0, "met": True}
        >>> describe_conditions({"conditions": [condition]})
        [{'statement': 'fall of the distance', 'value': '15.6', 'threshold': 'at least 5', 'met': 'met'}]
    """
    outcomes = {True: "met", False: "not met", None: "not decided"}
    return [
        {
            "statement": str(condition["statement"]),
            "value": _format_value(condition),
            "threshold": f"{condition.get('comparison', 'at least')} {_format_threshold(condition)}",
            "met": outcomes[condition["met"]] + (": decides" if condition.get("decides") else ""),
        }
        for condition in summary.get("conditions", [])
    ]


def _format_value(condition: Mapping[str, Any]) -> str:
    """Format the value of a condition, with more digits where it would look like the threshold."""
    value, threshold = condition["value"], condition["threshold"]
    if value is None:
        return "unknown"
    text = _format_to(value, _digits_apart(value, threshold))
    return f"{AT_LEAST}{text}" if condition.get("is_lower_bound") else text


def _format_threshold(condition: Mapping[str, Any]) -> str:
    value, threshold = condition["value"], condition["threshold"]
    return _format_to(threshold, 3 if value is None else _digits_apart(value, threshold))


def _digits_apart(value: float, threshold: float) -> int:
    """Return the significant digits, at least three, from which on two numbers look different; three for equal ones."""
    texts = ((digits, f"{value:.{digits}g}", f"{threshold:.{digits}g}") for digits in range(3, 9))
    return next((digits for digits, one, other in texts if one != other), 3)


def _format_to(value: float, digits: int) -> str:
    """Format a number to a number of significant digits, without an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def describe_depth(summary: Mapping[str, Any]) -> str:
    """Return what it means that the points are right and no depth of the dimples was found; empty elsewhere.

    Example:
        >>> describe_depth({"dimple_step": 161, "final": {"dimple_depth": math.inf, "search_limit": 0.5}})[:41]
        'Dimpled at step 161 means that the points'
        >>> describe_depth({"dimple_step": 161, "final": {"dimple_depth": 0.1}})
        ''
    """
    final = summary.get("final", {})
    if summary.get("dimple_step") is None or "dimple_depth" not in final or _is_finite(final["dimple_depth"]):
        return ""
    return (
        f"Dimpled at step {summary['dimple_step']:,} means that the points are classified correctly from then on. The "
        "depth of the dimples is the distance from a point to the boundary along the normal; it has no median, because "
        f"half of the points or more have no boundary within {final['search_limit']:.3g}, the limit of the search."
    )


def _is_finite(value: float | None) -> bool:
    # Files of a run hold null for a number that is not finite.
    return value is not None and math.isfinite(value)


def describe_fall(summary: Mapping[str, Any]) -> str:
    """Return what moved the boundary to the manifold, translation or rotation, in a sentence; empty in earlier runs.

    Example:
        >>> fall = {"last_step": 40, "translation": [0.3, 0.03], "tilt": [0.04, 0.02], "angle": [50.0, 12.0]}
        >>> fall |= {"translation_fraction": 0.987, "angle_null": 60.0}
        >>> describe_fall({"fall": fall, "starts_beyond_limit": False})
        'Until step 40, the fall is 99 % translation (0.3 to 0.03) and 1 % rotation and bending (tilt 0.04 to 0.02); the
        angle between boundary and manifold went from 50 to 12 degrees (a random direction has 60).'
    """
    # An earlier run does not say whether its distances are lower bounds, which have no such parts.
    if "fall" not in summary or "starts_beyond_limit" not in summary:
        return ""
    fall = summary["fall"]
    first, last = ("unknown" if angle is None or math.isnan(angle) else f"{angle:.0f}" for angle in fall["angle"])
    angles = (
        f"the angle between boundary and manifold went from {first} to {last} degrees (a random direction has "
        f"{fall['angle_null']:.0f})."
    )
    limit = f"within {summary.get('final', {}).get('search_limit', math.nan):.3g}, the limit of the search"
    if not all(_is_finite(value) for value in (*fall["translation"], *fall["tilt"])):
        return (
            f"How much of the fall until step {fall['last_step']:,} is translation is not decided, because some points "
            f"have no boundary {limit}; {angles}"
        )
    since = ""
    if summary.get("starts_beyond_limit"):
        since = f"Step {fall['first_step']:,} is the first at which all points have a boundary {limit}. From then until"
    values = {name: [f"{round(value, 6):.2g}" for value in fall[name]] for name in ("translation", "tilt")}
    translation, tilt = (" to ".join(ends) for ends in values.values())
    if fall["translation_fraction"] is None:
        parts = f"neither the translation of the boundary ({translation}) nor its tilt ({tilt}) fell"
    else:
        percent = round(100 * fall["translation_fraction"])
        rest = f"{100 - percent} % rotation and bending (tilt {tilt})"
        parts = f"the fall is {percent} % translation ({translation}) and {rest}"
    return f"{since or 'Until'} step {fall['last_step']:,}, {parts}; {angles}"


def describe_best(summary: Mapping[str, Any]) -> str:
    """Return which snapshot the held-out samples chose, with its test accuracies; empty where none was chosen.

    Example:
        >>> describe_best({"best_step": 1200, "best": {"test_accuracy": 0.91, "test_robust_at_0.1": 0.5}})
        'The validation samples choose step 1,200, with test_accuracy 0.91 and test_robust_at_0.1 0.5.'
    """
    if "best_step" not in summary:
        return ""
    pattern = re.compile(r"test_(accuracy|robust_at_[\d.e+-]+)")
    accuracies = [f"{name} {value:.3g}" for name, value in summary["best"].items() if pattern.fullmatch(name)]
    return f"The validation samples choose step {summary['best_step']:,}, with {' and '.join(accuracies)}."


def describe_controls(summary: Mapping[str, Any]) -> list[str]:
    """Return what each control says about the fall of the distance, or that the controls were not run.

    Example:
        >>> describe_controls({})
        ['Controls, the same network with permuted labels or a start on the data, were not run.']
    """
    return [control["finding"] for control in summary.get("controls", {}).values()] or [CONTROLS_NOTE]


def simulate_command(run: RunFolder) -> str:
    """Return the command that repeats a simulation; it is meant for the folder of the run."""
    out = shlex.quote(f"{run.info.get('name', run.path.name)}-again")
    controls = " --controls" if "controls" in (run.info.get("summary") or {}) else ""
    return f"dimple simulate scene.yaml --seed {run.info.get('seed', 0)}{controls} --out {out}"


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
