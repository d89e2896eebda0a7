"""YAML in scene files: the error for each forbidden form, and the values of plain scalars."""

import json
import math
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dimple.errors import SceneError
from dimple.scene.yaml_nodes import MAX_DEPTH, parse_scalar, parse_value, parse_yaml

LAUGHS = "a: &a [x, x]\n" + "\n".join(f"k{i}: &k{i} [*a, *a]" for i in range(40))

REFUSED = {
    "duplicate key": ("seed: 1\nseed: 2", "x.yaml:2:1: duplicate key seed (lines 1 and 2); keep one of them"),
    "nested duplicate": (
        "film:\n  spin: true\n  size: [1, 2]\n  spin: false",
        "x.yaml:4:3: duplicate key film.spin (lines 2 and 4); keep one of them",
    ),
    "duplicate in one line": ("{a: 1, b: 2, a: 3}", "x.yaml:1:14: duplicate key a; keep one of them"),
    "quoted duplicate": (
        "seed: 1\n'seed': 2",
        "x.yaml:2:1: duplicate key seed (lines 1 and 2); keep one of them",
    ),
    "python tag": (
        "seed: 1\nname: !!python/object/apply:posix ['true']",
        "x.yaml:2:7: tags are not allowed ('tag:yaml.org,2002:python/object/apply:posix'); write the plain value",
    ),
    "harmless tag": (
        "name: !!str 5",
        "x.yaml:1:7: tags are not allowed ('tag:yaml.org,2002:str'); write the plain value",
    ),
    "own tag": (
        "a: 1\nname: !mine {b: 1}",
        "x.yaml:2:7: tags are not allowed ('!mine'); write the plain value",
    ),
    "anchor": ("a: &b 1", "x.yaml:1:4: aliases are not allowed (&b); write the value out where it is used"),
    "recursive alias": (
        "a: &b [*b]",
        "x.yaml:1:4: aliases are not allowed (&b); write the value out where it is used",
    ),
    "unknown alias": (
        "a: *b",
        "x.yaml:1:4: aliases are not allowed (&b); write the value out where it is used",
    ),
    "billion laughs": (
        LAUGHS,
        "x.yaml:1:4: aliases are not allowed (&a); write the value out where it is used",
    ),
    "merge key": (
        "film:\n  <<: {spin: true}",
        "x.yaml:2:3: merge keys (<<) are not allowed; write the keys out where they are used",
    ),
    "empty": ("", "x.yaml:1:1: expected one mapping with keys such as `manifold:`, found nothing"),
    "comments only": (
        "# nothing\n",
        "x.yaml:2:1: expected one mapping with keys such as `manifold:`, found nothing",
    ),
    "scalar root": (
        "torus",
        "x.yaml:1:1: expected one mapping with keys such as `manifold:`, found a single value",
    ),
    "list root": ("\n- a\n- b", "x.yaml:2:1: expected one mapping with keys such as `manifold:`, found a list"),
    "two documents": (
        "a: 1\n---\nb: 2",
        "x.yaml:2:1: a second document begins here; a scene file holds one mapping",
    ),
    "number key": ("a: 1\n3: 2", "x.yaml:2:1: the key 3 is not a string; keys are strings"),
    "truth key": ("true: 2", "x.yaml:1:1: the key True is not a string; keys are strings"),
    "null key": ("~: 2", "x.yaml:1:1: the key None is not a string; keys are strings"),
    "list key": ("? [a, b]\n: 2", "x.yaml:1:3: a list or a mapping cannot be a key; keys are strings"),
    "deep lists": ("a: " + "[" * 2000, "x.yaml:1:35: is nested too deep; a scene has at most 32 levels"),
    "deep mappings": (
        "\n".join("  " * level + "a:" for level in range(2000)),
        "x.yaml:33:65: is nested too deep; a scene has at most 32 levels",
    ),
    "5000 digits": (
        "a:\n  seed: " + "7" * 5000,
        "x.yaml:2:9: a.seed is a number of 5000 digits; it must have at most 100",
    ),
    "hex digits": (
        "b: [1, 0x" + "f" * 9000 + "]",
        "x.yaml:1:8: b[1] is a number of 9002 digits; it must have at most 100",
    ),
    "unclosed list": (
        "a: 1\nb: [1, 2\n",
        "x.yaml:3:1: is not YAML: expected ',' or ']', but got '<stream end>'",
    ),
    "colon in value": (
        "name: a: b",
        "x.yaml:1:8: is not YAML: mapping values are not allowed here",
    ),
    "tab before value": (
        "a: 1\nb:\t@",
        "x.yaml:2:3: is not YAML: found character '\\t' that cannot start any token",
    ),
    "beyond unicode": (
        'a: 1\nb: "\\UFFFFFFFF"',
        "x.yaml:2:1: an escape from this line on is not a character; remove it",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_forbidden_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SceneError) as caught:
        parse_yaml(text, "x.yaml")
    assert str(caught.value) == message


def test_laughs_and_nesting_take_little_memory() -> None:
    tracemalloc.start()
    for text in (LAUGHS, "a: " + "[" * 900_000, "a: " + "{b: " * 200_000):
        with pytest.raises(SceneError):
            parse_yaml(text, "x.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


def test_the_deepest_allowed_nesting_is_read() -> None:
    lists = MAX_DEPTH - 2
    node = parse_yaml("a: " + "[" * lists + "1" + "]" * lists, "x.yaml")
    assert str(node.to_python()["a"]).count("[") == lists


# Scalars and their values by YAML 1.2.2, section 10.3.2, and words that YAML 1.1 reads differently.
WORDS = {
    "no": "no", "off": "off", "y": "y", "True": True, "FALSE": False, "tRue": "tRue", "~": None, "Null": None,
    "nULL": "nULL", "": None, "0": 0, "-19": -19, "+12": 12, "0123": 123, "0o14": 12, "0x3A": 58,
    "0b11": "0b11",
    "1_000": "1_000", "12:30": "12:30", "12:30:45": "12:30:45", "190:20:30.15": "190:20:30.15",
    "2024-01-01": "2024-01-01", "2001-12-14t21:59:43.10-05:00": "2001-12-14t21:59:43.10-05:00", "1e-3": 1e-3,
    "0.": 0.0, "-0.0": -0.0, ".5": 0.5, "+12e03": 12e3, "-2E+05": -2e5, "1e999": math.inf, ".inf": math.inf,
    "-.Inf": -math.inf, "+.INF": math.inf, "inf": "inf", "nan": "nan", ".": ".", "-": "-", "1.2.3": "1.2.3",
    "0o18": "0o18", "0xZ": "0xZ", "=": "=",
}  # fmt: skip


@pytest.mark.parametrize(("word", "value"), WORDS.items(), ids=[repr(word) for word in WORDS])
def test_plain_scalars_have_the_values_of_yaml_1_2(word: str, value: object) -> None:
    assert repr(parse_scalar(word)) == repr(value)


def test_nan_is_read_as_nan() -> None:
    assert math.isnan(parse_scalar(".NaN"))  # type: ignore[arg-type]


def test_quotes_and_blocks_make_strings() -> None:
    node = parse_yaml("a: '1'\nb: \"no\\x41\"\nc: |\n  12\nd: >-\n  1\n  2\n", "x.yaml")
    assert node.to_python() == {"a": "1", "b": "noA", "c": "12\n", "d": "1 2"}


def test_locations_are_the_places_of_keys_and_items() -> None:
    node = parse_yaml("---\na:\n  b:\n    7\nc: [1,\n    2]\nd:\n- {e: 3}\n...\n", "x.yaml")
    found = {
        path: node.resolve(keys, "")[0].source_location
        for keys, path in [
            (["a"], "a"),
            (["a", "b"], "a.b"),
            (["c", 1], "c[1]"),
            (["d", 0, "e"], "d[0].e"),
        ]
        if node.resolve(keys, "")[1] == path
    }
    assert found == {"a": "x.yaml:2:1", "a.b": "x.yaml:3:3", "c[1]": "x.yaml:6:5", "d[0].e": "x.yaml:8:4"}


def test_a_value_from_the_command_line_has_its_flag_as_location() -> None:
    node = parse_value("[1, {a: no}]", "--set b")
    assert node.to_python() == [1, {"a": "no"}]
    assert node.resolve([1, "a"], "b")[0].source_location == "--set b"


# JSON writes characters beyond U+FFFF as two escapes, which YAML does not join; a key << is a merge key.
words = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=10).filter("<<".__ne__)
plain_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(words, plain_data, max_size=4))
def test_json_is_read_as_json(data: dict[str, object]) -> None:
    """YAML 1.2 contains JSON, so the two must agree on every JSON document that is not too deep."""
    text = json.dumps(data)
    assert parse_yaml(text, "x.yaml").to_python() == data


@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,? \n0.~<", max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    """A fuzz over YAML's punctuation: no other error than ours, and the keys that PyYAML reads."""
    try:
        keys = set(parse_yaml(text, "x.yaml").to_python())
    except SceneError as error:
        refusal = str(error)
    else:
        refusal = "x.yaml:"
        assert keys == set(yaml.load(text, Loader=yaml.BaseLoader))
    assert refusal.startswith("x.yaml:")
    assert "\n" not in refusal
