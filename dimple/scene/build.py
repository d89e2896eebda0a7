"""From the nodes of a scene file to settings objects: the classes are the schema, the file gives the line."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from dimple.errors import SceneError
from dimple.scene.forms import Families, Form, default_of, form_of, keys_of
from dimple.scene.yaml_nodes import Node, join
from dimple.settings import SettingError, field_types, shown

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
        SceneError: naming the file, the line, the dotted key, its value and the rule that it breaks.

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
        return node.plain()
    if form.optional and node.content is None:
        return None
    if not form.many:
        return _member(node, form, path, default, families)
    if not isinstance(node.content, list):
        raise SceneError(
            f"{node.place}: {path} is {shown(node.plain())}; it must be a list, one item a line after `- `"
        )
    return tuple(_member(item, form, join(path, index), None, families) for index, item in enumerate(node.content))


def _member(node: Node, form: Form, path: str, default: Any, families: Families) -> Any:
    """The object that a mapping describes, starting from `default` where that is of the same class."""
    if not isinstance(node.content, dict):
        example = "{kind: " + next(iter(form.table)) + "}" if form.table else f"{{{keys_of(form.cls, None)[0]}: ...}}"
        raise SceneError(f"{node.place}: {path} is {shown(node.plain())}; it must be a mapping such as {example}")
    cls = form.cls if form.table is None else _pick(node, form.table, path, default)
    entries = {key: child for key, child in node.content.items() if form.table is None or key != "kind"}
    known = keys_of(cls, form.table)
    for key, child in entries.items():
        if key not in known:
            hint = f"did you mean {nearest!r}? " if (nearest := _nearest(key, known)) else ""
            raise SceneError(f"{child.place}: unknown key {join(path, key)}; {hint}(known: {', '.join(known)})")
    values = {}
    for name, annotation in field_types(cls).items():
        standard = getattr(default, name) if type(default) is cls else default_of(cls, name)
        given = entries.get(name)
        if given is None and standard is dataclasses.MISSING:
            raise SceneError(f"{node.place}: the key {join(path, name)} is missing; add a line `{name}: ...`")
        values[name] = standard if given is None else _field(given, annotation, join(path, name), standard, families)
    return _construct(cls, values, node, path)


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
    nearest = _nearest(word, table) if isinstance(word, str) else None
    hint = f"did you mean {nearest!r}?" if nearest else f"it must be one of {', '.join(table)}"
    raise SceneError(f"{kind.place}: {place} is {shown(word)}; {hint}")


def _construct(cls: type, values: dict[str, Any], node: Node, path: str) -> Any:
    """The object, or its complaint with the line of the value that it is about."""
    try:
        return cls(**values)
    except SettingError as error:
        culprit, name = node.follow([error.field, *error.location], path)
        raise SceneError(f"{culprit.place}: {name} {error.problem}") from None
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


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that a slip of the fingers would turn into `word`, if there is one."""
    return next(iter(difflib.get_close_matches(word[:64], list(known), n=1)), None)
