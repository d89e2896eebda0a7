"""The decorator `@settings`, which makes frozen dataclasses that check their fields.

All configuration of the package consists of such classes. The annotation of a field is its complete rule:
`radius: Positive = 1.0` refuses -1, nan and "1" with one sentence, both in Python and in a scene file. The JSON Schema
of scene files is generated from the same annotations.
"""

import dataclasses
import difflib
import functools
import inspect
import math
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Interval
from pydantic import AfterValidator, AllowInfNan, ConfigDict, Strict, TypeAdapter, ValidationError
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from dimple.errors import SceneError
from dimple.renamed import new_field, sentence

T = TypeVar("T")

# Numbers beyond these, other than 0, overflow or vanish in the computations with them.
SMALLEST = 1e-30
LARGEST = 1e30
# The folders of an absolute path, up to its last name; an address of the network is none.
_FOLDERS_PATTERN = re.compile(r"(?<![\w./~-])(?:/|~/|[A-Za-z]:\\)(?!/)(?:[^/\\\s'\",;:<>]+[/\\])+")


def _require_usual_size(value: float) -> float:
    if value != 0 and not SMALLEST <= abs(value) <= LARGEST:
        raise PydanticCustomError("size", f"must be 0, or between {SMALLEST:g} and {LARGEST:g} in size")
    return value


Finite = Annotated[float, Strict(), AllowInfNan(False), AfterValidator(_require_usual_size)]
Positive = Annotated[float, Strict(), AllowInfNan(False), Gt(0), AfterValidator(_require_usual_size)]
NonNegative = Annotated[float, Strict(), AllowInfNan(False), Ge(0), AfterValidator(_require_usual_size)]
Fraction = Annotated[float, Strict(), AllowInfNan(False), Interval(ge=0, le=1)]
Count = Annotated[int, Strict(), Interval(ge=1, le=10**7)]
Natural = Annotated[int, Strict(), Interval(ge=0, le=10**7)]
# Of random draws, starts of a search, steps within a step, and layers.
Repeats = Annotated[int, Strict(), Interval(ge=1, le=10**4)]
# Along each axis of a grid.
Cells = Annotated[int, Strict(), Interval(ge=1, le=4096)]
# Of a manifold and of its space.
Dimension = Annotated[int, Strict(), Interval(ge=1, le=10**5)]
# Of a search: forward passes with their backward passes.
Passes = Annotated[float, Strict(), AllowInfNan(False), Interval(gt=0, le=10**6)]
Seed = Annotated[int, Strict(), Interval(ge=0, lt=2**63)]
Flag = Annotated[bool, Strict()]
# A function, in Python only: a scene file cannot hold code, and its schema does not mention it.
Code = SkipJsonSchema[Callable[..., Any]]


class SettingError(SceneError):
    """An error for a field whose value violates its annotation.

    Attributes:
        field: the name of the field, from which a reader of files finds the line.
        problem: the value and the violated rule.
        location: the indices and keys that lead from the value of the field to the wrong part.
    """

    def __init__(self, class_name: str, field: str, problem: str, location: tuple[int | str, ...] = ()) -> None:
        super().__init__(f"{class_name}.{field} {problem}")
        self.field = field
        self.problem = problem
        self.location = location


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Turn `cls` into a frozen dataclass whose constructor checks the fields against their annotations.

    A name of a field from version 0.1 is answered with a `TypeError` that gives the new name.

    Raises:
        SettingError: from the constructor, with the class, the field, the value and the violated rule.

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
            object.__setattr__(self, name, validate_field(type(self).__name__, name, annotation, getattr(self, name)))
        if own_check is not None:
            own_check(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    checked_class = dataclasses.dataclass(frozen=True)(cls)
    generated_init = checked_class.__init__

    @functools.wraps(generated_init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        known = [field.name for field in dataclasses.fields(checked_class)]  # type: ignore[arg-type]
        for name in kwargs.keys() - set(known):
            new = new_field(name, known)
            if new is not None:
                raise TypeError(sentence(f"{cls.__name__}.{name}", f"{cls.__name__}.{new}"))
        generated_init(self, *args, **kwargs)

    checked_class.__init__ = __init__  # type: ignore[method-assign]
    return checked_class


def settings_from_function(
    function: Callable[..., Any],
    skip: int,
    base: type,
    body: Mapping[str, Any],
    leave_out: Sequence[str] = (),
) -> tuple[Any, list[str]]:
    """Make a settings class of the name and documentation of a function, whose arguments with defaults are its fields.

    Args:
        function: what a method of the class will call.
        skip: the number of leading arguments that are no fields.
        base: the class to derive from.
        body: the attributes and methods of the class.
        leave_out: further arguments that are no fields.

    Returns:
        The class, and the names of its fields.

    Raises:
        SceneError: if an argument has no annotation or no default.
    """
    arguments = [*inspect.signature(function).parameters.values()][skip:]
    fields = {argument.name: argument for argument in arguments if argument.name not in leave_out}
    hints = typing.get_type_hints(function, include_extras=True)
    for name, argument in fields.items():
        if name not in hints or argument.default is argument.empty:
            raise SceneError(
                f"{function.__name__}: write the argument {name} as a setting, such as {name}: float = 1.0"
            )
    about = {name: getattr(function, name) for name in ("__doc__", "__module__", "__qualname__")}
    defaults = {name: argument.default for name, argument in fields.items()}
    annotations = {"__annotations__": {name: hints[name] for name in fields}}
    cls = type(function.__name__, (base,), {**body, **defaults, **about, **annotations})
    return settings(cls), [*fields]


def field_types(cls: type) -> dict[str, Any]:
    """Return the annotations of the fields of a settings class, in order, including their constraints."""
    return _field_types(cls)


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def validate_field(class_name: str, field: str, annotation: Any, value: Any) -> Any:
    """Return `value` if it satisfies `annotation`, with lists turned into tuples.

    Raises:
        SettingError: if it does not.
    """
    adapter = _type_adapter(annotation)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        location = error.errors(include_url=False)[0]["loc"]
        raise SettingError(class_name, field, _describe_problem(value, error), location) from None


@functools.cache
def _type_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    """Return a validator for a plain annotation, or None for a field that holds an object, which checks itself."""
    if not is_plain_annotation(annotation):
        return None
    return TypeAdapter(annotation, config=ConfigDict(allow_inf_nan=False))


def is_plain_annotation(annotation: Any) -> bool:
    """Return whether a field holds numbers, strings, booleans or collections of them, not objects with fields."""
    origin = typing.get_origin(annotation)
    if annotation == Code:
        return True
    if origin is Annotated:
        return is_plain_annotation(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return True
    if origin in (tuple, list, dict, typing.Union, types.UnionType):
        return all(
            is_plain_annotation(argument) for argument in typing.get_args(annotation) if argument is not Ellipsis
        )
    return annotation in (int, float, str, bool, type(None))


def _describe_problem(value: Any, error: ValidationError) -> str:
    """Return one sentence about the first mistake, with the value at its position."""
    first = error.errors(include_url=False)[0]
    rule = re.sub(r"^\w+ should ", "must ", first["msg"]).replace("a valid ", "a ").replace("a integer", "an integer")
    rule = rule.replace(" after validation", "")
    invalid = first["input"] if first["loc"] == () or not isinstance(value, int | float | str) else value
    if isinstance(invalid, float) and not math.isfinite(invalid):
        rule = "must be finite"
    if first["type"] == "missing":
        rule = f"must have at least {int(first['loc'][-1]) + 1} items"
    return f"is {format_value(invalid)}; it {rule if rule.startswith('must') else 'must hold: ' + rule}"


def describe_problem(error: ValidationError) -> tuple[str, str]:
    """Return the place of the first mistake in a value, such as `summary.steps`, and a sentence about it."""
    first = error.errors(include_url=False)[0]
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"]).removeprefix(".")
    return format_value(place)[1:-1], _describe_problem(first["input"], error)


def format_value(value: object) -> str:
    """Return `value` as text for an error: one line of at most 80 characters without control characters.

    Example:
        >>> format_value("a" * 100 + chr(27))
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
    """
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def closest_word(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to a mistyped `word`, or None if none is similar.

    Example:
        >>> closest_word("margn", ["margin", "onoff"])
        'margin'
    """
    return next(iter(difflib.get_close_matches(word[:64], list(known), n=1)), None)


def expand_home(path: Path | str) -> Path:
    """Return a path with the home folder for a leading tilde, which only a shell would replace."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path.expanduser fails for an unknown user)


def without_folders(text: str, mark: str = "") -> str:
    """Return a text with the last name of each absolute path, whose folders are nobody else's business.

    Args:
        text: the text.
        mark: what stands for the folders.

    Example:
        >>> without_folders("dimple probe --data npz:/home/me/data/x.npz --out runs/x", ".../")
        'dimple probe --data npz:.../x.npz --out runs/x'
    """
    return _FOLDERS_PATTERN.sub(mark, text)


def suggest_word(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return the question whether the most similar known word was meant, or `otherwise` if none is similar.

    Example:
        >>> suggest_word("margn", ["margin", "onoff"], "choose margin or onoff")
        "did you mean 'margin'?"
    """
    near = closest_word(word, known)
    return otherwise if near is None else f"did you mean {near!r}?"
