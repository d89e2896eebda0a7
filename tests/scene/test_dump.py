"""The law of the writer: its text is read back as an equal object."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from dimple.scene.build import build
from dimple.scene.dump import dump
from dimple.scene.yaml_nodes import parse_yaml
from tests.scene.sketch import FAMILIES, Film, Margin, Plane, Sketch, Spectrum, Torus

finite = st.floats(-1e11, 1e11).filter(lambda value: value == 0 or abs(value) > 1e-11)
count = st.integers(1, 10**7)
minors = st.floats(1e-11, 1e11)
toruses = minors.map(lambda minor: Torus(major=minor * 1.5, minor=minor))
planes = st.builds(
    Plane,
    offset=st.lists(finite, min_size=1, max_size=20).map(tuple),
    corners=st.lists(st.tuples(finite, finite), max_size=3).map(tuple),
)
shapes = toruses | planes
margins = st.builds(Margin, norm=st.sampled_from(["l2", "linf"]), steps=count)
traps = st.sampled_from(
    [
        "no",
        "1e-3",
        "0x1F",
        "0o7",
        "012",
        "12:30",
        "2024-01-01",
        "~",
        "",
        "null",
        "True",
        ".nan",
        "1_0",
        "=",
        "<<",
        "- a",
    ]
)
sketches = st.builds(
    Sketch,
    shape=shapes,
    name=st.text(max_size=64) | traps,
    seed=st.integers(0, 2**63 - 1),
    torus=shapes,
    probes=st.lists(margins | st.just(Spectrum()), max_size=4).map(tuple),
    film=st.builds(
        Film,
        size=st.tuples(count, count),
        spin=st.booleans(),
        caption=st.none() | st.text(max_size=300) | traps,
    ),
    backdrop=st.none() | planes,
)


@given(sketches)
def test_the_text_reads_back_as_an_equal_object(scene: Sketch) -> None:
    text = dump(scene, FAMILIES)
    assert build(parse_yaml(text, "x.yaml"), Sketch, FAMILIES) == scene


@given(sketches)
def test_a_reader_of_yaml_1_1_reads_the_same_values(scene: Sketch) -> None:
    """A library for YAML 1.1 reads the same scene, so that it does not turn `no` into False."""
    text = dump(scene, FAMILIES)
    assert yaml.safe_load(text) == parse_yaml(text, "x.yaml").to_python()


def test_the_text_has_the_order_of_the_fields() -> None:
    scene = Sketch(
        shape=Plane(offset=(0.5,), corners=((0.0, 1e-5),)),
        name="no",
        probes=(Margin(), Spectrum()),
        film=Film(),
    )
    assert dump(scene, FAMILIES) == (
        "shape:\n"
        "  kind: plane\n"
        "  offset: [0.5]\n"
        "  corners: [[0.0, 1.0e-05]]\n"
        "name: 'no'\n"
        "seed: 0\n"
        "torus:\n"
        "  kind: torus\n"
        "  major: 3.0\n"
        "  minor: 0.25\n"
        "probes:\n"
        "  - kind: margin\n"
        "    norm: l2\n"
        "    steps: 50\n"
        "  - kind: spectrum\n"
        "film:\n"
        "  size: [640, 480]\n"
        "  spin: true\n"
        "  caption: null\n"
        "backdrop: null\n"
    )


def test_a_class_in_no_table_is_written_by_its_address() -> None:
    families = {**FAMILIES, next(iter(FAMILIES)): {"plane": Plane}}
    assert "kind: tests.scene.sketch:Torus\n" in dump(Sketch(shape=Torus()), families)
