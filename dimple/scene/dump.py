"""Conversion of a settings object to YAML that contains every value."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from dimple.errors import SceneError
from dimple.scene.field_types import Families, NestedField, parse_annotation
from dimple.scene.yaml_nodes import BOOL_PATTERN, FLOAT_PATTERN, INT_PATTERN, NULL_PATTERN
from dimple.settings import field_types


def dump(scene: object, families: Families) -> str:
    """Return the settings object `scene` as YAML, with keys in the order of its fields and `kind` first.

    `build` makes an equal object from this text. The class of a user that is in no table is written as
    `kind: module:Class`. This is for readers only, since a scene file cannot import code.

    Raises:
        SceneError: for a function, which a scene file cannot hold.

    Example:
        >>> from dimple.manifolds import Flat
        >>> print(dump(Flat(high=(1.0, 2.0)), {}), end="")
        low: [0.0, 0.0]
        high: [1.0, 2.0]
        offset: [0.5]
    """
    text: str = yaml.dump(
        _to_mapping(scene, None, families), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )
    return text


def _to_mapping(member: Any, members: Mapping[str, type] | None, families: Families) -> dict[str, Any]:
    """Return one object as a dict of plain values, lists and dicts."""
    mapping: dict[str, Any] = {} if members is None else {"kind": _find_kind(type(member), members)}
    for name, annotation in field_types(type(member)).items():
        value = getattr(member, name)
        try:
            form = parse_annotation(annotation, families)
        except TypeError:
            form = None
        if form is None and callable(value):
            raise SceneError(
                f"{type(member).__name__}.{name} is code, which a scene file cannot hold; write it into a file of your "
                "own: a chart or a decoder as a function below @chart_manifold"
            )
        mapping[name] = _to_plain(value, form, families)
    return mapping


def _to_plain(value: Any, field: NestedField | None, families: Families) -> Any:
    if field is None or value is None:
        return value
    if field.is_list:
        return [_to_mapping(item, field.members, families) for item in value]
    return _to_mapping(value, field.members, families)


def _find_kind(cls: type, members: Mapping[str, type]) -> str:
    address = f"{cls.__module__}:{cls.__qualname__}"
    return next((kind for kind, member in members.items() if member is cls), address)


class _Dumper(yaml.SafeDumper):
    """A YAML writer with block mappings, lists of numbers on one line, and quotes as YAML 1.1 and 1.2 need them."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Return True, so that an object that occurs twice is written twice: scene files have no aliases."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the items of a list below their key, which the base class does not."""
        return super().increase_indent(flow, False)


def _represent_list(dumper: yaml.SafeDumper, items: list[Any] | tuple[Any, ...]) -> yaml.Node:
    is_nested = any(isinstance(item, dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=not is_nested)


def _represent_dict(dumper: yaml.SafeDumper, entries: dict[str, Any]) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", entries, flow_style=False)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, _represent_list)
_Dumper.add_representer(dict, _represent_dict)
for _tag, _pattern in {"null": NULL_PATTERN, "bool": BOOL_PATTERN, "int": INT_PATTERN, "float": FLOAT_PATTERN}.items():
    # The reader uses fullmatch, PyYAML uses match, so the pattern needs an end.
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})\Z"), None)
