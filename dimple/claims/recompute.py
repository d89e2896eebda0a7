"""Recomputation of all verdicts in a claims.json from the stored rows, and a check of its thresholds."""

import json
import math
from pathlib import Path
from typing import Any, cast

from dimple.claims.catalogue import choose_leaves, leaf_id, load_papers, thresholds_hash
from dimple.claims.row_store import RowStore
from dimple.claims.runner import JudgedLeaf, Mode, judge_stored
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
    names = [str(leaf["id"]) for leaf in content["leaves"]]
    known = {leaf_id(paper, leaf): (paper, leaf) for paper, leaf in choose_leaves()}
    differences = [f"{name}: is not a claim of this version" for name in names if name not in known]
    differences += [f"{name}: is there {names.count(name)} times" for name in set(names) if names.count(name) > 1]
    if content["thresholds"] != thresholds_hash(load_papers()):
        differences.append(f"thresholds: {content['thresholds']}, of this version {thresholds_hash(load_papers())}")
    stated = {str(leaf["id"]): leaf for leaf in content["leaves"]}
    reasons = {name: str(leaf["reason"]) for name, leaf in stated.items() if leaf["verdict"] == "not run"}
    store = RowStore(file.parent)
    for one in judge_stored(mode, store, reasons):
        if one.id in stated:
            differences += _compare(one, stated[one.id], store.path(one.experiment.key))
        elif one.rows:
            differences.append(f"{one.id}: has rows, and is not in the file")
    return differences


def _compare(one: JudgedLeaf, stated: dict[str, Any], rows: Path) -> list[str]:
    """Return a sentence for each entry of a leaf that its rows and the thresholds of this version do not give."""
    if one.judgement.verdict == "not run" and stated["verdict"] != "not run":
        return [f"{one.id}: is {stated['verdict']} without its rows, {rows}"]
    found = _plain(one.to_json())
    return [
        f"{one.id}: {key} is {stated.get(key)!r}, and its rows and thresholds give {found[key]!r}"
        for key in found
        if key != "seconds" and _plain(stated.get(key)) != found[key]
    ]


def _plain(value: Any) -> Any:
    """Return a value as a JSON file gives it back, with None for nan."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content["leaves"], list) or content["mode"] not in ("quick", "full"):
            raise ValueError("it has no leaves, or no mode")
        for leaf in content["leaves"]:
            _ = leaf["id"], leaf["verdict"], leaf["reason"]
        _ = content["thresholds"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file}: is not a readable claims.json ({error}); run dimple claims again") from error
    return cast("dict[str, Any]", content)
