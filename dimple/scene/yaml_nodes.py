"""YAML text as nodes that know their line: mappings, lists and scalars, and nothing else that YAML can do.

Scene files come from strangers, so aliases, merge keys, tags and second documents are refused when they are
met, before anything is built; plain scalars are read by the core rules of YAML 1.2, where `no` is a word and
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
from dimple.settings import shown

Scalar: TypeAlias = str | int | float | bool | None
Content: TypeAlias = "Scalar | dict[str, Node] | list[Node]"

DEEPEST = 32
LONGEST_INTEGER = 100
NULL = re.compile(r"~|null|Null|NULL|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@final
@dataclass(frozen=True)
class Node:
    """A piece of a scene file: its content, and the place that an error about it names.

    Attributes:
        content: a scalar, a dict from key to node or a list of nodes.
        place: `scenes/torus.yaml:4`, or `--set training.steps` for a value from the command line.
    """

    content: Content
    place: str

    def plain(self) -> Any:
        """The content as ordinary numbers, words, dicts and lists.

        Example:
            >>> parse_yaml("a: [1, 1e-3, no]", "x.yaml").plain()
            {'a': [1, 0.001, 'no']}
        """
        if isinstance(self.content, dict):
            return {key: child.plain() for key, child in self.content.items()}
        if isinstance(self.content, list):
            return [child.plain() for child in self.content]
        return self.content

    def children(self) -> list[tuple[int | str, "Node"]]:
        """The entries of a mapping or the items of a list, with their keys; none for a scalar."""
        if isinstance(self.content, dict):
            return list(self.content.items())
        return list(enumerate(self.content)) if isinstance(self.content, list) else []

    def follow(self, location: Sequence[int | str], path: str) -> tuple["Node", str]:
        """The node that `location` leads to from this one, which is called `path`, and its own path."""
        node = self
        for step in location:
            for key, child in node.children():
                if key == step:
                    node, path = child, join(path, step)
                    break
        return node, path


def join(path: str, step: int | str) -> str:
    """The dotted name of an item or a key of what is called `path`.

    Example:
        >>> join("probes", 0), join("probes[0]", "norm"), join("", "seed")
        ('probes[0]', 'probes[0].norm', 'seed')
    """
    if isinstance(step, int):
        return f"{path}[{step}]"
    word = step if re.fullmatch(r"[\w-]{1,64}", step) else shown(step)
    return f"{path}.{word}" if path else word


def parse_yaml(text: str, file: str) -> Node:
    r"""The one mapping that the scene file `file` holds.

    Raises:
        SceneError: naming `file` and the line, for whatever is outside the part of YAML that scenes may use.

    Example:
        >>> parse_yaml("seed: 1\nseed: 2", "x.yaml")
        Traceback (most recent call last):
        dimple.errors.SceneError: x.yaml:2: duplicate key seed (lines 1 and 2); keep one of them
    """
    node = _Walk(text, file, by_line=True).document()
    if not isinstance(node.content, dict):
        found = {list: "a list", type(None): "nothing"}.get(type(node.content), "a single value")
        raise SceneError(f"{node.place}: expected one mapping with keys such as `manifold:`, found {found}")
    return node


def parse_value(text: str, place: str) -> Node:
    """A value as it would stand after `key: ` in a scene file; all of it is at `place`.

    Example:
        >>> parse_value("[1, 2.5]", "--set film.size").plain()
        [1, 2.5]
    """
    require_printable(text, lambda _: place)
    return _Walk(text, place, by_line=False).document()


def scalar(text: str) -> Scalar:
    """The value of an unquoted word by the core rules of YAML 1.2.

    Example:
        >>> [scalar(word) for word in ("no", "1e-3", "0123", "12:30", "0x1f", "~", "true")]
        ['no', 0.001, 123, '12:30', 31, None, True]
    """
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text.lower() == "true"
    if INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Walk:
    """One pass over the events of the parser; that one is not recursive, so the depth can be bounded here."""

    def __init__(self, text: str, source: str, *, by_line: bool) -> None:
        self.source = source
        self.by_line = by_line
        self.line = 1
        self.events = self._events(text)

    def place(self, line: int | None = None) -> str:
        return f"{self.source}:{line or self.line}" if self.by_line else self.source

    def document(self) -> Node:
        """The only document of the text; an empty text is null."""
        next(self.events)
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            return Node(None, self.place())
        node = self._node(next(self.events), "", 1)
        next(self.events)
        if not isinstance(next(self.events), yaml.StreamEndEvent):
            raise SceneError(f"{self.place()}: a second document begins here; a scene file holds one mapping")
        return node

    def _events(self, text: str) -> Iterator[yaml.Event]:
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                self.line = event.start_mark.line + 1 if event.start_mark else self.line
                yield event
        except yaml.MarkedYAMLError as error:
            line, column = 1, 1
            if error.problem_mark is not None:
                line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
            raise SceneError(f"{self.place(line)}: is not YAML at column {column}: {error.problem}") from None
        except (ValueError, OverflowError):
            # PyYAML turns the digits of \U escapes and %YAML directives into numbers unchecked.
            raise SceneError(
                f"{self.place()}: an escape from this line on stands for no character; remove it"
            ) from None

    def _node(self, event: yaml.Event, path: str, depth: int) -> Node:
        place = self.place()
        if depth > DEEPEST:
            raise SceneError(f"{place}: is nested too deep; a scene has at most {DEEPEST} levels")
        assert isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise SceneError(
                f"{place}: aliases are not allowed (&{event.anchor}); write the value out where it is used"
            )
        assert isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent)
        if event.tag is not None:
            raise SceneError(f"{place}: tags are not allowed ({shown(event.tag)}); write the plain value")
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self._mapping(path, depth), place)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        return Node(self._sequence(path, depth), place)

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> Node:
        place = self.place()
        if not event.implicit[0]:  # quoted, or a block of text
            return Node(event.value, place)
        if len(event.value) > LONGEST_INTEGER and INT.fullmatch(event.value):
            raise SceneError(
                f"{place}: {path or 'the value'} is a number of {len(event.value)} digits; "
                f"it must have at most {LONGEST_INTEGER}"
            )
        return Node(scalar(event.value), place)

    def _sequence(self, path: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, join(path, len(items)), depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = self.line
            key = self._key(event, path, depth)
            if key in entries:
                both = f" (lines {lines[key]} and {line})" if self.by_line and lines[key] != line else ""
                raise SceneError(f"{self.place(line)}: duplicate key {join(path, key)}{both}; keep one of them")
            value = self._node(next(self.events), join(path, key), depth + 1)
            # An error about a section is looked for at its key, not at the first line within.
            entries[key] = value if self.place(line) == value.place else replace(value, place=self.place(line))
            lines[key] = line
        return entries

    def _key(self, event: yaml.Event, path: str, depth: int) -> str:
        place = self.place()
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            raise SceneError(f"{place}: a list or a mapping cannot be a key; keys are words")
        node = self._node(event, path, depth)
        if node.content == "<<":
            raise SceneError(f"{place}: merge keys (<<) are not allowed; write the keys out where they are used")
        if not isinstance(node.content, str):
            raise SceneError(f"{place}: the key {shown(node.content)} is not a word; keys are words")
        return node.content
