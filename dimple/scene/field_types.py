"""How a field of a settings class is written in a scene file: a value, a section, or a list of sections."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from dimple.settings import field_types, is_plain

Families: TypeAlias = Mapping[type, Mapping[str, type]]
"""Each family's base class and its table, from the word behind `kind:` to the class."""


@final
@dataclass(frozen=True)
class Form:
    """A field that holds settings objects.

    Attributes:
        cls: the settings class, or the base class of a family.
        table: the family's members by kind; None for a single class, which needs no `kind`.
        many: whether the field is a tuple of them, written as a list.
        optional: whether it may be None, written as `null`.
    """

    cls: type
    table: Mapping[str, type] | None = None
    many: bool = False
    optional: bool = False


def form_of(annotation: Any, families: Families) -> Form | None:
    """The form of a field with this annotation; None for a plain value, which its class checks itself.

    Raises:
        TypeError: for an annotation that no scene file can express; a mistake in the class, not in the file.

    Example:
        >>> from dimple.manifolds import MANIFOLDS, Manifold
        >>> form = form_of(tuple[Manifold, ...], {Manifold: MANIFOLDS})
        >>> form.cls.__name__, form.many, "sphere" in form.table
        ('Manifold', True, True)
    """
    if is_plain(annotation):
        return None
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner = form_of(next(argument for argument in arguments if argument is not type(None)), families)
        return None if inner is None else dataclasses.replace(inner, optional=True)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = form_of(arguments[0], families)
        if inner is not None and not inner.many:
            return dataclasses.replace(inner, many=True)
    if annotation in families:
        return Form(annotation, families[annotation])
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return Form(annotation)
    raise TypeError(f"a scene file cannot hold a field of type {annotation}: pass its family's table")


def default_of(cls: type, name: str) -> Any:
    """What the field `name` of `cls` holds when nobody says; `dataclasses.MISSING` where somebody must."""
    field = cls.__dataclass_fields__[name]  # type: ignore[attr-defined]
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def keys_of(cls: type, table: Mapping[str, type] | None) -> list[str]:
    """The keys that a section for `cls` may have, in the order in which it is written."""
    return [*(["kind"] if table is not None else []), *field_types(cls)]
