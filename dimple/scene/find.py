"""Scene files before their classes are loaded: where they are, their text with changes, and their names checked.

Nothing here imports torch, so that a mistake in a name is answered in a moment.
"""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import AllowInfNan, Strict

import dimple
from dimple.errors import DivergedError, SceneError
from dimple.scene.build import build_value, unknown_key_message, unknown_kind_message
from dimple.scene.overrides import override
from dimple.scene.plugins import plugin_names
from dimple.scene.short_forms import lift_tangents
from dimple.scene.yaml_nodes import YamlNode, join_path, parse_yaml
from dimple.scene.yaml_text import read_text
from dimple.settings import expand_home, suggest_word

# The JSON Schema of scene files, exported from the classes.
SCHEMA_FILE = Path(__file__).with_name("schema.json")
Schema = dict[str, Any]
# The types and the rules of plain values by their names in the schema.
PLAIN_TYPES: dict[str, Any] = {
    "boolean": bool, "integer": int, "number": Annotated[float, AllowInfNan(False)], "string": str,
}  # fmt: skip
RULES: dict[str, Callable[[Any], Any]] = {
    "exclusiveMaximum": Lt,
    "exclusiveMinimum": Gt,
    "maxItems": MaxLen,
    "maxLength": MaxLen,
    "maximum": Le,
    "minItems": MinLen,
    "minLength": MinLen,
    "minimum": Ge,
}


def shipped_scenes() -> dict[str, Path]:
    """Return the files of the scenes that are part of the package, by name in alphabetical order.

    The folder is `dimple/scenes` of an installed package and `scenes` of a checkout.
    """
    package = Path(dimple.__file__).parent
    folder = next(path for path in (package / "scenes", package.parent / "scenes") if path.is_dir())
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_scene(name: str) -> Path:
    """Return the file of a scene: `name` is a path, or the name of a built-in scene.

    Raises:
        SceneError: if it is neither; the error suggests the most similar name.

    Example:
        >>> find_scene("sphere_in_3d").name
        'sphere_in_3d.yaml'
    """
    path = expand_home(name)
    if path.exists() or path.suffix in (".yaml", ".yml") or "/" in name:
        return path
    built_in = shipped_scenes()
    if name not in built_in:
        hint = suggest_word(name, built_in, "dimple scenes lists the built-in scenes")
        raise SceneError(f"scene {name!r} is neither a file nor a built-in scene; {hint}")
    return built_in[name]


def parse_scene(
    text: str, path: Path, overrides: Sequence[str] = (), seed: int | None = None, resolution: int | None = None
) -> YamlNode:
    """Return the text of a scene file with changes applied, as a node with the place of each value.

    Raises:
        SceneError: if the text or a change is no YAML that a scene may have.
    """
    node = parse_yaml(text, str(path))
    if isinstance(node.content, dict) and "name" not in node.content:
        overrides = [f"name={json.dumps(path.stem)}", *overrides]
    for change in overrides:
        node = override(node, change)
    for key, flag, value in (("seed", "--seed", seed), ("levelset.resolution", "--resolution", resolution)):
        if value is not None:
            node = override(node, f"{key}={value}", flag)
    return lift_tangents(node)


def check_scene_names(
    name: str, overrides: Sequence[str] = (), seed: int | None = None, resolution: int | None = None
) -> YamlNode:
    """Refuse a scene that is missing, that cannot be read, or that has unknown keys or kinds, or values out of range.

    Rules about several values are checked by `load_scene`, which has the same arguments.

    Returns:
        The scene with the changes.

    Raises:
        SceneError: with one sentence for each mistake, as `load_scene` writes it.

    Example:
        >>> check_scene_names("sphere_in_3d", ["training.stepz=500"])
        Traceback (most recent call last):
        dimple.errors.SceneError: --set training.stepz: unknown key training.stepz; did you mean 'steps'? (known: ...
    """
    path = find_scene(name)
    mistakes: list[str] = []
    node = parse_scene(read_text(path), path, overrides, seed, resolution)
    _check(node, _schema(), "", mistakes)
    if mistakes:
        raise SceneError(*mistakes)
    return node


@contextlib.contextmanager
def locate_mistakes(node: YamlNode) -> Iterator[None]:
    r"""Give the errors of a block about a scene the place of the key that they begin with, or else of the scene.

    Example:
        >>> with locate_mistakes(parse_yaml("seed: 1\nlevelset: {kind: dense}", "a.yaml")):
        ...     raise SceneError("levelset: this manifold has no mesh")
        Traceback (most recent call last):
        dimple.errors.SceneError: a.yaml:2:1: levelset: this manifold has no mesh
    """
    try:
        yield
    except (SceneError, DivergedError) as error:
        kind = DivergedError if isinstance(error, DivergedError) else SceneError
        raise kind(*(_with_place(str(sentence), node) for sentence in error.args)) from error


def _with_place(sentence: str, node: YamlNode) -> str:
    first = sentence.partition(" ")[0]
    if first.startswith("--") or re.search(r":\d+:\d+:$", first):
        return sentence
    keys = [int(key) if key.isdecimal() else key for key in re.findall(r"\w+", first)]
    return f"{node.resolve(keys, '')[0].source_location}: {sentence}"


@functools.cache
def _schema() -> Schema:
    schema: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema


def _check(node: YamlNode, schema: Schema, path: str, mistakes: list[str]) -> None:
    """Append a sentence for each unknown key and kind of a node, and for each value that breaks its rule."""
    annotation = _annotation(schema)
    if annotation is not None:
        try:
            build_value(node, annotation, path)
        except SceneError as error:
            mistakes.extend(error.args)
        return
    word = node.content
    if "enum" in schema and isinstance(word, str) and word not in schema["enum"] and ":" not in word:
        mistakes.append(unknown_kind_message(node, path, word, schema["enum"]))
    if isinstance(node.content, list) and "items" in schema:
        for index, item in enumerate(node.content):
            _check(item, schema["items"], join_path(path, index), mistakes)
        return
    if not isinstance(node.content, dict):
        return
    schema, members = _pick(node, schema, path, mistakes)
    properties = schema.get("properties", {})
    for key, child in node.content.items():
        if key in properties:
            _check(child, properties[key], join_path(path, key), mistakes)
        elif properties:
            known = {kind: [*member["properties"]] for kind, member in members.items()}
            mistakes.append(unknown_key_message(child, key, path, [*properties], known))


def _annotation(schema: Schema) -> Any:
    """Return the annotation of a plain value, from which its schema was made; None for other values."""
    kind = schema.get("type")
    found: Any
    if "anyOf" in schema:
        options = [_annotation(option) for option in schema["anyOf"]]
        found = None if None in options else Union[tuple(options)]  # noqa: UP007 (the options are computed)
    elif "enum" in schema:
        found = None if kind is None else Literal[tuple(schema["enum"])]
    elif kind == "array":
        found = _tuple_annotation(schema)
    elif kind == "null":
        found = type(None)
    else:
        found = Annotated[PLAIN_TYPES[kind], Strict(), *_rules(schema)] if kind in PLAIN_TYPES else None
    return found


def _tuple_annotation(schema: Schema) -> Any:
    items = [_annotation(item) for item in schema.get("prefixItems", [schema.get("items", {})])]
    if None in items:
        return None
    if "prefixItems" in schema:
        return tuple[tuple(items)]  # type: ignore[misc]
    rules = _rules(schema)
    return Annotated[tuple[items[0], ...], *rules] if rules else tuple[items[0], ...]  # type: ignore[valid-type]


def _rules(schema: Schema) -> list[Any]:
    return [rule(schema[key]) for key, rule in RULES.items() if key in schema]


def _pick(node: YamlNode, schema: Schema, path: str, mistakes: list[str]) -> tuple[Schema, dict[str, Schema]]:
    """Return the schema of the mapping that a node is, and all members of its family by kind.

    It is empty where the kind is unknown, or is a class of the user.
    """
    objects = member_schemas(schema)
    kinds = [option["properties"].get("kind", {}).get("const") for option in objects]
    members = {kind: option for kind, option in zip(kinds, objects, strict=True) if kind is not None}
    if not members:
        return (objects[0] if objects else {}), {}
    kind, kind_path = node.resolve(["kind"], path)
    if kind is node:
        defaults = [member for member in members.values() if "kind" not in member["required"]]
        return (defaults[0] if len(defaults) == 1 else {}), members
    word = kind.to_python()
    if isinstance(word, str):
        word, arguments, _ = word.partition("(")
        if arguments and word in members:
            # Its settings are checked when the object is built.
            return {}, members
    if not isinstance(word, str) or (word not in members and ":" not in word and word not in plugin_names()):
        mistakes.append(unknown_kind_message(kind, kind_path, word, members))
    return (members.get(word, {}) if isinstance(word, str) else {}), members


def member_schemas(schema: Schema | None = None) -> list[Schema]:
    """Return the schemas of all mappings that a value may be, with references resolved; None is the scene itself."""
    schema = _schema() if schema is None else schema
    options = [_resolve(option) for option in _resolve(schema).get("anyOf", [schema])]
    options = [inner for option in options for inner in map(_resolve, option.get("anyOf", [option]))]
    return [option for option in options if "properties" in option]


def _resolve(schema: Schema) -> Schema:
    """Return a schema, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    found: Schema = _schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return found
