"""`--set key.path=value`: the edit of one line of a scene file, made on the command line."""

import re
from dataclasses import replace

from dimple.errors import SceneError, UsageError
from dimple.scene.yaml_nodes import Node, join, parse_value
from dimple.settings import shown

Step = str | int


def override(node: Node, assignment: str, flag: str | None = None) -> Node:
    """The scene `node` with one value put in place of another, or added; `node` itself stays as it is.

    The value is read as it would be in the file, so `training.steps=500`, `name=wide` and `size=[640, 480]`
    all work; `probes.0.norm` and `probes[0].norm` are the same item. Whether the key exists is for `build` to
    say, and it says so with `--set` and the path for the place.

    Args:
        node: a scene as read from its file.
        assignment: `key.path=value`.
        flag: what somebody typed instead of `--set key.path`, such as `--seed`.

    Raises:
        UsageError: if the assignment has no `=` or no path.
        SceneError: if the value is not YAML, or the path goes through something that has no such item.

    Example:
        >>> from dimple.scene.yaml_nodes import parse_yaml
        >>> override(parse_yaml("training: {steps: 3000, lr: 0.01}", "a.yaml"), "training.steps=500").plain()
        {'training': {'steps': 500, 'lr': 0.01}}
    """
    key, equals, text = assignment.partition("=")
    steps = _steps(key.strip())
    if not equals or not steps:
        raise UsageError(f"--set {shown(assignment)}: write --set key.path=value, as in --set training.steps=500")
    place = flag or "--set " + _name(steps)
    return _put(node, steps, 0, parse_value(text, place))


def _steps(key: str) -> list[Step]:
    """The words and indices of a dotted path; none at all if it is not one."""
    if not re.fullmatch(r"[\w-]+(\.[\w-]+|\[[0-9]{1,9}\])*", key):
        return []
    words = re.findall(r"[\w-]+", key)
    return [int(word) if re.fullmatch(r"[0-9]{1,9}", word) else word for word in words]


def _name(steps: list[Step]) -> str:
    path = ""
    for step in steps:
        path = join(path, step)
    return path


def _put(node: Node, steps: list[Step], depth: int, value: Node) -> Node:
    """`node`, which the first `depth` steps led to, with `value` at the end of the others."""
    if depth == len(steps):
        return value
    step, path, content = steps[depth], _name(steps[:depth]), node.content
    if isinstance(content, list) and isinstance(step, int):
        if step >= len(content):
            raise SceneError(f"{value.place}: {path} has {len(content)} items, counted from 0; there is no item {step}")
        items = [_put(item, steps, depth + 1, value) if index == step else item for index, item in enumerate(content)]
        return replace(node, content=items)
    if isinstance(step, int) or not isinstance(content, dict | None):
        held = "is not written out in the scene" if content is None else f"is {shown(node.plain())}"
        wanted = "list item" if isinstance(step, int) else "key"
        raise SceneError(
            f"{value.place}: {path or 'the scene'} {held} and has no {wanted} {step}; give the whole, "
            f"as in --set '{path or 'key'}=...'"
        )
    entries = content or {}
    child = entries.get(step, Node(None, value.place))
    return Node({**entries, step: _put(child, steps, depth + 1, value)}, node.place)
