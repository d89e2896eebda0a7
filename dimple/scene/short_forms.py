"""Keys of a scene file that stand for longer ones, such as `training.lr` for `training.optimizer.lr`."""

from collections.abc import Callable
from dataclasses import replace

from dimple.errors import SceneError
from dimple.scene.field_types import short_forms
from dimple.scene.yaml_nodes import YamlNode, join_path


def expand_short_forms(node: YamlNode, cls: type, path: str) -> tuple[YamlNode, Callable[[str], str]]:
    r"""Return the mapping `node` with the long forms of its short keys, and a function for sentences about it.

    Where a file has one form and the command line the other, that of the command line is taken. The function puts the
    names that were written in place of the long ones.

    Raises:
        SceneError: if one value is given in both forms.

    Example:
        >>> from dimple.scene.yaml_nodes import parse_yaml
        >>> from dimple.training import Training
        >>> expand_short_forms(parse_yaml("kind: trades\nlr: 0.1", "x.yaml"), Training, "training")[0].to_python()
        {'objective': {'kind': 'trades'}, 'optimizer': {'lr': 0.1}}
    """
    entries = dict(node.content) if isinstance(node.content, dict) else {}
    names: dict[str, str] = {}
    mistakes: list[str] = []
    for short, long in short_forms(cls).items():
        group, key = long.split(".")
        if short not in entries or (short == group and not isinstance(entries[short].content, str)):
            continue
        value = entries.pop(short)
        parent = entries.get(group, YamlNode({}, value.source_location))
        if not isinstance(parent.content, dict) or _is_missing_momentum(key, value, parent):
            entries[group] = parent
            continue
        there = parent.content.get(key)
        name = join_path(path, short)
        long_name = join_path(join_path(path, group), key)
        if there is not None and _is_change(there) == _is_change(value):
            mistakes.append(f"{value.source_location}: {name} and {long_name} are the same; give one of them")
        elif there is None or _is_change(value):
            entries[group] = replace(parent, content={**parent.content, key: value})
            names[long_name] = name
    if mistakes:
        raise SceneError(*mistakes)

    def written(sentence: str) -> str:
        for long_name, name in names.items():
            sentence = sentence.replace(f" {long_name} ", f" {name} ")
        return sentence

    return (replace(node, content=entries) if names or entries != node.content else node), written


def _is_change(value: YamlNode) -> bool:
    """Return whether a value comes from the command line."""
    return value.source_location.startswith("--")


def _is_missing_momentum(key: str, value: YamlNode, optimizer: YamlNode) -> bool:
    """Return whether a value is the momentum of zero that version 0.2.0 wrote for every optimizer."""
    kind = optimizer.resolve(["kind"], "")[0].content
    return key == "momentum" and value.content == 0 and kind != "sgd"
