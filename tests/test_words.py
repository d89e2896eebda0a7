"""Words that meant several things in version 0.1 name nothing: modules, classes, functions, columns, flags, keys."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from dimple import renamed
from dimple.cli.app import app
from dimple.columns import COLUMNS
from dimple.scene.scene import FAMILIES, Scene
from dimple.scene.schema import json_schema

CHECKOUT = Path(__file__).resolve().parent.parent
MODULES = sorted((CHECKOUT / "dimple").rglob("*.py"))
BANNED = {
    "account", "cards", "circuit", "digest", "drawn", "errand", "exhibit", "feet", "foot", "folds", "gap", "imprint",
    "kept", "land", "landed", "landing", "piece", "pieces", "reel", "rival", "rivals", "rooms", "section", "share",
    "shares", "stretch", "strip", "tags", "tape", "verify", "walk", "way", "ways", "whole",
}  # fmt: skip
QUESTIONS = re.compile(r"(What|How|Who|Whose|Whom|Whether|Where)\b")


def words_of(name: str) -> set[str]:
    """The words of a name in snake case, camel case or kebab case; a cross-section of a picture is none of them."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
    return set(snake.replace("cross_section", "").split("_"))


def keys_of(schema: object) -> Iterator[str]:
    """The keys of scene files in their schema."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from keys_of(value)
    if isinstance(schema, list):
        for value in schema:
            yield from keys_of(value)


def definitions(module: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


def test_words_are_found_in_every_kind_of_name() -> None:
    assert words_of("BoundaryWalk") & words_of("boundary_walk") & words_of("--boundary-walk") >= {"boundary", "walk"}
    assert "section" not in words_of("CrossSectionPlane") | words_of("build_cross_section")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(CHECKOUT)))
def test_definitions_have_plain_names(module: Path) -> None:
    names = {module.stem, *(node.name for node in definitions(module))}
    assert {name for name in names if words_of(name) & BANNED} == set()


def test_public_classes_have_one_meaning() -> None:
    homes: dict[str, list[str]] = {}
    for module in MODULES:
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(module.relative_to(CHECKOUT)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


def test_columns_have_plain_names() -> None:
    columns = {*COLUMNS, *renamed.COLUMNS.values(), *renamed.FORMER_NULLS.values()}
    assert {name for name in columns if words_of(name) & BANNED} == set()


def test_commands_and_flags_have_plain_names() -> None:
    def names(group: object) -> Iterator[str]:
        assert isinstance(group, TyperGroup)
        for name, command in group.commands.items():
            yield name
            if isinstance(command, TyperGroup):
                yield from names(command)
            for parameter in command.params:
                yield from parameter.opts

    assert isinstance(app, typer.Typer)
    # Of claims alone, whose verdicts are recomputed from their rows.
    allowed = {"--verify"}
    found = {name for name in names(get_command(app)) if words_of(name.lstrip("-")) & BANNED}
    assert found == allowed


def test_keys_of_scenes_have_plain_names() -> None:
    keys = set(keys_of(json_schema(Scene, FAMILIES)))
    assert {"manifold", "null_draws", "resolution"} <= keys
    assert {key for key in keys if words_of(key) & BANNED} == set()


@pytest.mark.parametrize("folder", ["dimple", "tests", "benchmarks"])
def test_no_docstring_begins_with_a_question(folder: str) -> None:
    found = []
    for module in sorted((CHECKOUT / folder).rglob("*.py")):
        tree = ast.parse(module.read_text())
        found += [
            f"{module.relative_to(CHECKOUT)}: {getattr(node, 'name', 'module')}"
            for node in [tree, *definitions(module)]
            if QUESTIONS.match(ast.get_docstring(node) or "")
        ]
    assert found == []
