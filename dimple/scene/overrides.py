"""Changes of single values of a scene by `--set key.path=value`."""

import re
from dataclasses import replace

from dimple.errors import SceneError, UsageError
from dimple.scene.yaml_nodes import YamlNode, join_path, parse_value
from dimple.settings import format_value

PathKey = str | int


def override(node: YamlNode, assignment: str, flag: str | None = None) -> YamlNode:
    """Return a copy of the scene `node` in which one value is replaced or added.

    The value is read as in a scene file, so `training.steps=500`, `name=wide` and `size=[640, 480]` are valid;
    `probes.0.norm` and `probes[0].norm` denote the same item. An unknown key is reported by `build`, with `--set` and
    the path as its location.

    Args:
        node: a scene from `parse_yaml`; it is not changed.
        assignment: `key.path=value`.
        flag: the flag that the user typed instead of `--set key.path`, such as `--seed`.

    Raises:
        UsageError: if the assignment has no `=` or no path.
        SceneError: if the value is not YAML, or if the path leads through a list or value without such an item.

    Example:
        >>> from dimple.scene.yaml_nodes import parse_yaml
        >>> override(parse_yaml("training: {steps: 3000, lr: 0.01}", "a.yaml"), "training.steps=500").to_python()
        {'training': {'steps': 500, 'lr': 0.01}}
    """
    key, equals, text = assignment.partition("=")
    keys = _split_path(key.strip())
    if not equals or not keys:
        raise UsageError(
            f"--set {format_value(assignment)}: write --set key.path=value, as in --set training.steps=500"
        )
    source_location = flag or "--set " + _join_keys(keys)
    return _replace_value(node, keys, 0, parse_value(text, source_location))


def _split_path(path: str) -> list[PathKey]:
    """Return the keys and indices of a dotted path; an empty list if it is not a path."""
    if not re.fullmatch(r"[\w-]+(\.[\w-]+|\[[0-9]{1,9}\])*", path):
        return []
    words = re.findall(r"[\w-]+", path)
    return [int(word) if re.fullmatch(r"[0-9]{1,9}", word) else word for word in words]


def _join_keys(keys: list[PathKey]) -> str:
    path = ""
    for key in keys:
        path = join_path(path, key)
    return path


def _replace_value(node: YamlNode, keys: list[PathKey], depth: int, value: YamlNode) -> YamlNode:
    """Return `node`, found by the first `depth` keys, with `value` at the end of the remaining keys."""
    if depth == len(keys):
        return value
    key = keys[depth]
    path = _join_keys(keys[:depth])
    content = node.content
    if isinstance(content, list) and isinstance(key, int):
        if key >= len(content):
            raise SceneError(
                f"{value.source_location}: {path} has {len(content)} items, counted from 0; item {key} does not exist"
            )
        items = [
            _replace_value(item, keys, depth + 1, value) if index == key else item for index, item in enumerate(content)
        ]
        return replace(node, content=items)
    if isinstance(key, int) or not isinstance(content, dict | None):
        state = "is not in the scene file" if content is None else f"is {format_value(node.to_python())}"
        item = "list item" if isinstance(key, int) else "key"
        raise SceneError(
            f"{value.source_location}: {path or 'the scene'} {state} and has no {item} {key}; give the full value, "
            f"as in --set '{path or 'key'}=...'"
        )
    entries = content or {}
    child = entries.get(key, YamlNode(None, value.source_location))
    return YamlNode({**entries, key: _replace_value(child, keys, depth + 1, value)}, node.source_location)
