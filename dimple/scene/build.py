"""From the nodes of a scene file to settings objects: the classes are the schema, the file gives the line."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from dimple.errors import SceneError
from dimple.scene.field_types import Families, Form, default_of, form_of, keys_of
from dimple.scene.yaml_nodes import Node, join
from dimple.settings import SettingError, checked, field_types, nearest, shown

T = TypeVar("T")


def build(node: Node, cls: type[T], families: Families) -> T:
    """The object of the settings class `cls` that the mapping `node` describes.

    A field that is a settings class is a mapping of its fields; a field of a family (a key of `families`)
    says by `kind` which member it is; a tuple of either is a list. Keys that are left out keep the value of
    the field's default, also within a section: `training: {steps: 500}` is the default training with fewer
    steps, as long as it is of the default's kind.

    Args:
        node: a mapping from `parse_yaml`, perhaps changed by `override`.
        cls: the class of the whole.
        families: the table of each family, base class by base class.

    Raises:
        SceneError: naming the file, the line, the dotted key, its value and the rule that it breaks; a sentence for
            each of several mistakes.

    Example:
        >>> from dimple.manifolds import MANIFOLDS, Manifold
        >>> from dimple.scene.yaml_nodes import parse_yaml
        >>> from dimple.settings import Seed, settings
        >>> @settings
        ... class Sketch:
        ...     manifold: Manifold
        ...     seed: Seed = 0
        >>> families = {Manifold: MANIFOLDS}
        >>> build(parse_yaml("manifold: {kind: sphere, radius: 0.3}", "a.yaml"), Sketch, families)
        Sketch(manifold=Sphere(dim=2, radius=0.3), seed=0)
        >>> build(parse_yaml("manifold: {kind: spere}", "a.yaml"), Sketch, families)
        Traceback (most recent call last):
        dimple.errors.SceneError: a.yaml:1: manifold.kind is 'spere'; did you mean 'sphere'?
    """
    return _member(node, Form(cls), "", None, families)  # type: ignore[no-any-return]


def _field(node: Node, annotation: Any, path: str, default: Any, families: Families) -> Any:
    """The value of one field: plain, an object or a tuple of objects."""
    form = form_of(annotation, families)
    if form is None:
        return _plain(node, annotation, path)
    if form.optional and node.content is None:
        return None
    if not form.many:
        return _member(node, form, path, default, families)
    if not isinstance(node.content, list):
        raise SceneError(
            f"{node.place}: {path} is {shown(node.plain())}; it must be a list, one item a line after `- `"
        )
    items: list[Any] = []
    mistakes: list[str] = []
    for index, item in enumerate(node.content):
        with _kept_in(mistakes):
            items.append(_member(item, form, join(path, index), None, families))
    if mistakes:
        raise SceneError(*mistakes)
    return tuple(items)


def _plain(node: Node, annotation: Any, path: str) -> Any:
    """A value without fields, if it keeps the rule of its annotation."""
    try:
        return checked("", path, annotation, node.plain())
    except SettingError as error:
        culprit, name = node.follow(error.location, path)
        raise SceneError(f"{culprit.place}: {name} {error.problem}") from None


def _member(node: Node, form: Form, path: str, default: Any, families: Families) -> Any:
    """The object that a mapping describes, starting from `default` where that is of the same class."""
    if not isinstance(node.content, dict):
        example = "{kind: " + next(iter(form.table)) + "}" if form.table else f"{{{keys_of(form.cls, None)[0]}: ...}}"
        raise SceneError(f"{node.place}: {path} is {shown(node.plain())}; it must be a mapping such as {example}")
    cls = form.cls if form.table is None else _pick(node, form.table, path, default)
    entries = {key: child for key, child in node.content.items() if form.table is None or key != "kind"}
    known = keys_of(cls, form.table)
    mistakes = [_unknown(child, key, path, known) for key, child in entries.items() if key not in known]
    values = {}
    for name, annotation in field_types(cls).items():
        standard = getattr(default, name) if type(default) is cls else default_of(cls, name)
        with _kept_in(mistakes):
            if name in entries:
                values[name] = _field(entries[name], annotation, join(path, name), standard, families)
            elif standard is dataclasses.MISSING:
                raise SceneError(f"{node.place}: the key {join(path, name)} is missing; add a line `{name}: ...`")
            else:
                values[name] = standard
    if mistakes:
        raise SceneError(*mistakes)
    return _construct(cls, values, node, path)


def _unknown(node: Node, key: str, path: str, known: list[str]) -> str:
    hint = f"did you mean {near!r}? " if (near := nearest(key, known)) else ""
    return f"{node.place}: unknown key {join(path, key)}; {hint}(known: {', '.join(known)})"


@contextlib.contextmanager
def _kept_in(mistakes: list[str]) -> Iterator[None]:
    """Go on after a mistake, and keep its sentences: all of them are told in the end."""
    try:
        yield
    except SceneError as error:
        mistakes.extend(error.args)


def _pick(node: Node, table: Mapping[str, type], path: str, default: Any) -> type:
    """The class that `kind` names, or that of the default where no kind is given."""
    place = join(path, "kind")
    kind = node.follow(["kind"], path)[0]
    if kind is node:
        if default is None or default is dataclasses.MISSING:
            raise SceneError(f"{node.place}: {place} is missing; it must be one of {', '.join(table)}")
        return type(default)
    word = kind.plain()
    if isinstance(word, str) and word in table:
        return table[word]
    near = nearest(word, table) if isinstance(word, str) else None
    hint = f"did you mean {near!r}?" if near else f"it must be one of {', '.join(table)}"
    raise SceneError(f"{kind.place}: {place} is {shown(word)}; {hint}")


def _construct(cls: type, values: dict[str, Any], node: Node, path: str) -> Any:
    """The object, or its complaint with the line of the value that it is about."""
    try:
        return cls(**values)
    except SceneError as error:
        problem = str(error).removeprefix(f"{cls.__name__}: ")
        place, name = _subject(problem, cls, node, path)
        raise SceneError(f"{place}: {name}{problem}") from None


def _subject(problem: str, cls: type, node: Node, path: str) -> tuple[str, str]:
    """The place of the field that a class's own complaint begins with, and what to put before it."""
    words = problem.split(" ", 1)[0].split(".")
    if words[0] in field_types(cls):
        return node.follow(words, path)[0].place, f"{path}." if path else ""
    return node.place, f"{path}: " if path else ""
