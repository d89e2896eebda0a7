"""Objects from scene files: optional keys, and the error for every mistake."""

import re

import pytest

from dimple.errors import SceneError
from dimple.scene.build import build
from dimple.scene.yaml_nodes import parse_yaml
from tests.scene.sketch import FAMILIES, Film, Margin, Plane, Sketch, Spectrum, Torus

SHAPE = "shape: {kind: torus}\n"
FILM_KEYS = "(known: size, spin, caption)"
SEED_RULE = "it must be less than 9223372036854775808"


def read(text: str) -> Sketch:
    return build(parse_yaml(text, "x.yaml"), Sketch, FAMILIES)


def test_every_form_of_field_is_read() -> None:
    scene = read(
        """
        shape:
          kind: plane
          offset: [1, 2.5]
          corners: [[0, 1], [2, 3]]
        name: no
        seed: 9223372036854775807
        torus: {major: 2}
        probes:
          - kind: spectrum
          - {kind: margin, norm: linf}
        film: {size: [320, 240], caption: "two\\nlines"}
        backdrop: {offset: [0]}
        """
    )
    assert scene == Sketch(
        shape=Plane(offset=(1.0, 2.5), corners=((0.0, 1.0), (2.0, 3.0))),
        name="no",
        seed=2**63 - 1,
        torus=Torus(major=2.0),
        probes=(Spectrum(), Margin(norm="linf")),
        film=Film(size=(320, 240), spin=False, caption="two\nlines"),
        backdrop=Plane(offset=(0.0,)),
    )
    assert all(isinstance(value, float) for value in scene.shape.offset)


def test_missing_keys_get_the_default_of_the_field_also_in_a_nested_mapping() -> None:
    assert read(SHAPE) == Sketch(shape=Torus())
    assert read(SHAPE + "torus: {minor: 0.5}").torus == Torus(major=3.0, minor=0.5)
    assert read(SHAPE + "torus: {kind: torus, minor: 0.5}").torus == Torus(major=3.0, minor=0.5)
    assert read(SHAPE + "film: {}").film == Film(spin=False)
    assert read(SHAPE + "probes: []").probes == ()
    assert read(SHAPE + "backdrop: null").backdrop is None


def test_another_kind_than_the_default_starts_from_its_own_defaults() -> None:
    assert read(SHAPE + "torus: {kind: plane, offset: [1]}").torus == Plane(offset=(1.0,))


# Leaf values, one line each, put at line 2 under the key that they break.
VALUES = {
    "seed: true": "seed is True; it must be an integer",
    "seed: '1'": "seed is '1'; it must be an integer",
    "seed: 1.0": "seed is 1.0; it must be an integer",
    "seed: 1e3": "seed is 1000.0; it must be an integer",
    "seed: -1": "seed is -1; it must be greater than or equal to 0",
    "seed: 1000000000000000000000000000000": f"seed is 1000000000000000000000000000000; {SEED_RULE}",
    "seed:": "seed is None; it must be an integer",
    "seed: 12:30:45": "seed is '12:30:45'; it must be an integer",
    "seed: [1]": "seed is [1]; it must be an integer",
    "name: 2": "name is 2; it must be a string",
    "name: {a: 1}": "name is {'a': 1}; it must be a string",
    "torus: {minor: .nan}": "torus.minor is nan; it must be finite",
    "torus: {minor: -.inf}": "torus.minor is -inf; it must be finite",
    "torus: {minor: 1e999}": "torus.minor is inf; it must be finite",
    "torus: {minor: 0}": "torus.minor is 0; it must be greater than 0",
    "torus: {minor: no}": "torus.minor is 'no'; it must be a number",
    "torus: {minor: true}": "torus.minor is True; it must be a number",
    "torus: {minor: '1'}": "torus.minor is '1'; it must be a number",
    "film: {spin: no}": "film.spin is 'no'; it must be a boolean",
    "film: {spin: 1}": "film.spin is 1; it must be a boolean",
    "film: {caption: 5}": "film.caption is 5; it must be a string",
    "film: {size: [640, 0]}": "film.size[1] is 0; it must be greater than or equal to 1",
    "film: {size: [640, 3.5]}": "film.size[1] is 3.5; it must be an integer",
    "film: {size: [640, 10000000000]}": ("film.size[1] is 10000000000; it must be less than or equal to 10000000"),
    "film: {size: [640]}": "film.size is [640]; it must have at least 2 items",
    "film: {size: [1, 2, 3]}": "film.size is [1, 2, 3]; it must have at most 2 items, not 3",
    "film: {size: 640}": "film.size is 640; it must be a tuple",
    "backdrop: {offset: [0, [1]]}": "backdrop.offset[1] is [1]; it must be a number",
    "backdrop: {offset: [0], corners: [[0, 1], [0, .nan]]}": ("backdrop.corners[1][1] is nan; it must be finite"),
    "probes: [{kind: margin, norm: l3}]": "probes[0].norm is 'l3'; it must be 'l2' or 'linf'",
    "probes: [{kind: margin}, {kind: margin, steps: 0}]": (
        "probes[1].steps is 0; it must be greater than or equal to 1"
    ),
}
VALUES["name: " + "a" * 300] = "name is '" + "a" * 76 + "...; it must have at most 64 characters"

FORMS = {
    "film: 5": "film is 5; it must be a mapping such as {size: ...}",
    "film:": "film is None; it must be a mapping such as {size: ...}",
    "film: [1]": "film is [1]; it must be a mapping such as {size: ...}",
    "torus: torus": "torus is 'torus'; it must be a mapping such as {kind: torus}",
    "probes: margin": "probes is 'margin'; it must be a list, one item per line after `- `",
    "probes: {kind: margin}": "probes is {'kind': 'margin'}; it must be a list, one item per line after `- `",
    "probes: [margin]": "probes[0] is 'margin'; it must be a mapping such as {kind: margin}",
    "probes: [{norm: l2}]": "probes[0].kind is missing; it must be one of margin, spectrum",
    "probes: [{kind: margni}]": "probes[0].kind is 'margni'; did you mean 'margin'?",
    "torus: {kind: tours}": "torus.kind is 'tours'; did you mean 'torus'?",
    "torus: {kind: xyz}": "torus.kind is 'xyz'; it must be one of torus, plane",
    "torus: {kind: 5}": "torus.kind is 5; it must be one of torus, plane",
    "torus: {kind: [torus]}": "torus.kind is ['torus']; it must be one of torus, plane",
    "torus: {kind: 'os:system'}": "torus.kind is 'os:system'; this is code that was not "
    "allowed; to trust and run it, give --allow-code os.py, or call dimple.allow_code('os.py')",
    "torus: {kind: plane}": "the key torus.offset is missing; add a line `offset: ...`",
    "backdrop: {}": "the key backdrop.offset is missing; add a line `offset: ...`",
    "film: {szie: [1, 2]}": f"unknown key film.szie; did you mean 'size'? {FILM_KEYS}",
    "film: {kind: web}": f"unknown key film.kind {FILM_KEYS}",
    "film: {'\\e': 1}": f"unknown key film.'\\\\e' {FILM_KEYS}",
    'film: {"\\e[31m\\u202e": 1}': f"unknown key film.'\\x1b[31m\\u202e' {FILM_KEYS}",
    "prbes: []": (
        "unknown key prbes; did you mean 'probes'? (known: shape, name, seed, torus, probes, film, backdrop)"
    ),
    "torus: {major: 0.1}": "torus.minor 0.25 must be below major 0.1",
    "backdrop: {offset: []}": "backdrop: the offset is empty; give numbers",
}


@pytest.mark.parametrize(("line", "message"), [*VALUES.items(), *FORMS.items()], ids=[*VALUES, *FORMS])
def test_every_mistake_has_its_sentence(line: str, message: str) -> None:
    with pytest.raises(SceneError) as caught:
        read(SHAPE + line)
    assert re.fullmatch(r"x\.yaml:2:\d+: " + re.escape(message), str(caught.value))


def test_all_mistakes_are_reported_together_each_with_its_line() -> None:
    with pytest.raises(SceneError) as caught:
        read(
            "shape: {kind: torus, minor: 2}\nsed: 1\nseed: -1\nprobes:\n- {kind: margni}\n- {kind: margin, steps: 0}\n"
        )
    known = "(known: shape, name, seed, torus, probes, film, backdrop)"
    assert caught.value.args == (
        f"x.yaml:2:1: unknown key sed; did you mean 'seed'? {known}",
        "x.yaml:1:22: shape.minor 2.0 must be below major 1.0",
        "x.yaml:3:1: seed is -1; it must be greater than or equal to 0",
        "x.yaml:5:4: probes[0].kind is 'margni'; did you mean 'margin'?",
        "x.yaml:6:18: probes[1].steps is 0; it must be greater than or equal to 1",
    )
    assert str(caught.value).splitlines() == list(caught.value.args)


LINES = {
    "value in a list": ("film:\n  size: [640,\n    0]\nshape: {kind: torus}", "x.yaml:3:5: film.size[1] is 0"),
    "value in a nested mapping": ("shape:\n  kind: torus\n  minor: -1", "x.yaml:3:3: shape.minor is -1"),
    "rule between fields": (
        "shape:\n  kind: torus\n  major: 1\n  minor: 2",
        "x.yaml:4:3: shape.minor 2.0 must be",
    ),
    "rule about the full object": (
        "seed: 1\nshape:\n  kind: plane\n  offset: []",
        "x.yaml:2:1: shape: the offset is empty",
    ),
    "kind": ("shape:\n\n  kind: ring", "x.yaml:3:3: shape.kind is 'ring'"),
    "no kind": ("seed: 1\nshape:\n  major: 1", "x.yaml:2:1: shape.kind is missing"),
    "nothing required": ("\nseed: 1", "x.yaml:2:1: the key shape is missing; add a line `shape: ...`"),
}


@pytest.mark.parametrize(("text", "message"), LINES.values(), ids=LINES)
def test_the_line_is_that_of_the_key_or_of_the_item(text: str, message: str) -> None:
    with pytest.raises(SceneError) as caught:
        read(text)
    assert str(caught.value).startswith(message)
