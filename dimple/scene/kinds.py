"""The kinds that can stand in a scene file, with their defaults, from the exported schema: no class is loaded."""

import json
from collections.abc import Iterator
from typing import Any

from dimple.errors import UsageError
from dimple.scene.find import Schema, member_schemas
from dimple.settings import suggest_word


def scene_kinds() -> dict[str, dict[str, Schema]]:
    """Return the schema of each kind by its name, by the key of a scene where it can stand.

    Example:
        >>> "sphere" in scene_kinds()["manifold"], "grid" in scene_kinds()["data.sampling"]
        (True, True)
    """
    found: dict[str, dict[str, Schema]] = {}
    _collect(member_schemas(), "", found)
    return found


def choose_kinds(name: str) -> dict[str, dict[str, Schema]]:
    """Return the kinds of the keys that are, or end with, a name such as `manifold` or `sampling`.

    Raises:
        UsageError: if there is no such key.

    Example:
        >>> [*choose_kinds("schedule")]
        ['training.schedule']
    """
    everything = scene_kinds()
    chosen = {key: kinds for key, kinds in everything.items() if f".{key}".endswith(f".{name}")}
    if not chosen:
        hint = suggest_word(name, everything, f"choose from {', '.join(everything)}")
        raise UsageError(f"family {name!r} is unknown; {hint}")
    return chosen


def describe_kind(kind: str, schema: Schema) -> tuple[str, str]:
    """Return the first sentence about a kind, and a line of YAML with all its keys: their defaults, `...` for none.

    Example:
        >>> describe_kind("sphere", scene_kinds()["manifold"]["sphere"])[1]
        '{kind: sphere, dim: 2, radius: 1.0}'
    """
    entries = [f"kind: {kind}"]
    for key, entry in schema["properties"].items():
        if key != "kind":
            default = json.dumps(entry["default"]).replace('"', "") if "default" in entry else "..."
            entries.append(f"{key}: " + (default or "''"))
    return schema.get("description", ""), f"{{{', '.join(entries)}}}"


def _collect(options: list[Schema], path: str, found: dict[str, dict[str, Schema]]) -> None:
    """Add the families below the mappings `options`, which stand at the key `path`."""
    for option in options:
        for key, entry in _nested(option):
            place = f"{path}.{key}" if path else key
            members = member_schemas(entry)
            kinds = {_kind(member): member for member in members if _kind(member)}
            # A family within itself, such as the base of an embedding, is listed once.
            if kinds and any(known.keys() == kinds.keys() for known in found.values()):
                continue
            if kinds:
                found[place] = kinds
            _collect(members, place, found)


def _nested(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the keys of a mapping with the schema of their value, or of an item where it is a list."""
    for key, entry in schema.get("properties", {}).items():
        if key != "kind":
            item = entry.get("items")
            yield key, item if isinstance(item, dict) else entry


def _kind(schema: Schema) -> Any:
    return schema.get("properties", {}).get("kind", {}).get("const")
