"""The form of a field of a settings class in a scene file: a value, a mapping, or a list of mappings."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from dimple.settings import field_types, is_plain_annotation

# The base class of each family with the table of its members, from the value of `kind` to the class.
Families: TypeAlias = Mapping[type, Mapping[str, type]]


@final
@dataclass(frozen=True)
class NestedField:
    """A field that holds settings objects.

    Attributes:
        cls: the settings class, or the base class of a family.
        members: the members of the family by kind; None for a single class, which has no key `kind`.
        is_list: true if the field is a tuple of objects, which is written as a list.
        is_optional: true if the field may be None, which is written as `null`.
    """

    cls: type
    members: Mapping[str, type] | None = None
    is_list: bool = False
    is_optional: bool = False


def parse_annotation(annotation: Any, families: Families) -> NestedField | None:
    """Return the form of a field with this annotation, or None for a plain value.

    Raises:
        TypeError: if a scene file cannot express the annotation, which is a mistake in the class and not in the file.

    Example:
        >>> from dimple.manifolds import MANIFOLDS, Manifold
        >>> form = parse_annotation(tuple[Manifold, ...], {Manifold: MANIFOLDS})
        >>> form.cls.__name__, form.is_list, "sphere" in form.members
        ('Manifold', True, True)
    """
    if is_plain_annotation(annotation):
        return None
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner = parse_annotation(next(argument for argument in arguments if argument is not type(None)), families)
        return None if inner is None else dataclasses.replace(inner, is_optional=True)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = parse_annotation(arguments[0], families)
        if inner is not None and not inner.is_list:
            return dataclasses.replace(inner, is_list=True)
    if annotation in families:
        return NestedField(annotation, families[annotation])
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return NestedField(annotation)
    raise TypeError(f"a scene file cannot hold a field of type {annotation}: pass its family's table")


def field_default(cls: type, name: str) -> Any:
    """Return the default of the field `name` of `cls`, or `dataclasses.MISSING` if it has none."""
    field = cls.__dataclass_fields__[name]  # type: ignore[attr-defined]
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def short_forms(cls: type) -> Mapping[str, str]:
    """Return the keys that stand for longer ones, such as `lr` for `optimizer.lr`: the table `SHORT_FORMS` of `cls`."""
    forms: Mapping[str, str] = vars(cls).get("SHORT_FORMS", {})
    return forms


def allowed_keys(cls: type, members: Mapping[str, type] | None) -> list[str]:
    """Return the keys that a mapping for `cls` may have, in the order of writing."""
    return [*dict.fromkeys([*(["kind"] if members is not None else []), *field_types(cls), *short_forms(cls)])]
