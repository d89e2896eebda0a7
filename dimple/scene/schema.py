"""The JSON Schema of a scene file, so that an editor completes its keys and marks its mistakes."""

import dataclasses
import inspect
from typing import Any

from pydantic import TypeAdapter

from dimple.scene.forms import Families, Form, default_of, form_of
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
    return {"$schema": DIALECT, **_section(cls, None, dataclasses.MISSING, families)}


def _section(cls: type, kind: str | None, default: Any, families: Families) -> dict[str, Any]:
    """A mapping with the fields of `cls`, and with `kind` where it belongs to a family."""
    in_default = type(default) is cls
    properties: dict[str, Any] = {} if kind is None else {"kind": {"const": kind}}
    required = [] if kind is None or in_default else ["kind"]
    for name, annotation in field_types(cls).items():
        standard = getattr(default, name) if in_default else default_of(cls, name)
        properties[name] = _field(annotation, standard, families)
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
    return {"anyOf": [_section(cls, kind, default, families) for kind, cls in form.table.items()]}
