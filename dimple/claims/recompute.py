"""Recomputation of all verdicts in a claims.json from the stored rows, and a check of its thresholds."""

import json
from pathlib import Path
from typing import Any, cast

from dimple.claims.catalogue import choose_leaves, leaf_id, load_papers, thresholds_hash
from dimple.claims.row_store import RowStore
from dimple.claims.runner import Mode, judge_stored
from dimple.errors import RunError


def find_differences(file: Path) -> list[str]:
    """Return one sentence for each difference between a claims.json and what its rows and the thresholds give.

    The list is empty where every verdict follows from the stored rows, and the thresholds are those of this version.

    Args:
        file: the claims.json, with `rows` beside it.

    Raises:
        RunError: if the file or its rows are missing or damaged.
    """
    content = _read(file)
    mode = cast(Mode, content["mode"])
    stated = {str(leaf["id"]): leaf for leaf in content["leaves"]}
    known = {leaf_id(paper, leaf): (paper, leaf) for paper, leaf in choose_leaves()}
    differences = [f"{name}: is not a claim of this version" for name in stated if name not in known]
    if not differences and len(stated) == len(known) and content["thresholds"] != thresholds_hash(load_papers()):
        differences.append(f"thresholds: {content['thresholds']}, of this version {thresholds_hash(load_papers())}")
    changed = [name for name in stated if name in known and stated[name]["hash"] != known[name][1].hash]
    differences += [
        f"{name}: was judged by another statement or threshold than that of this version" for name in changed
    ]
    reasons = {name: str(leaf["reason"]) for name, leaf in stated.items() if leaf["verdict"] == "not run"}
    store = RowStore(file.parent)
    chosen = [known[name] for name in stated if name in known]
    for one in judge_stored(chosen, mode, store, reasons):
        verdict = stated[one.id]["verdict"]
        if one.judgement.verdict == "not run" and verdict != "not run":
            differences.append(f"{one.id}: is {verdict} without its rows, {store.path(one.experiment.key)}")
        elif one.judgement.verdict != verdict:
            differences.append(f"{one.id}: is {verdict}, and its rows give {one.judgement.verdict}")
        else:
            differences += _compare(
                one.id, stated[one.id], one.judgement.findings[0] if one.judgement.findings else None
            )
    return differences


def _compare(name: str, stated: dict[str, Any], finding: Any) -> list[str]:
    """Return a sentence for each number of the headline that the rows do not give."""
    if finding is None:
        return []
    return [
        f"{name}: {key} is {stated[key]}, and its rows give {value}"
        for key, value in (("estimate", finding.estimate), ("low", finding.low), ("high", finding.high))
        if stated[key] is not None and stated[key] != value
    ]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content["leaves"], list) or content["mode"] not in ("quick", "full"):
            raise ValueError("it has no leaves, or no mode")
        for leaf in content["leaves"]:
            _ = leaf["id"], leaf["verdict"], leaf["hash"], leaf["reason"], leaf["estimate"], leaf["low"], leaf["high"]
        _ = content["thresholds"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is not a readable claims.json ({error}); run dimple claims again") from error
    return cast("dict[str, Any]", content)
