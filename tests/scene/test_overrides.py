"""`--set` gives the same scene as an edit of the file, and is named in the error if the scene is invalid."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimple.errors import SceneError, UsageError
from dimple.scene.build import build
from dimple.scene.overrides import override
from dimple.scene.yaml_nodes import parse_yaml
from tests.scene.sketch import FAMILIES, Sketch

TEXT = """shape: {{kind: torus, minor: {minor}}}
seed: {seed}
film:
  size: [640, {height}]
  caption: {caption}
probes:
  - {{kind: spectrum}}
  - {{kind: margin, steps: {steps}}}
"""
BEFORE = {"minor": "0.25", "seed": "0", "height": "480", "caption": "null", "steps": "50"}
PATHS = {
    "minor": "shape.minor",
    "seed": "seed",
    "height": "film.size[1]",
    "caption": "film.caption",
    "steps": "probes.1.steps",
}
values = st.fixed_dictionaries(
    {},
    optional={
        "minor": st.floats(0.001, 0.9).map(repr),
        "seed": st.integers(0, 2**63 - 1).map(str),
        "height": st.sampled_from(["1", "0x10", "0123", " 7 "]),
        "caption": st.sampled_from(["no", "~", "'a = b'", '"\\e"', "12:30", "x=y"]),
        "steps": st.integers(1, 10**7).map(str),
    },
)


def scene_text(**changes: str) -> str:
    return TEXT.format(**{**BEFORE, **changes})


@given(values)
def test_overriding_equals_editing_the_file(changes: dict[str, str]) -> None:
    node = parse_yaml(scene_text(), "x.yaml")
    for name, value in changes.items():
        node = override(node, f"{PATHS[name]}={value}")
    edited = parse_yaml(scene_text(**changes), "x.yaml")
    assert node.to_python() == edited.to_python()
    assert build(node, Sketch, FAMILIES) == build(edited, Sketch, FAMILIES)


def test_the_scene_itself_is_not_changed() -> None:
    node = parse_yaml(scene_text(), "x.yaml")
    override(override(node, "film.size.0=1"), "seed=9")
    assert node.to_python() == parse_yaml(scene_text(), "x.yaml").to_python()


def test_missing_mappings_and_lists_are_added() -> None:
    node = parse_yaml("shape: {kind: torus}\nfilm:\n", "x.yaml")
    for assignment in (
        "torus.minor=0.5",
        "probes=[{kind: margin, norm: linf}]",
        "probes.0.steps=3",
        "film.spin=true",
    ):
        node = override(node, assignment)
    scene = build(node, Sketch, FAMILIES)
    assert (scene.torus.minor, scene.torus.major, scene.film.spin) == (0.5, 3.0, True)
    assert (scene.probes[0].norm, scene.probes[0].steps) == ("linf", 3)


MISTAKES = {
    "sed=1": "--set sed: unknown key sed; did you mean 'seed'? "
    "(known: shape, name, seed, torus, probes, film, backdrop)",
    "shape.minro=1": "--set shape.minro: unknown key shape.minro; did you mean 'minor'? (known: kind, major, minor)",
    "shpe.minor=1": "--set shpe.minor: unknown key shpe; did you mean 'shape'? "
    "(known: shape, name, seed, torus, probes, film, backdrop)",
    "seed=-1": "--set seed: seed is -1; it must be greater than or equal to 0",
    "seed=": "--set seed: seed is None; it must be an integer",
    "seed=1=2": "--set seed: seed is '1=2'; it must be an integer",
    "film.size.1=.nan": "--set film.size[1]: film.size[1] is nan; it must be finite",
    "film.size=[1, 0]": "--set film.size: film.size[1] is 0; it must be greater than or equal to 1",
    "shape.kind=tours": "--set shape.kind: shape.kind is 'tours'; did you mean 'torus'?",
    "shape.minor=2": "--set shape.minor: shape.minor 2.0 must be below major 1.0",
    "probes.7.steps=1": "--set probes[7].steps: probes has 2 items, counted from 0; item 7 does not exist",
    "probes.margin.steps=1": "--set probes.margin.steps: probes is [{'kind': 'spectrum'}, {'kind': 'margin', "
    "'steps': 50}] and has no key margin; give the full value, as in --set 'probes=...'",
    "backdrop.corners.0=1": "--set backdrop.corners[0]: backdrop.corners is not in the scene file "
    "and has no list item 0; give the full value, as in --set 'backdrop.corners=...'",
    "seed.low=1": "--set seed.low: seed is 0 and has no key low; give the full value, as in --set 'seed=...'",
    "seed=[1": "--set seed, column 3: is not YAML: expected ',' or ']', but got '<stream end>'",
    "seed=!!int 1": "--set seed: tags are not allowed ('tag:yaml.org,2002:int'); write the plain value",
    "film={spin: true, spin: false}": "--set film: duplicate key spin; keep one of them",
    "seed=" + "1" * 5000: "--set seed: the value is a number of 5000 digits; it must have at most 100",
    "name=\x1b[31m": "--set name, column 1: holds the control character '\\x1b'; remove it, or write it as an "
    'escape in "double quotes"',
}


@pytest.mark.parametrize(("assignment", "message"), MISTAKES.items(), ids=[key[:30] for key in MISTAKES])
def test_a_mistake_names_the_flag(assignment: str, message: str) -> None:
    with pytest.raises(SceneError) as caught:
        build(override(parse_yaml(scene_text(), "x.yaml"), assignment), Sketch, FAMILIES)
    assert str(caught.value) == message


@pytest.mark.parametrize("assignment", ["seed", "=1", "a..b=1", ".a=1", "a[=1", "0 1=2", "", "a.[0]=1"])
def test_an_invalid_assignment_is_a_usage_error(assignment: str) -> None:
    with pytest.raises(UsageError) as caught:
        override(parse_yaml(scene_text(), "x.yaml"), assignment)
    assert str(caught.value) == (f"--set {assignment!r}: write --set key.path=value, as in --set training.steps=500")
