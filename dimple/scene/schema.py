"""The JSON Schema of a scene file, so that an editor completes its keys and marks its mistakes."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from dimple.scene.field_types import Families, Form, default_of, form_of
from dimple.settings import field_types

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(cls: type, families: Families) -> dict[str, Any]:
    """The JSON Schema of the mappings from which `build` makes a `cls`.

    It states keys, types and ranges; rules between two fields, which only the classes know, it leaves out.

    Example:
        >>> from dimple.manifolds import Sphere
        >>> schema(Sphere, {})["properties"]["radius"]
        {'exclusiveMinimum': 0, 'type': 'number', 'default': 1.0}
    """
    whole = {"$schema": DIALECT, **_section(cls, None, dataclasses.MISSING, families)}
    nested = {base: table for base, table in families.items() if _holds_itself(base, table, families)}
    if nested:
        forms = {base.__name__: Form(base, table) for base, table in nested.items()}
        whole["$defs"] = {name: _members(form, dataclasses.MISSING, families) for name, form in forms.items()}
    return whole


def _holds_itself(base: type, table: Mapping[str, type], families: Families) -> bool:
    """Whether a member of the family has a field of the family, so that its schema has no end unless it is named."""
    forms = [form_of(annotation, families) for cls in table.values() for annotation in field_types(cls).values()]
    return any(form is not None and form.cls is base for form in forms)


def _section(cls: type, kind: str | None, default: Any, families: Families) -> dict[str, Any]:
    """A mapping with the fields of `cls`, and with `kind` where it belongs to a family."""
    in_default = type(default) is cls
    properties: dict[str, Any] = {} if kind is None else {"kind": {"const": kind}}
    required = [] if kind is None or in_default else ["kind"]
    for name, annotation in field_types(cls).items():
        standard = getattr(default, name) if in_default else default_of(cls, name)
        form = form_of(annotation, families)
        # A member's own field of its family goes by reference, or its default would nest without end.
        inside = form is not None and form.table is not None and cls in form.table.values()
        properties[name] = _field(annotation, dataclasses.MISSING if inside else standard, families)
        if standard is dataclasses.MISSING:
            required.append(name)
    return {
        "type": "object",
        "description": (inspect.getdoc(cls) or cls.__name__).partition("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _field(annotation: Any, default: Any, families: Families) -> dict[str, Any]:
    """One key: a plain value, a section or a list of sections."""
    form = form_of(annotation, families)
    if form is None:
        stated = {} if default is dataclasses.MISSING else {"default": default}
        return {**TypeAdapter(annotation).json_schema(), **stated}
    if form.many:
        return {"type": "array", "items": _one(form, dataclasses.MISSING, families)}
    one = _one(form, default, families)
    return {"anyOf": [one, {"type": "null"}]} if form.optional else one


def _one(form: Form, default: Any, families: Families) -> dict[str, Any]:
    """One object of a field: of its class, or of any member of its family."""
    if form.table is None:
        return _section(form.cls, None, default, families)
    if default is dataclasses.MISSING and _holds_itself(form.cls, form.table, families):
        return {"$ref": f"#/$defs/{form.cls.__name__}"}
    return _members(form, default, families)


def _members(form: Form, default: Any, families: Families) -> dict[str, Any]:
    """Any member of the family, each with its own keys."""
    assert form.table is not None
    return {"anyOf": [_section(cls, kind, default, families) for kind, cls in form.table.items()]}
