"""`@settings`: frozen dataclasses that check their fields, the only kind of configuration in the package.

A field's annotation is its whole rule: `radius: Positive = 1.0` refuses -1, nan and "1" with one sentence, whether
the object was made in Python or read from a scene file, and the same annotation gives the JSON Schema.
"""

import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Interval
from pydantic import AllowInfNan, ConfigDict, Strict, TypeAdapter, ValidationError

from dimple.errors import SceneError

T = TypeVar("T")

Finite = Annotated[float, Strict(), AllowInfNan(False)]
Positive = Annotated[float, Strict(), AllowInfNan(False), Gt(0)]
NonNegative = Annotated[float, Strict(), AllowInfNan(False), Ge(0)]
Fraction = Annotated[float, Strict(), AllowInfNan(False), Interval(ge=0, le=1)]
Count = Annotated[int, Strict(), Interval(ge=1, le=10**9)]
Natural = Annotated[int, Strict(), Interval(ge=0, le=10**9)]
Seed = Annotated[int, Strict(), Interval(ge=0, lt=2**63)]
Flag = Annotated[bool, Strict()]


class SettingError(SceneError):
    """A field whose value breaks its annotation.

    Attributes:
        field: its name, so that a reader of files can add the line.
        problem: the value and the rule that it breaks.
        location: the indices and keys that lead from the field's value to the part that is wrong.
    """

    def __init__(self, owner: str, field: str, problem: str, location: tuple[int | str, ...] = ()) -> None:
        super().__init__(f"{owner}.{field} {problem}")
        self.field = field
        self.problem = problem
        self.location = location


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass whose fields are checked against their annotations when it is built.

    Raises:
        SettingError: naming the class, the field, the value and the rule that it breaks.

    Example:
        >>> @settings
        ... class Ball:
        ...     radius: Positive = 1.0
        >>> Ball(radius=-2.0)
        Traceback (most recent call last):
        dimple.settings.SettingError: Ball.radius is -2.0; it must be greater than 0
    """
    own_check = cls.__dict__.get("__post_init__")

    def __post_init__(self: Any) -> None:
        for name, annotation in field_types(type(self)).items():
            object.__setattr__(self, name, checked(type(self).__name__, name, annotation, getattr(self, name)))
        if own_check is not None:
            own_check(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True)(cls)


def field_types(cls: type) -> dict[str, Any]:
    """The annotations of the settings class `cls`, in order, with their rules kept."""
    return _field_types(cls)


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def checked(owner: str, name: str, annotation: Any, value: Any) -> Any:
    """`value` if it keeps the rule of `annotation` (lists become tuples), else a `SettingError`."""
    adapter = _adapter(annotation)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        location = error.errors(include_url=False)[0]["loc"]
        raise SettingError(owner, name, _problem(value, error), location) from None


@functools.cache
def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """A validator for a plain annotation; None for a field that holds an object, which checks itself."""
    if not is_plain(annotation):
        return None
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


def is_plain(annotation: Any) -> bool:
    """Whether a field holds numbers, words, flags or lists of them, rather than objects with fields."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return is_plain(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return True
    if origin in (tuple, list, dict, typing.Union, types.UnionType):
        return all(is_plain(argument) for argument in typing.get_args(annotation) if argument is not Ellipsis)
    return annotation in (int, float, str, bool, type(None))


def _problem(value: Any, error: ValidationError) -> str:
    """One sentence from the first thing that is wrong, with the value where it is wrong."""
    first = error.errors(include_url=False)[0]
    rule = re.sub(r"^\w+ should ", "must ", first["msg"]).replace("a valid ", "a ").replace("a integer", "an integer")
    rule = rule.replace(" after validation", "")
    bad = first["input"] if first["loc"] == () or not isinstance(value, int | float | str) else value
    if isinstance(bad, float) and not math.isfinite(bad):
        rule = "must be finite"
    if first["type"] == "missing":
        rule = f"must have at least {int(first['loc'][-1]) + 1} items"
    return f"is {shown(bad)}; it {rule if rule.startswith('must') else 'must hold: ' + rule}"


def shown(value: object) -> str:
    """`value` as an error prints it: on one line, without control characters, at most 80 characters long.

    Example:
        >>> shown("a" * 100 + chr(27))
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
    """
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a slip of the fingers would turn into `word`, if there is one.

    Example:
        >>> nearest("margn", ["margin", "onoff"])
        'margin'
    """
    return next(iter(difflib.get_close_matches(word[:64], list(known), n=1)), None)
