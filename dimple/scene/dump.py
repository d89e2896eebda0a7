"""A resolved scene as YAML, with every value written out, that builds back to an equal object."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from dimple.scene.field_types import Families, Form, form_of
from dimple.scene.yaml_nodes import BOOL, FLOAT, INT, NULL
from dimple.settings import field_types


def dump(scene: object, families: Families) -> str:
    """The settings object `scene` as YAML: keys in the order of its fields, `kind` first.

    What is written builds back to an object that equals `scene`. A member of a class that no table lists,
    made in Python, is recorded as `kind: module:Class`, for people to read: no scene file can name code.

    Example:
        >>> from dimple.manifolds import Flat
        >>> print(dump(Flat(high=(1.0, 2.0)), {}), end="")
        low: [0.0, 0.0]
        high: [1.0, 2.0]
        offset: [0.5]
    """
    text: str = yaml.dump(
        _section(scene, None, families), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110
    )
    return text


def _section(member: Any, table: Mapping[str, type] | None, families: Families) -> dict[str, Any]:
    """One object as a dict of plain values, lists and dicts."""
    section: dict[str, Any] = {} if table is None else {"kind": _kind(type(member), table)}
    for name, annotation in field_types(type(member)).items():
        section[name] = _value(getattr(member, name), form_of(annotation, families), families)
    return section


def _value(value: Any, form: Form | None, families: Families) -> Any:
    if form is None or value is None:
        return value
    if form.many:
        return [_section(item, form.table, families) for item in value]
    return _section(value, form.table, families)


def _kind(cls: type, table: Mapping[str, type]) -> str:
    own_code = f"{cls.__module__}:{cls.__qualname__}"
    return next((kind for kind, member in table.items() if member is cls), own_code)


class _Dumper(yaml.SafeDumper):
    """Block mappings, lists of numbers in one line, quotes around what YAML 1.1 or 1.2 takes for no word."""

    def ignore_aliases(self, _data: Any) -> bool:
        """An object that occurs twice is written twice: scene files have no aliases."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the items of a list below their key."""
        return super().increase_indent(flow, False)


def _represent_list(dumper: yaml.SafeDumper, items: list[Any] | tuple[Any, ...]) -> yaml.Node:
    sections = any(isinstance(item, dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=not sections)


def _represent_dict(dumper: yaml.SafeDumper, entries: dict[str, Any]) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", entries, flow_style=False)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, _represent_list)
_Dumper.add_representer(dict, _represent_dict)
for _tag, _words in {"null": NULL, "bool": BOOL, "int": INT, "float": FLOAT}.items():
    # The reader matches whole words, PyYAML beginnings: say where the word ends.
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_words.pattern})\Z"), None)
