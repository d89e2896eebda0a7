"""Construction of settings objects from the nodes of a scene file, with errors that give file, line and column."""

import contextlib
import dataclasses
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from dimple.errors import SceneError, UsageError
from dimple.renamed import new_scene_key, new_scene_value, sentence
from dimple.scene.field_types import Families, NestedField, allowed_keys, field_default, parse_annotation
from dimple.scene.plugins import find_member, not_allowed_message
from dimple.scene.short_forms import expand_short_forms
from dimple.scene.yaml_nodes import YamlNode, join_path
from dimple.settings import SettingError, field_types, format_value, suggest_word, validate_field

T = TypeVar("T")


def build(node: YamlNode, cls: type[T], families: Families) -> T:
    """Build an object of the settings class `cls` from the mapping `node`.

    A field that is a settings class is written as a mapping of its fields. A field of a family (a key of `families`)
    has the key `kind`, which selects the member. A tuple of either is written as a list. A missing key gets the default
    of the field, also in a nested mapping: `training: {steps: 500}` is the default training with 500 steps, unless
    `kind` selects another class than that of the default.

    Args:
        node: a mapping from `parse_yaml`, possibly changed by `override`.
        cls: the settings class.
        families: the base class of each family with the table of its members.

    Raises:
        SceneError: with the file, line and column, the dotted key, its value and the violated rule; one sentence for
            each mistake.

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
        dimple.errors.SceneError: a.yaml:1:12: manifold.kind is 'spere'; did you mean 'sphere'?
    """
    return _build_object(node, NestedField(cls), "", None, families)  # type: ignore[no-any-return]


def _build_field(node: YamlNode, annotation: Any, path: str, default: Any, families: Families) -> Any:
    """Return the value of one field: a plain value, an object or a tuple of objects."""
    form = parse_annotation(annotation, families)
    if form is None:
        return build_value(node, annotation, path)
    if form.is_optional and node.content is None:
        return None
    if not form.is_list:
        return _build_object(node, form, path, default, families)
    if not isinstance(node.content, list):
        raise SceneError(
            f"{node.source_location}: {path} is {format_value(node.to_python())}; "
            "it must be a list, one item per line after `- `"
        )
    items: list[Any] = []
    mistakes: list[str] = []
    for index, item in enumerate(node.content):
        with _collect_mistakes(mistakes):
            items.append(_build_object(item, form, join_path(path, index), None, families))
    if mistakes:
        raise SceneError(*mistakes)
    return tuple(items)


def build_value(node: YamlNode, annotation: Any, path: str) -> Any:
    """Return a value without fields after a check against its annotation."""
    try:
        return validate_field("", path, annotation, node.to_python())
    except SettingError as error:
        new = new_scene_value(path, node.content, typing.get_args(annotation))
        if new is not None:
            raise SceneError(f"{node.source_location}: {path}: {sentence(repr(node.content), repr(new))}") from None
        invalid, name = node.resolve(error.location, path)
        raise SceneError(f"{invalid.source_location}: {name} {error.problem}") from None


def _build_object(node: YamlNode, field: NestedField, path: str, default: Any, families: Families) -> Any:
    """Build an object from a mapping; missing keys come from `default` if that has the same class."""
    if not isinstance(node.content, dict):
        example = (
            "{kind: " + next(iter(field.members)) + "}"
            if field.members
            else f"{{{allowed_keys(field.cls, None)[0]}: ...}}"
        )
        raise SceneError(
            f"{node.source_location}: {path} is {format_value(node.to_python())}; "
            f"it must be a mapping such as {example}"
        )
    mistakes: list[str] = []
    cls = field.cls
    if field.members is not None:
        cls, node = _pick_class(node, field.members, path, default, mistakes)
    node, written = expand_short_forms(node, cls, path)
    assert isinstance(node.content, dict)
    entries = {key: child for key, child in node.content.items() if field.members is None or key != "kind"}
    known = allowed_keys(cls, field.members)
    unknown = {key: child for key, child in entries.items() if key not in known}
    member_keys = {kind: allowed_keys(member, field.members) for kind, member in (field.members or {}).items()}
    mistakes += [unknown_key_message(child, key, path, known, member_keys) for key, child in unknown.items()]
    values = {}
    for name, annotation in field_types(cls).items():
        default_value = getattr(default, name) if type(default) is cls else field_default(cls, name)
        with _collect_mistakes(mistakes):
            if name in entries:
                values[name] = _build_field(entries[name], annotation, join_path(path, name), default_value, families)
            elif default_value is dataclasses.MISSING:
                raise SceneError(
                    f"{node.source_location}: the key {join_path(path, name)} is missing; add a line `{name}: ...`"
                )
            else:
                values[name] = default_value
    if mistakes:
        raise SceneError(*(written(mistake) for mistake in mistakes))
    return _construct(cls, values, node, path)


def unknown_key_message(node: YamlNode, key: str, path: str, known: list[str], members: Mapping[str, list[str]]) -> str:
    """Return the sentence about an unknown key; `members` are the keys of each kind of the family."""
    name = join_path(path, key)
    new = new_scene_key(path, key, known)
    if new is not None:
        return f"{node.source_location}: {sentence(name, join_path(path, new))}"
    for kind, keys in members.items():
        new = new_scene_key(path, key, keys)
        if new is not None:
            renaming = sentence(name, join_path(path, new))
            return f"{node.source_location}: {renaming}; it is a key of kind {kind} (known here: {', '.join(known)})"
    # An own objective has settings that no table knows.
    elsewhere = f"the settings of an objective stand under {join_path(path, 'objective')}"
    hint = suggest_word(key, known, elsewhere if "objective" in known else "")
    return f"{node.source_location}: unknown key {name}{hint and f'; {hint}'} (known: {', '.join(known)})"


def unknown_kind_message(kind: YamlNode, path: str, word: object, members: Collection[str]) -> str:
    """Return the sentence about an unknown kind, or about one of version 0.1."""
    new = new_scene_value(path.removesuffix(".kind"), word, members)
    if new is not None:
        return f"{kind.source_location}: {path}: {sentence(repr(word), repr(new))}"
    if isinstance(word, str) and ":" in word:
        return f"{kind.source_location}: {path} is {format_value(word)}; {not_allowed_message(word, members)}"
    hint = suggest_word(word if isinstance(word, str) else "", members, f"it must be one of {', '.join(members)}")
    return f"{kind.source_location}: {path} is {format_value(word)}; {hint}"


@contextlib.contextmanager
def _collect_mistakes(mistakes: list[str]) -> Iterator[None]:
    """Catch a `SceneError` of the block and append its sentences, so that all mistakes are reported together."""
    try:
        yield
    except SceneError as error:
        mistakes.extend(error.args)


def _pick_class(
    node: YamlNode, members: Mapping[str, type], path: str, default: Any, mistakes: list[str]
) -> tuple[type, YamlNode]:
    """Return the class that `kind` selects, or that of the default, and the mapping with arguments of `kind` as keys.

    A kind of version 0.1 selects the class of its present name, and its sentence is appended to `mistakes`.
    """
    kind_path = join_path(path, "kind")
    kind = node.resolve(["kind"], path)[0]
    if kind is node:
        if default is None or default is dataclasses.MISSING:
            raise SceneError(f"{node.source_location}: {kind_path} is missing; it must be one of {', '.join(members)}")
        return type(default), node
    word = kind.to_python()
    try:
        found = find_member(word, members) if isinstance(word, str) else None
    except UsageError as error:
        raise SceneError(f"{kind.source_location}: {kind_path}: {error}") from None
    if found is not None:
        return found[0], _add_arguments(node, found[1], kind, path)
    message = unknown_kind_message(kind, kind_path, word, members)
    new = new_scene_value(path, word, members)
    if new is None:
        raise SceneError(message)
    mistakes.append(message)
    return members[new], node


def _add_arguments(node: YamlNode, arguments: Mapping[str, Any], kind: YamlNode, path: str) -> YamlNode:
    """Return a mapping with the arguments of its kind, such as `sphere(radius=0.5)`, as keys."""
    entries: dict[str, YamlNode] = dict(node.children())  # type: ignore[arg-type]
    for name, value in arguments.items():
        if name in entries:
            raise SceneError(f"{kind.source_location}: {join_path(path, name)} is given twice; keep one of them")
        entries[name] = YamlNode.from_python(value, kind.source_location)
    return dataclasses.replace(node, content=entries) if arguments else node


def _construct(cls: type, values: dict[str, Any], node: YamlNode, path: str) -> Any:
    """Construct an object; an error of its own checks gets the line of the value."""
    try:
        return cls(**values)
    except SceneError as error:
        problem = str(error).removeprefix(f"{cls.__name__}: ")
        location, prefix = _locate_field(problem, cls, node, path)
        raise SceneError(f"{location}: {prefix}{problem}") from None


def _locate_field(problem: str, cls: type, node: YamlNode, path: str) -> tuple[str, str]:
    """Return the location of the field that a message starts with, and the prefix of the message."""
    words = problem.split(" ", 1)[0].split(".")
    if words[0] in field_types(cls):
        return node.resolve(words, path)[0].source_location, f"{path}." if path else ""
    return node.source_location, f"{path}: " if path else ""
