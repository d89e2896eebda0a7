"""Names of version 0.1: each is answered with its present name, and docs/migration.md lists them all."""

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import dimple
from dimple import renamed
from dimple.boundary import AffineSlice, Boundary
from dimple.cli import main
from dimple.data import LABEL_RULES, SAMPLINGS, DataSplits, Images, LabelRule, Sampling, SyntheticData
from dimple.errors import SceneError
from dimple.experiment import ProbeConfig, Run, SliceConfig
from dimple.levelsets import LEVEL_SETS
from dimple.manifolds import MANIFOLDS, Manifold
from dimple.migration import PYTHON_MEMBERS, migration_page
from dimple.networks import MLP
from dimple.probes import PROBES, Margin
from dimple.runs import Checkpoints
from dimple.scene import Scene
from dimple.scene.build import build
from dimple.scene.scene import FAMILIES
from dimple.scene.yaml_nodes import parse_yaml
from dimple.settings import field_types
from dimple.tangents import LocalPCA, TangentDecomposition

ROOT = Path(__file__).resolve().parent.parent
# The settings classes by the top-level key of a scene file; a key of a scene file is a field of one of them.
SETTINGS: dict[str, list[type]] = {
    "data": [SyntheticData, *SAMPLINGS.values(), *LABEL_RULES.values()],
    "levelset": [*LEVEL_SETS.values()],
    "manifold": [*MANIFOLDS.values()],
    "network": [MLP],
    "probes": [*PROBES.values()],
}
FIELDS = [(section, old, new) for section, keys in renamed.SCENE_KEYS.items() for old, new in keys.items()]
VALUES = [(section, old, new) for section, values in renamed.SCENE_VALUES.items() for old, new in values.items()]


def read_scene(text: str) -> Scene:
    manifold = "" if "manifold:" in text else "manifold: {kind: sphere}\n"
    return build(parse_yaml(f"{manifold}{text}", "x.yaml"), Scene, FAMILIES)


def kinds_with(section: str, field: str) -> list[tuple[str, str]]:
    """The families of a section with the kinds of the members that have a field."""
    tables: dict[str, dict[str, type]] = {
        "sampling": dict(SAMPLINGS),
        "labels": dict(LABEL_RULES),
        "levelset": dict(LEVEL_SETS),
        "manifold": dict(MANIFOLDS),
        "probes": dict(PROBES),
    }
    families = {"data": ["sampling", "labels"]}.get(section, [section])
    return [
        (family, kind)
        for family in families
        for kind, cls in tables.get(family, {}).items()
        if field in field_types(cls)
    ]


def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["dimple", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


@pytest.mark.parametrize(("old", "new"), renamed.COMMANDS.items())
def test_an_old_command_exits_with_the_sentence(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"dimple: dimple {old} has been called dimple {new} since version 0.2\n"
    for words in ([old], [old, "run"], [old, "--help"]):
        assert run_command(monkeypatch, capsys, *words) == (2, "", expected)
    assert run_command(monkeypatch, capsys, new, "--help")[0] == 0


@pytest.mark.parametrize(("old", "new"), renamed.FLAGS.items())
def test_an_old_flag_exits_with_the_sentence(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = f"dimple: {old} has been called {new} since version 0.2\n"
    for words in (["probe", old, "5"], ["simulate", "sphere_in_3d", f"{old}=5"]):
        assert run_command(monkeypatch, capsys, *words) == (2, "", expected)
    commands = ("simulate", "probe", "slice")
    helps = [run_command(monkeypatch, capsys, command, "--help")[1] for command in commands]
    assert any(new in text for text in helps) and not any(f"{old} " in text for text in helps)


@pytest.mark.parametrize(("section", "old", "new"), FIELDS)
def test_an_old_key_of_a_scene_file_is_answered_with_the_sentence(section: str, old: str, new: str) -> None:
    if section == "network":
        texts = {"network": f"network: {{{old}: 1}}"}
    elif (section, old) == ("data", "probe_points"):
        texts = {"data": "data: {probe_points: 1}"}
    else:
        texts = {}
        for family, kind in kinds_with(section, new):
            path = {"probes": "probes[0]", "sampling": "data.sampling", "labels": "data.labels"}.get(family, family)
            entry = f"{{kind: {kind}, {old}: 1}}"
            texts[path] = {
                "probes": f"probes: [{entry}]",
                "sampling": f"data: {{sampling: {entry}}}",
                "labels": f"data: {{labels: {entry}}}",
            }.get(family, f"{family}: {entry}")
    assert texts
    for path, text in texts.items():
        with pytest.raises(SceneError) as caught:
            read_scene(text)
        sentence = f"{path}.{old} has been called {path}.{new} since version 0.2"
        assert any(message.endswith(f": {sentence}") for message in caught.value.args)
        assert all(message.startswith("x.yaml:") for message in caught.value.args)


@pytest.mark.parametrize(("section", "old", "new"), VALUES)
def test_an_old_value_of_a_scene_file_is_answered_with_the_sentence(section: str, old: str, new: str) -> None:
    if section == "probes":
        texts = {"probes[0].method": f"probes: [{{kind: certified, method: {old}}}]"}
    elif section == "data":
        tables = {"sampling": SAMPLINGS, "labels": LABEL_RULES}
        families = [family for family, table in tables.items() if new in table]
        texts = {f"data.{family}.kind": f"data: {{{family}: {{kind: {old}}}}}" for family in families}
    else:
        texts = {f"{section}.kind": f"{section}: {{kind: {old}}}"}
    assert texts
    for path, text in texts.items():
        with pytest.raises(SceneError) as caught:
            read_scene(text)
        line = 1 if section == "manifold" else 2
        sentence = f"{path}: {old!r} has been called {new!r} since version 0.2"
        assert re.fullmatch(rf"x\.yaml:{line}:\d+: " + re.escape(sentence), str(caught.value))


def test_an_old_name_is_used_if_a_class_still_has_it() -> None:
    """`offset` of a plane, `cells` of a checkerboard and the kind `grid` of a sampling are valid."""
    scene = read_scene(
        "manifold: {kind: flat, offset: [0.25]}\n"
        "data: {sampling: {kind: grid}, labels: {kind: chart_checkerboard, cells: 3}}\n"
        "levelset: {kind: dense, resolution: 8}\n"
    )
    assert vars(scene.manifold)["offset"] == (0.25,)
    assert vars(scene.data.labels)["cells"] == 3


def test_an_old_kind_and_its_old_keys_are_answered_together() -> None:
    with pytest.raises(SceneError) as caught:
        read_scene("levelset: {kind: grid, cells: 8}\ndata:\n  sampling: {kind: spread}\n  labels: {kind: given}\n")
    assert caught.value.args == (
        "x.yaml:4:14: data.sampling.kind: 'spread' has been called 'farthest_point' since version 0.2",
        "x.yaml:5:12: data.labels.kind: 'given' has been called 'explicit' since version 0.2",
        "x.yaml:2:12: levelset.kind: 'grid' has been called 'dense' since version 0.2",
        "x.yaml:2:24: levelset.cells has been called levelset.resolution since version 0.2",
    )


def test_an_old_key_that_another_kind_has_is_answered_with_that_kind() -> None:
    with pytest.raises(SceneError) as caught:
        read_scene("levelset: {kind: adaptive, certified: 8}")
    assert str(caught.value) == (
        "x.yaml:2:28: levelset.certified has been called levelset.completeness_resolution since version 0.2; "
        "it is a key of kind auto (known here: kind, resolution, refine_vertices, low, high)"
    )


@pytest.mark.parametrize(("old", "new"), renamed.PYTHON_NAMES.items())
def test_an_old_python_name_is_answered_and_the_present_one_exists(old: str, new: str) -> None:
    module, _, name = old.rpartition(".")
    sentence = f"{old} has been called {new} since version 0.2"
    with pytest.raises(ImportError) as of_attribute:
        getattr(importlib.import_module(module), name)
    assert str(of_attribute.value) == sentence
    with pytest.raises(ImportError) as of_import:
        exec(f"from {module} import {name}")
    assert str(of_import.value) == sentence
    present_module, _, present_name = new.rpartition(".")
    assert getattr(importlib.import_module(present_module), present_name) is not None


@pytest.mark.parametrize("module", sorted({name.rpartition(".")[0] for name in renamed.PYTHON_NAMES}))
def test_an_unknown_python_name_has_the_usual_error(module: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        _ = importlib.import_module(module).nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {module} import nothing")


def test_the_public_names_of_the_package_exist() -> None:
    assert all(getattr(dimple, name) is not None for name in dimple.__all__)


@pytest.mark.parametrize(("section", "old", "new"), FIELDS)
def test_an_old_field_of_a_settings_class_is_answered_with_the_sentence(section: str, old: str, new: str) -> None:
    classes = [cls for cls in SETTINGS[section] if new in field_types(cls)]
    assert classes
    for cls in classes:
        with pytest.raises(TypeError) as caught:
            cls(**{old: 1})
        assert str(caught.value) == f"{cls.__name__}.{old} has been called {cls.__name__}.{new} since version 0.2"


@pytest.mark.parametrize(
    ("cls", "old", "new"),
    [
        (Margin, "budget", "max_passes"),
        (ProbeConfig, "budget", "max_passes"),
        (ProbeConfig, "neighbours", "neighbors"),
        (ProbeConfig, "bands", "subspaces"),
        (ProbeConfig, "state_key", "state_dict_key"),
        (SliceConfig, "cells", "resolution"),
        (SliceConfig, "draws", "null_draws"),
    ],
)
def test_an_old_field_is_answered_with_the_sentence(cls: Any, old: str, new: str) -> None:
    with pytest.raises(TypeError, match=rf"^{cls.__name__}\.{old} has been called {cls.__name__}\.{new} since"):
        cls(**{old: 5})


def test_an_unknown_field_has_the_usual_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        Margin(nothing=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("margin_null", "margin_test"),
        ("accuracy_null", "majority_accuracy"),
        ("on_ratio_null_high", "margin_on_ratio_null_high"),
        ("off_ratio_closed", "margin_off_ratio_analytic"),
        ("on_ratio_change_verdict", "margin_on_ratio_change_verdict"),
        ("dct_low_ratio_closed", "dct_low_ratio_analytic"),
        ("error_null_low", "noise_error_low"),
        ("calibration_error_null", "calibration_error_calibrated"),
        ("speed_sign_short_null_low", "speed_sign_agreement_initial_chance_low"),
        ("curvature_finite", "curvature_finite_difference"),
        ("margin_passes", "margin_passes"),
        ("offset_null", "offset_null"),
    ],
)
def test_a_column_has_its_present_name(old: str, new: str) -> None:
    assert renamed.new_column(old) == new
    # A present name is not renamed again.
    assert renamed.new_column(new) == new


def test_no_present_name_is_an_old_name() -> None:
    for table in (renamed.COMMANDS, renamed.FLAGS, renamed.COLUMNS, renamed.PYTHON_NAMES, renamed.CONFIG_KEYS):
        assert not set(table) & set(table.values())


def test_run_json_of_a_slice_has_the_present_names() -> None:
    info = {
        "kind": "section",
        "section": {"words": "through images 3 and 17", "cells": 16, "control_cells": 8, "draws": 2, "dim": 2},
        "seconds": {"section": 0.2},
        "summary": {"shares": [{"class": "share", "share": 0.5, "share_null": 0.1}], "final": {"valid_share": 0.1}},
        "rows": [{"split": "probe"}],
    }
    assert renamed.upgrade_info(info) == {
        "kind": "slice",
        "slice": {
            "description": "through images 3 and 17",
            "resolution": 16,
            "control_resolution": 8,
            "null_draws": 2,
            "dim": 2,
        },
        "seconds": {"slice": 0.2},
        "summary": {
            "class_fractions": [{"class": "share", "fraction": 0.5, "fraction_null": 0.1}],
            "final": {"valid_fraction": 0.1},
        },
        "rows": [{"split": "heldout"}],
    }


def test_the_migration_page_is_up_to_date() -> None:
    """Write it again as the docstring of dimple/migration.py says."""
    assert (ROOT / "docs" / "migration.md").read_text() == migration_page()


def test_the_migration_page_lists_every_name() -> None:
    lines = migration_page().splitlines()
    tables: list[dict[str, str]] = [renamed.FLAGS, renamed.COLUMNS, renamed.PYTHON_NAMES, PYTHON_MEMBERS]
    tables += [{f"dimple {old}": f"dimple {new}" for old, new in renamed.COMMANDS.items()}]
    tables += [{f"{section}: {old}": f"{section}: {new}"} for section, old, new in FIELDS + VALUES]
    for table in tables:
        assert all(f"| `{old}` | `{new}` |" in lines for old, new in table.items())


CLASSES: tuple[type, ...] = (
    AffineSlice,
    Boundary,
    Checkpoints,
    Images,
    LabelRule,
    LocalPCA,
    Manifold,
    DataSplits,
    Run,
    Sampling,
    Scene,
    SyntheticData,
    TangentDecomposition,
)


@pytest.mark.parametrize(("old", "new"), PYTHON_MEMBERS.items())
def test_a_present_member_exists_and_the_old_one_does_not(old: str, new: str) -> None:
    class_name, _, member = new.partition(".")
    cls = next(cls for cls in CLASSES if cls.__name__ == class_name)
    assert has_member(cls, member)
    assert not has_member(cls, old.partition(".")[2])


def has_member(cls: type, name: str) -> bool:
    return hasattr(cls, name) or name in inspect.signature(cls).parameters
