"""Rules that import contracts cannot express: when libraries are loaded, and the size of modules and folders."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "dimple"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"matplotlib", "napari", "pyvista", "ray", "vtk", "vtkmodules"}
EMPTY_NAMES = {"utils", "util", "helpers", "common", "core", "misc", "manager"}
MODULE_LINES = 500
FOLDER_MODULES = 20
# Folders of interchangeable members, with one file per member.
FAMILIES = {"manifolds"}

POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "termios"}
TEXT_FILE_METHODS = {"read_text", "write_text"}

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))


def imported_at_once(statements: list[ast.stmt]) -> Iterator[str]:
    """Yield the packages that are imported with a module, also under `if`, `try` and in class bodies."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield (statement.module or "").partition(".")[0]
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from imported_at_once(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for branch in ("body", "orelse", "finalbody", "handlers"):
                yield from imported_at_once(getattr(statement, branch, []))


def test_the_import_scan_finds_nested_imports() -> None:
    source = """
import typing
if typing.TYPE_CHECKING:
    import napari
else:
    import ray
try:
    import pyvista.plotting
except ImportError:
    from matplotlib import pyplot
class Late:
    import vtk
def draw():
    import vtkmodules
"""
    found = set(imported_at_once(ast.parse(source).body))
    assert found == {"typing", "ray", "pyvista", "matplotlib", "vtk"}


@every_module
def test_drawing_libraries_are_imported_inside_functions(module: Path) -> None:
    assert not HEAVY & set(imported_at_once(ast.parse(module.read_text()).body))


@pytest.mark.parametrize("name", ["dimple", "dimple.cli"])
def test_neither_the_package_nor_its_command_line_loads_torch(name: str) -> None:
    slow = {"numba", "torch", "scipy", "sklearn", "pyarrow", *HEAVY}
    program = f"import {name}, sys; print(*({slow!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


@every_module
def test_names_of_modules_are_specific(module: Path) -> None:
    assert not EMPTY_NAMES & set(module.relative_to(PACKAGE).with_suffix("").parts)


def test_folders_hold_at_most_twenty_modules_a_family_excepted() -> None:
    counts = Counter(str(module.parent.relative_to(PACKAGE)) for module in MODULES if module.name != "__init__.py")
    assert {
        folder: count for folder, count in counts.items() if count > FOLDER_MODULES and folder not in FAMILIES
    } == {}


@every_module
def test_modules_stay_readable(module: Path) -> None:
    assert module.read_text().count("\n") <= MODULE_LINES


@every_module
def test_modules_that_windows_lacks_are_optional(module: Path) -> None:
    tree = ast.parse(module.read_text())
    guarded = [node for node in ast.walk(tree) if isinstance(node, ast.Try) and "ImportError" in ast.unparse(node)]
    optional = {id(node) for branch in guarded for node in ast.walk(branch)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not POSIX_MODULES & set(imported_at_once([node for node in imports if id(node) not in optional]))


@every_module
def test_text_files_have_an_explicit_encoding(module: Path) -> None:
    """Without one, Windows reads the names and signs of a run in the encoding of its language."""
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    texts = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in TEXT_FILE_METHODS]
    assert [call.lineno for call in texts if "encoding" not in {keyword.arg for keyword in call.keywords}] == []
