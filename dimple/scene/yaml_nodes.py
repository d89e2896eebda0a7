"""Parsing of YAML text to nodes with line numbers: mappings, lists and scalars only.

Scene files may come from untrusted sources, so aliases, merge keys, tags and second documents are refused during
parsing, before anything is built. Plain scalars follow the core schema of YAML 1.2, in which `no` is a string and
`1e-3` a number.

Reference: YAML 1.2.2, section 10.3 (core schema).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, final

import yaml

from dimple.errors import SceneError
from dimple.scene.yaml_text import require_printable
from dimple.settings import format_value

Scalar: TypeAlias = str | int | float | bool | None
Content: TypeAlias = "Scalar | dict[str, YamlNode] | list[YamlNode]"

# Line and column.
Place: TypeAlias = tuple[int, int]

MAX_DEPTH = 32
# Of one mapping, since no class has so many settings; and of all mappings and lists, which take a second.
MAX_KEYS = 500
MAX_VALUES = 50_000
MAX_INTEGER_DIGITS = 100
NULL_PATTERN = re.compile(r"~|null|Null|NULL|")
BOOL_PATTERN = re.compile(r"true|True|TRUE|false|False|FALSE")
INT_PATTERN = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT_PATTERN = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@final
@dataclass(frozen=True)
class YamlNode:
    """A node of a scene file: its content and its location for error messages.

    Attributes:
        content: a scalar, a dict from key to node or a list of nodes.
        source_location: `scenes/torus.yaml:4:3` (line and column of the key), or `--set training.steps` for a value
            from the command line.
    """

    content: Content
    source_location: str

    def to_python(self) -> Any:
        """Return the content as numbers, strings, dicts and lists.

        Example:
            >>> parse_yaml("a: [1, 1e-3, no]", "x.yaml").to_python()
            {'a': [1, 0.001, 'no']}
        """
        if isinstance(self.content, dict):
            return {key: child.to_python() for key, child in self.content.items()}
        if isinstance(self.content, list):
            return [child.to_python() for child in self.content]
        return self.content

    @classmethod
    def from_python(cls, value: Any, source_location: str) -> "YamlNode":
        """Return the node of a value of numbers, strings, dicts, lists and tuples.

        Example:
            >>> YamlNode.from_python((1, {"a": 0.5}), "x.yaml:1:1").to_python()
            [1, {'a': 0.5}]
        """
        if isinstance(value, dict):
            return cls(
                {str(key): cls.from_python(item, source_location) for key, item in value.items()}, source_location
            )
        if isinstance(value, list | tuple):
            return cls([cls.from_python(item, source_location) for item in value], source_location)
        return cls(value, source_location)

    def children(self) -> list[tuple[int | str, "YamlNode"]]:
        """Return the entries of a mapping or the items of a list, with their keys; an empty list for a scalar."""
        if isinstance(self.content, dict):
            return list(self.content.items())
        return list(enumerate(self.content)) if isinstance(self.content, list) else []

    def resolve(self, keys: Sequence[int | str], path: str) -> tuple["YamlNode", str]:
        """Follow `keys` from this node, which has the path `path`, and return the node at the end and its path.

        A key that does not exist is skipped.
        """
        node = self
        for key in keys:
            child = dict(node.children()).get(key)
            if child is not None:
                node = child
                path = join_path(path, key)
        return node, path


def join_path(path: str, key: int | str) -> str:
    """Return the dotted path of an item or key of the node with the path `path`.

    Example:
        >>> join_path("probes", 0), join_path("probes[0]", "norm"), join_path("", "seed")
        ('probes[0]', 'probes[0].norm', 'seed')
    """
    if isinstance(key, int):
        return f"{path}[{key}]"
    word = key if re.fullmatch(r"[\w-]{1,64}", key) else format_value(key)
    return f"{path}.{word}" if path else word


def parse_yaml(text: str, file: str) -> YamlNode:
    r"""Parse the text of the scene file `file`, which holds one mapping.

    Raises:
        SceneError: if the text uses more of YAML than scenes may, with the file, the line and the column.

    Example:
        >>> parse_yaml("seed: 1\nseed: 2", "x.yaml")
        Traceback (most recent call last):
        dimple.errors.SceneError: x.yaml:2:1: duplicate key seed (lines 1 and 2); keep one of them
    """
    node = _YamlParser(text, file, show_places=True).parse_document()
    if not isinstance(node.content, dict):
        found = {list: "a list", type(None): "nothing"}.get(type(node.content), "a single value")
        raise SceneError(f"{node.source_location}: expected one mapping with keys such as `manifold:`, found {found}")
    return node


def parse_value(text: str, source_location: str) -> YamlNode:
    """Parse a value as if written after `key: ` in a scene file; all nodes have the location `source_location`.

    Example:
        >>> parse_value("[1, 2.5]", "--set film.size").to_python()
        [1, 2.5]
    """
    require_printable(text, lambda _, column: f"{source_location}, column {column}")
    return _YamlParser(text, source_location, show_places=False).parse_document()


def parse_scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar by the core schema of YAML 1.2.

    Example:
        >>> [parse_scalar(word) for word in ("no", "1e-3", "0123", "12:30", "0x1f", "~", "true")]
        ['no', 0.001, 123, '12:30', 31, None, True]
    """
    if NULL_PATTERN.fullmatch(text):
        return None
    if BOOL_PATTERN.fullmatch(text):
        return text.lower() == "true"
    if INT_PATTERN.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if FLOAT_PATTERN.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _place(mark: Any) -> Place | None:
    """Return the line and the column of a mark, both counted from 1."""
    return None if mark is None else (mark.line + 1, mark.column + 1)


class _YamlParser:
    """A parser of one document; it reads the flat event stream of PyYAML, so it can limit the nesting depth."""

    def __init__(self, text: str, source: str, *, show_places: bool) -> None:
        self.source = source
        self.show_places = show_places
        # Line and column.
        self.place = (1, 1)
        self.events = self._read_events(text)

    def source_location(self, place: Place | None = None) -> str:
        line, column = place or self.place
        return f"{self.source}:{line}:{column}" if self.show_places else self.source

    def parse_document(self) -> YamlNode:
        """Parse the only document of the text; an empty text is null."""
        next(self.events)
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            return YamlNode(None, self.source_location())
        node = self._read_node(next(self.events), "", 1)
        next(self.events)
        if not isinstance(next(self.events), yaml.StreamEndEvent):
            raise SceneError(f"{self.source_location()}: a second document begins here; a scene file holds one mapping")
        return node

    def _read_events(self, text: str) -> Iterator[yaml.Event]:
        try:
            for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
                self.place = _place(event.start_mark) or self.place
                if count > MAX_VALUES:
                    raise SceneError(f"{self.source_location()}: has more than {MAX_VALUES} values; a scene has fewer")
                yield event
        except SceneError:
            raise
        except yaml.MarkedYAMLError as error:
            place = _place(error.problem_mark) or (1, 1)
            location = self.source_location(place) if self.show_places else f"{self.source}, column {place[1]}"
            raise SceneError(f"{location}: is not YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            cause = " ".join(str(error).split())
            raise SceneError(f"{self.source_location()}: is not YAML ({cause})") from None
        except (ValueError, OverflowError):
            # PyYAML converts the digits of \U escapes and %YAML directives without a check.
            raise SceneError(
                f"{self.source_location()}: an escape from this line on is not a character; remove it"
            ) from None

    def _read_node(self, event: yaml.Event, path: str, depth: int) -> YamlNode:
        location = self.source_location()
        if depth > MAX_DEPTH:
            raise SceneError(f"{location}: is nested too deep; a scene has at most {MAX_DEPTH} levels")
        assert isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise SceneError(
                f"{location}: aliases are not allowed (&{event.anchor}); write the value out where it is used"
            )
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.tag is not None:
            raise SceneError(f"{location}: tags are not allowed ({format_value(event.tag)}); write the plain value")
        if isinstance(event, yaml.MappingStartEvent):
            return YamlNode(self._read_mapping(path, depth), location)
        if isinstance(event, yaml.ScalarEvent):
            return self._read_scalar(event, path)
        return YamlNode(self._read_sequence(path, depth), location)

    def _read_scalar(self, event: yaml.ScalarEvent, path: str) -> YamlNode:
        location = self.source_location()
        if not event.implicit[0]:  # quoted, or a block of text
            return YamlNode(event.value, location)
        if len(event.value) > MAX_INTEGER_DIGITS and INT_PATTERN.fullmatch(event.value):
            raise SceneError(
                f"{location}: {path or 'the value'} is a number of {len(event.value)} digits; "
                f"it must have at most {MAX_INTEGER_DIGITS}"
            )
        return YamlNode(parse_scalar(event.value), location)

    def _read_sequence(self, path: str, depth: int) -> list[YamlNode]:
        items: list[YamlNode] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._read_node(event, join_path(path, len(items)), depth + 1))
        return items

    def _read_mapping(self, path: str, depth: int) -> dict[str, YamlNode]:
        entries: dict[str, YamlNode] = {}
        places: dict[str, Place] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = self.place
            key = self._read_key(event, path, depth)
            if len(entries) == MAX_KEYS:
                raise SceneError(f"{self.source_location(place)}: {path or 'the scene'} has more than {MAX_KEYS} keys")
            if key in entries:
                lines = (places[key][0], place[0])
                numbers = f" (lines {lines[0]} and {lines[1]})" if self.show_places and lines[0] != lines[1] else ""
                raise SceneError(
                    f"{self.source_location(place)}: duplicate key {join_path(path, key)}{numbers}; keep one of them"
                )
            value = self._read_node(next(self.events), join_path(path, key), depth + 1)
            # An error about a value gives the place of its key, also where the value begins on a later line.
            entries[key] = replace(value, source_location=self.source_location(place))
            places[key] = place
        return entries

    def _read_key(self, event: yaml.Event, path: str, depth: int) -> str:
        location = self.source_location()
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            raise SceneError(f"{location}: a list or a mapping cannot be a key; keys are strings")
        node = self._read_node(event, path, depth)
        if node.content == "<<":
            raise SceneError(f"{location}: merge keys (<<) are not allowed; write the keys out where they are used")
        if not isinstance(node.content, str):
            raise SceneError(f"{location}: the key {format_value(node.content)} is not a string; keys are strings")
        return node.content
