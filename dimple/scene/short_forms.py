"""Keys of a scene file that stand for longer ones, such as `training.lr` for `training.optimizer.lr`."""

from collections.abc import Callable
from dataclasses import replace

from dimple.errors import SceneError
from dimple.scene.field_types import short_forms
from dimple.scene.yaml_nodes import YamlNode, join_path
from dimple.settings import format_value


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


def lift_tangents(scene: YamlNode) -> YamlNode:
    r"""Return a scene in which the tangent spaces that a probe names are those of the scene, of which there are one.

    Where a file has one and the command line the other, that of the command line is taken.

    Raises:
        SceneError: if a probe has no name there, or if they are given twice.

    Example:
        >>> from dimple.scene.yaml_nodes import parse_yaml
        >>> lift_tangents(parse_yaml("probes: [{kind: onoff, tangents: local_pca}]", "x.yaml")).to_python()
        {'probes': [{'kind': 'onoff'}], 'tangents': {'kind': 'local_pca'}}
    """
    entries = dict(scene.content) if isinstance(scene.content, dict) else {}
    probes = entries.get("probes")
    if probes is None or not isinstance(probes.content, list):
        return scene
    items = list(probes.content)
    for index, probe in enumerate(items):
        if not isinstance(probe.content, dict) or "tangents" not in probe.content:
            continue
        content = dict(probe.content)
        named = content.pop("tangents")
        items[index] = replace(probe, content=content)
        path = join_path(join_path("probes", index), "tangents")
        if not isinstance(named.content, str):
            raise SceneError(
                f"{named.source_location}: {path} is {format_value(named.to_python())}; it must be a name such as "
                "local_pca, and settings stand under the key tangents of the scene"
            )
        known = entries.get("tangents")
        if known is not None and known.content is not None and _is_change(known) == _is_change(named):
            raise SceneError(
                f"{named.source_location}: {path} and tangents are the same for all probes; give one of them"
            )
        if known is None or known.content is None or _is_change(named):
            entries["tangents"] = YamlNode({"kind": named}, named.source_location)
    return replace(scene, content=entries | {"probes": replace(probes, content=items)})


def _is_change(value: YamlNode) -> bool:
    """Return whether a value comes from the command line."""
    return value.source_location.startswith("--")


def _is_missing_momentum(key: str, value: YamlNode, optimizer: YamlNode) -> bool:
    """Return whether a value is the momentum of zero that version 0.2.0 wrote for every optimizer."""
    kind = optimizer.resolve(["kind"], "")[0].content
    return key == "momentum" and value.content == 0 and kind != "sgd"
