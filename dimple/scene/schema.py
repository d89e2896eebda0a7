"""The JSON Schema of a scene file, by which an editor completes keys and marks mistakes."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from dimple.scene.field_types import Families, NestedField, field_default, parse_annotation, short_forms
from dimple.settings import field_types
from dimple.tangents.estimators import TangentEstimator

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(cls: type, families: Families) -> dict[str, Any]:
    """Return the JSON Schema of the mappings from which `build` makes an object of `cls`.

    The schema contains keys, types and ranges, but not rules that involve two fields, which the classes check.

    Example:
        >>> from dimple.manifolds import Sphere
        >>> json_schema(Sphere, {})["properties"]["radius"]
        {'exclusiveMinimum': 0, 'type': 'number', 'default': 1.0}
    """
    schema = {"$schema": SCHEMA_DIALECT, **_object_schema(cls, None, dataclasses.MISSING, families)}
    recursive = {base: members for base, members in families.items() if _is_recursive(base, members, families)}
    if recursive:
        forms = {base.__name__: NestedField(base, members) for base, members in recursive.items()}
        schema["$defs"] = {name: _family_schema(form, dataclasses.MISSING, families) for name, form in forms.items()}
    return schema


def _is_recursive(base: type, members: Mapping[str, type], families: Families) -> bool:
    """Return whether a member of the family has a field of the family, so that its schema needs a reference."""
    forms = [
        parse_annotation(annotation, families) for cls in members.values() for annotation in field_types(cls).values()
    ]
    return any(form is not None and form.cls is base for form in forms)


def _object_schema(cls: type, kind: str | None, default: Any, families: Families) -> dict[str, Any]:
    """Return the schema of a mapping with the fields of `cls`, and with `kind` for a member of a family."""
    in_default = type(default) is cls
    properties: dict[str, Any] = {} if kind is None else {"kind": {"const": kind}}
    required = [] if kind is None or in_default else ["kind"]
    for name, annotation in field_types(cls).items():
        default_value = getattr(default, name) if in_default else field_default(cls, name)
        form = parse_annotation(annotation, families)
        # A field of the family that its class belongs to becomes a reference, since its default would nest endlessly.
        is_own_family = form is not None and form.members is not None and cls in form.members.values()
        field_value = dataclasses.MISSING if is_own_family else default_value
        properties[name] = _field_schema(annotation, field_value, families)
        if default_value is dataclasses.MISSING:
            required.append(name)
    for short, long in short_forms(cls).items():
        if short not in properties:
            properties[short] = _short_form_schema(cls, long, families)
    if vars(cls).get("needs_tangents") is True:
        # Of a probe, for the key of the scene.
        properties["tangents"] = {"enum": [*families[TangentEstimator]]}
    return {
        "type": "object",
        "description": (inspect.getdoc(cls) or cls.__name__).partition("\n")[0],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _short_form_schema(cls: type, long: str, families: Families) -> dict[str, Any]:
    """Return the schema of the value `<field>.<key>`, as any member of the family of the field has it."""
    field, key = long.split(".")
    form = parse_annotation(field_types(cls)[field], families)
    assert form is not None
    members = form.members or {"": form.cls}
    if key == "kind":
        return {"enum": [*members]}
    annotation = next(field_types(member)[key] for member in members.values() if key in field_types(member))
    schema: dict[str, Any] = TypeAdapter(annotation).json_schema()
    return schema


def _field_schema(annotation: Any, default: Any, families: Families) -> dict[str, Any]:
    """Return the schema of one key: a plain value, a mapping or a list of mappings."""
    form = parse_annotation(annotation, families)
    if form is None:
        default_entry = {} if default is dataclasses.MISSING else {"default": default}
        return {**TypeAdapter(annotation).json_schema(), **default_entry}
    if form.is_list:
        return {"type": "array", "items": _member_schema(form, dataclasses.MISSING, families)}
    schema = _member_schema(form, default, families)
    return {"anyOf": [schema, {"type": "null"}]} if form.is_optional else schema


def _member_schema(field: NestedField, default: Any, families: Families) -> dict[str, Any]:
    """Return the schema of one object of a field: its class, or any member of its family."""
    if field.members is None:
        return _object_schema(field.cls, None, default, families)
    if (default is dataclasses.MISSING or default is None) and _is_recursive(field.cls, field.members, families):
        return {"$ref": f"#/$defs/{field.cls.__name__}"}
    return _family_schema(field, default, families)


def _family_schema(field: NestedField, default: Any, families: Families) -> dict[str, Any]:
    """Return the schema of any member of the family, each with its own keys."""
    assert field.members is not None
    return {"anyOf": [_object_schema(cls, kind, default, families) for kind, cls in field.members.items()]}
