"""Own manifolds, probes and objectives: a function or a short class, used by name, refused where it does not fit."""

import importlib.metadata
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dimple import Run, load_scene, measure, names, simulate
from dimple.errors import ModelError, SceneError, ShapeError, UsageError
from dimple.experiment import write_figures
from dimple.experiment.probing.build_probes import find_probe
from dimple.manifolds import Circle, chart_manifold
from dimple.names import installed_plugins
from dimple.probes import function_probe
from dimple.scene import allow_code, own_code, plugins
from dimple.scene.scene import FAMILIES
from dimple.tensors import generator

CODE = '''
import torch

from dimple.manifolds import chart_manifold
from dimple.probes import function_probe


@chart_manifold(low=0.0, high=2 * torch.pi, periodic=True)
def ring(z, radius: float = 1.0):
    """A circle."""
    return radius * torch.cat([z.cos(), z.sin()], dim=1)


@function_probe("l2, input units")
def linear_margin(boundary, x, y, scale: float = 1.0):
    """The logit margin over the length of its gradient."""
    margin, gradient = boundary.logit_margin_and_gradient(x, y)
    return scale * margin / gradient.flatten(1).norm(dim=1)
'''
SHORT = ["training.steps=4", "snapshots.count=2", "levelset={kind: none}"]


@pytest.fixture
def code(tmp_path: Path) -> Iterator[Path]:
    """A file of plug-ins; what it registers is forgotten after the test."""
    before = {base: dict(table) for base, table in FAMILIES.items()}
    allowed = dict(own_code._allowed)
    (tmp_path / "my_plugins.py").write_text(CODE)
    yield tmp_path / "my_plugins.py"
    for base, table in FAMILIES.items():
        table.clear()
        table.update(before[base])
    own_code._allowed.clear()
    own_code._allowed.update(allowed)
    sys.modules.pop("my_plugins", None)


def dimple(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dimple", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_chart_is_a_manifold_with_exact_geometry() -> None:
    @chart_manifold(low=0.0, high=2 * torch.pi, periodic=True)
    def ring(z: Tensor, radius: float = 1.0) -> Tensor:
        return radius * torch.cat([z.cos(), z.sin()], dim=1)

    own, known = ring(radius=0.5), Circle(radius=0.5)
    x = torch.randn(20, 2, generator=generator(0), dtype=torch.float64)
    assert (own.dim, own.ambient_dim) == (1, 2) and own == ring(radius=0.5) != ring()
    torch.testing.assert_close(own.project(x), known.project(x))
    assert own.volume == pytest.approx(known.volume) and own.reach == pytest.approx(known.reach, rel=1e-6)


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda z: z, r"maps parameters \(8, 1\) to \(8, 1\); it returns points \(B, n\), n > 1"),
        (lambda z: torch.cat([z, z], 1).float(), r"type torch.float32 .* call \.double\(\)"),
        (lambda z: torch.ones(len(z), 2, dtype=z.dtype), "derivative of the chart has rank 0 instead of 1"),
        (lambda z: torch.cat([z**2, z**3], 1), r"no tangent space at \(0\), as at the pole of a sphere"),
        (lambda z: torch.cat([z, z], 1).detach(), "rank 0 instead of 1"),
        (lambda z: z @ torch.ones(3, 2), "the chart fails on float64 parameters"),
        (lambda z: 3, r"maps parameters \(8, 1\) to int"),
    ],
)
def test_a_function_that_is_no_chart_is_refused_when_it_is_first_seen(function: Any, problem: str) -> None:
    function.__name__ = "wave"
    with pytest.raises(ShapeError, match=f"^wave: .*{problem}"):
        chart_manifold(low=0.0, high=1.0)(function)


def test_an_argument_without_annotation_or_default_is_refused() -> None:
    def wave(z: Tensor, height) -> Tensor:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return torch.cat([z, height * z], 1)

    with pytest.raises(SceneError, match=r"wave: write the argument height as a setting, such as height: float = 1\.0"):
        chart_manifold(low=0.0, high=1.0)(wave)


def test_a_function_is_a_probe_of_any_measurement() -> None:
    @function_probe({"largest": "score", "smallest": "score"})
    def extremes(boundary: Any, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        scores = boundary.scores(x)
        return {"largest": scores.amax(1), "smallest": scores.amin(1)}

    network = torch.nn.Linear(2, 3).eval()
    x = torch.randn(5, 2, generator=generator(1))
    found = measure(network, x, None, ["margin", extremes()], bounds=None)
    torch.testing.assert_close(found["largest"].values, network(x).amax(1).detach())
    assert found["largest"].unit == "score" and found["smallest"].label == "smallest"


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (lambda x: x, r"column height is \(5, 2\) for 5 samples; return one value a sample"),
        (lambda x: {"depth": x[:, 0]}, "returns depth; it has units for height"),
        (lambda x: 1.0, "returns float; it has units for height"),
        (lambda x: x.nothing, "the probe fails: AttributeError"),
    ],
)
def test_what_is_no_column_is_answered_with_a_sentence(returned: Any, problem: str) -> None:
    @function_probe("score")
    def height(boundary: Any, x: Tensor, y: Tensor) -> Any:
        return returned(x)

    with pytest.raises(ModelError, match=f"^height: .*{problem}"):
        measure(torch.nn.Linear(2, 2).eval(), torch.rand(5, 2), None, [height()], bounds=None)


def test_plug_ins_are_used_by_name_in_scenes(code: Path, tmp_path: Path) -> None:
    own = ["manifold={kind: my_plugins.py:ring, radius: 0.5}", "probes=[{kind: my_plugins.py:linear_margin, scale: 2}]"]
    with pytest.raises(
        SceneError, match=r"manifold.kind is 'my_plugins.py:ring'; this is code .* --allow-code my_plug"
    ):
        load_scene("circle_in_2d", [*SHORT, *own])
    assert allow_code(code) == ["my_plugins:ring", "my_plugins:linear_margin"]
    run = simulate(load_scene("circle_in_2d", [*SHORT, *own]), tmp_path / "run", film=False)
    assert run.scene == load_scene("circle_in_2d", [*SHORT, *own]) and "linear_margin" in run.points
    # Its median is in the summary and the metrics, which the charts and figures draw.
    train = run.points[(run.points["split"] == "train") & (run.points["step"] == run.steps[-1])]
    final = run.info["summary"]["final"]
    assert final["linear_margin"] == run.metrics["linear_margin"].iloc[-1]
    assert final["linear_margin"] == np.sort(train["linear_margin"])[(len(train) - 1) // 2]
    assert final["linear_margin_low"] <= final["linear_margin"] <= final["linear_margin_high"]
    assert write_figures(run.path, tmp_path / "linear_margin.pdf")
    words = [word for change in [*SHORT, *own] for word in ("--set", change)]
    again = dimple(
        "simulate", "circle_in_2d", *words, "--no-film", "--jobs", 2, "-o", tmp_path / "again", "--allow-code", code
    )
    assert again.returncode == 0, again.stderr
    assert Run.open(tmp_path / "again").metrics.equals(run.metrics)


def test_settings_may_stand_in_parentheses_behind_a_kind(code: Path) -> None:
    allow_code(code)
    keys = [
        "manifold={kind: my_plugins.py:ring, radius: 0.5}",
        "probes=[{kind: my_plugins.py:linear_margin, scale: 2}]",
    ]
    calls = [
        'manifold={kind: "my_plugins.py:ring(radius=0.5)"}',
        'probes=[{kind: "my_plugins.py:linear_margin(2)"}]',
    ]
    assert load_scene("circle_in_2d", [*SHORT, *calls]) == load_scene("circle_in_2d", [*SHORT, *keys])
    for change, problem in (
        ('manifold={kind: "circle(radius=0.5)", radius: 0.4}', "manifold.radius is given twice"),
        ('manifold={kind: "circle(radios=0.5)"}', "unknown key manifold.radios; did you mean 'radius'?"),
        ('manifold={kind: "circle(radius=big)"}', "has arguments that are no literals of Python"),
        ('manifold={kind: "circle(1, 2, 3, 4, 5, 6, 7)"}', "has 7 arguments; circle takes"),
        ('manifold={kind: "circle(0.5, radius=0.5)"}', "gives radius twice"),
        ('manifold={kind: "cirle(0.5)"}', "did you mean 'circle'?"),
    ):
        with pytest.raises(SceneError) as error:
            load_scene("circle_in_2d", [*SHORT, change])
        assert problem in str(error.value)


def test_an_own_probe_is_named_on_the_command_line_with_its_settings(code: Path, tmp_path: Path) -> None:
    columns = {}
    for name, probe in (("plain", f"{code}:linear_margin"), ("scaled", f"{code}:linear_margin(scale=2)")):
        answer = dimple("probe", "--probe", probe, "--samples", 5, "-o", tmp_path / name)
        assert answer.returncode == 0, answer.stderr
        columns[name] = Run.open(tmp_path / name).measurements["linear_margin"]
    assert columns["scaled"].tolist() == pytest.approx((2 * columns["plain"]).tolist())
    # The run keeps the meaning, which the function has as its documentation, without the code.
    assert "linear_margin = " in (text := dimple("explain", tmp_path / "plain").stdout)
    assert "The logit margin over the length of its gradient." in text
    assert "length of its gradient" in Run.open(tmp_path / "plain").measurements.attrs["meanings"]["linear_margin"]
    unknown = dimple("probe", "--probe", f"{code}:linear_margin(factor=2)", "--samples", 5, "-o", tmp_path / "unknown")
    assert unknown.returncode == 2 and "there is no setting factor; it has scale" in unknown.stderr
    wrong = dimple("probe", "--probe", f"{code}:linear_margins", "--samples", 5, "-o", tmp_path / "wrong")
    assert wrong.returncode == 2 and "did you mean 'linear_margin'?" in wrong.stderr
    with pytest.raises(UsageError, match="code that was not allowed"):
        find_probe("my_plugins.py:linear_margin")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("class Knot(Manifold):\n    pass", r"Knot is a Manifold without .*write them, or only its chart, a function"),
        (
            "class Sharp(Objective):\n    def loss(self, network, batch):\n        return 0",
            "Sharp has no settings; write @settings above it",
        ),
        (
            "@settings\nclass Odd(Objective):\n    when: object = None\n    def loss(self, network, batch): ...",
            "Odd.when is a <class 'object'>, which no scene file can hold",
        ),
    ],
)
def test_a_class_that_does_not_fit_is_refused_when_it_is_first_seen(content: str, problem: str, code: Path) -> None:
    imports = "from dimple.manifolds import Manifold\nfrom dimple.settings import settings\n"
    code.write_text(f"{imports}from dimple.training import Objective\n{content}\n")
    with pytest.raises(SceneError, match=problem):
        allow_code(code)


class Entry:
    """An entry point of an installed package."""

    group = "dimple.manifolds"

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = f"their_package:{name}"
        self._value = value

    def load(self) -> Any:
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


def test_installed_packages_add_kinds(code: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    allow_code(code)
    ring = sys.modules["my_plugins"].ring
    entries = [Entry("ring", ring), Entry("sphere", ring), Entry("broken", ImportError("no torch")), Entry("odd", int)]
    monkeypatch.setattr(
        names,
        "entry_points",
        lambda group: entries if group == "dimple.manifolds" else importlib.metadata.EntryPoints(),
    )
    installed_plugins.cache_clear()
    for table in FAMILIES.values():
        for kind in [kind for kind in table if ":" in kind]:
            del table[kind]
    with pytest.warns(UserWarning, match="it is left out") as caught:
        plugins.add_plugins(FAMILIES)
    sentences = [str(one.message) for one in caught]
    assert [re.sub(r"( \(/.*)?; it is left out$", "", sentence) for sentence in sentences] == [
        "the plug-in their_package:sphere of dimple.manifolds: kind sphere is taken; choose another name",
        "the plug-in their_package:broken of dimple.manifolds fails: ImportError: no torch",
        "the plug-in their_package:odd of dimple.manifolds is no class derived from Manifold",
    ]
    own_code._allowed.clear()
    run = simulate(load_scene("circle_in_2d", [*SHORT, "manifold={kind: ring}"]), tmp_path / "run", film=False)
    # No file has to be allowed for it.
    assert "code" not in run.info and Run.open(run.path).scene.manifold == ring()
    installed_plugins.cache_clear()


def test_a_decoder_object_in_a_scene_is_answered_with_a_sentence(tmp_path: Path) -> None:
    import dataclasses

    from dimple.manifolds import DecoderManifold

    decoder = DecoderManifold(lambda z: torch.cat([z.cos(), z.sin()], 1), dim=1, low=0.0, high=3.0)
    scene = dataclasses.replace(load_scene("circle_in_2d", SHORT), manifold=decoder)
    with pytest.raises(SceneError, match=r"DecoderManifold.module is code, .* a function below @chart_manifold"):
        simulate(scene, tmp_path / "run", film=False)
    assert isinstance(decoder.module, types.FunctionType)
