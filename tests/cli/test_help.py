"""The help of every command: two examples that can be typed, lists in full, and the default of every option."""

import re
import shlex
from collections.abc import Iterator

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from dimple.cli.app import app
from dimple.cli.examples import EXAMPLES
from dimple.names import MODELS


def commands(command: object, name: str = "") -> Iterator[tuple[str, object]]:
    yield name, command
    if isinstance(command, TyperGroup):
        for word, child in command.commands.items():
            yield from commands(child, f"{name} {word}".strip())


COMMANDS = dict(commands(get_command(app)))
every_command = pytest.mark.parametrize("name", COMMANDS, ids=lambda name: name or "dimple")


@every_command
def test_the_help_has_examples_and_whole_lists_at_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    text = CliRunner().invoke(app, [*name.split(), "-h"]).stdout
    assert max(map(len, text.splitlines())) <= 80
    # Dots stand only behind a word that can be repeated.
    assert re.findall(r".*(?<![\]}N])\.\.\..*", text) == []
    examples = text.partition("Examples:\n")[2].splitlines()
    assert [line.strip() for line in examples if line] == [f"dimple {line}".strip() for line in EXAMPLES[name]]


def test_every_command_has_its_examples() -> None:
    assert EXAMPLES.keys() == COMMANDS.keys()
    assert all(len(set(lines)) == 2 for lines in EXAMPLES.values())


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines], ids=str
)
def test_an_example_names_its_command_and_its_flags(name: str, line: str) -> None:
    words = shlex.split(line.partition("|")[0].partition(">")[0])
    assert line.removeprefix("--debug ").startswith(name)
    command = COMMANDS[name] if name else COMMANDS[line.split(maxsplit=1)[0]]
    if isinstance(command, TyperGroup):
        return
    known = {flag for parameter in command.params for flag in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known | {"--debug"}


@every_command
def test_every_option_with_a_value_shows_its_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    text = CliRunner().invoke(app, [*name.split(), "-h"]).stdout
    options = re.split(r"\n  (?=-)", text.partition("Options:")[2].partition("Commands:")[0].partition("Examples:")[0])
    takes_value = [option for option in options if re.match(r"(-\w, )?--[\w-]+ [A-Z]", option)]
    assert [option for option in takes_value if "[default" not in re.sub(r"\s+", " ", option)] == []


def test_the_help_of_a_model_lists_all_models() -> None:
    text = re.sub(r"\s+", " ", CliRunner().invoke(app, ["probe", "-h"]).stdout)
    assert ", ".join(MODELS) in text
