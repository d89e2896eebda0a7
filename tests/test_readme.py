"""Tests of README and documentation pages: their Python runs, and their commands and files exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from dimple.cli.app import app
from dimple.scene import load_scene

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text()
DOCS = CHECKOUT / "docs"
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    *sorted([*DOCS.glob("*.md"), *DOCS.glob("how_to_read/*.md")]),
]
TEXT = "\n".join(page.read_text() for page in PAGES)


def blocks(language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def command_lines() -> list[str]:
    """Return the lines of the shell blocks that call dimple, with continued lines joined."""
    text = "\n".join(blocks("sh")).replace("\\\n", " ")
    return [line.partition("#")[0].strip() for line in text.splitlines() if line.startswith("dimple ")]


def program() -> TyperGroup:
    """Return the command group of dimple."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.name
)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for source in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(source, page.name, "exec"), names)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_scene_blocks_load(text: str, tmp_path: Path) -> None:
    file = tmp_path / "scene.yaml"
    file.write_text(text)
    assert f"name: {load_scene(str(file)).name}\n" in text


@pytest.mark.parametrize("line", command_lines())
def test_commands_and_options_exist(line: str) -> None:
    words = line.split()
    command = program().commands[words[1]]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0] for word in words[2:] if word.startswith("--")}
    assert options <= known


def test_every_command_of_the_program_is_described() -> None:
    missing = [name for name in program().commands if f"`dimple {name}" not in TEXT]
    assert missing == []


def test_setup_commands_are_those_that_dev_py_knows() -> None:
    verbs = re.findall(r"^python3 dev\.py (\w+)", "\n".join(blocks("sh")), re.MULTILINE)
    assert verbs[:2] == ["demo", "test"]
    answer = subprocess.run(
        [sys.executable, "dev.py", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for verb in verbs:
        assert f"python3 dev.py {verb}" in answer.stdout


def test_the_check_script_runs_the_test_command_of_the_readme() -> None:
    script = (CHECKOUT / ".ci" / "run").read_text().splitlines()
    assert "python3 dev.py test" in script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def test_the_readme_fits_two_screens_and_its_picture_is_small() -> None:
    assert README.count("\n") <= 80
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert (CHECKOUT / picture).stat().st_size < 3e6


def test_extras_are_those_of_the_package() -> None:
    named = set(re.findall(r"(?:dimple-lab|\.)\[(\w+)\]", TEXT))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    assert {"napari", "docs"} <= named <= set(project["optional-dependencies"])


def test_nothing_installs_the_package_of_the_same_name() -> None:
    assert not re.search(r"pip install (?:.* )?'?dimple(?!-lab)", TEXT)
