"""Move modules and symbols of the package to the folders of tools/moves.txt, and rewrite every import of them.

    python3 tools/move_modules.py           apply the table to this checkout
    python3 tools/move_modules.py --check   only say whether every row names a file that exists

The table has one row a line, with paths relative to dimple/:

    boundary/grid.py -> levelsets/dense.py                  a module and its tests' imports
    probes/soft.py => probes/speed.py                       a module appended to another one
    views/figures.py: cell -> views/report/cells.py         single names of a module

Imports are rewritten from the syntax tree, so that imports inside functions and under TYPE_CHECKING follow as well. A
name imported from a package is looked up in that package's __init__ and taken from the module that defines it. Dotted
names in strings (monkeypatch, entry points) are replaced as text.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dimple"
TABLE = ROOT / "tools" / "moves.txt"


def read_table() -> tuple[dict[str, str], dict[str, str], dict[tuple[str, str], str]]:
    """Return moved modules, merged modules and moved symbols, as dotted names."""
    moves, merges, symbols = {}, {}, {}
    for line in TABLE.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if not line:
            continue
        if "=>" in line:
            old, new = (dotted(part.strip()) for part in line.split("=>"))
            merges[old] = new
        elif ":" in line:
            old, rest = line.split(":")
            names, new = rest.split("->")
            for name in names.split(","):
                symbols[dotted(old.strip()), name.strip()] = dotted(new.strip())
        else:
            old, new = (dotted(part.strip()) for part in line.split("->"))
            moves[old] = new
    return moves, merges, symbols


def dotted(path: str) -> str:
    """Return the module name of a path relative to the package, or of a test."""
    return ("" if path.startswith("tests/") else "dimple.") + path.removesuffix(".py").replace("/", ".").removesuffix(
        ".__init__"
    )


def file_of(module: str) -> Path:
    """Return the file of a module, which may not exist."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() and (path / "__init__.py").exists() else path.with_suffix(".py")


def exported() -> dict[tuple[str, str], tuple[str, str]]:
    """Return the defining module and name of each name that a package's __init__ imports."""
    found = {}
    for init in PACKAGE.rglob("__init__.py"):
        package = ".".join(init.parent.relative_to(ROOT).parts)
        for node in ast.parse(init.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    found[package, alias.asname or alias.name] = (node.module, alias.name)
    return found


class Rewriter:
    """Rewrites the imports of one file."""

    def __init__(self, moves, merges, symbols, exports) -> None:
        self.modules = moves | {old: moves.get(new, new) for old, new in merges.items()}
        self.symbols = symbols
        self.exports = exports
        self.packages = {".".join(init.parent.relative_to(ROOT).parts) for init in PACKAGE.rglob("__init__.py")}

    def home(self, module: str, name: str) -> tuple[str, str]:
        """Return the module from which a name is imported after the move, and its name there."""
        whole = f"{module}.{name}"
        if whole in self.modules and (module, name) not in self.exports:
            package, _, last = self.modules[whole].rpartition(".")
            return package, last
        if module in self.packages and (module, name) in self.exports:
            source, original = self.exports[module, name]
            new, last = self.home(source, original)
            # Names that stay in their package are still imported from it.
            return (module, last) if new.startswith(module + ".") else (new, last)
        if (module, name) in self.symbols:
            return self.symbols[module, name], name
        return self.modules.get(module, module), name

    def imports(self, text: str) -> str:
        """Return the text with each `from dimple... import` statement rewritten."""
        lines = text.splitlines(keepends=True)
        for node in sorted(ast.walk(ast.parse(text)), key=lambda node: -getattr(node, "lineno", 0)):
            if not (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dimple"):
                continue
            targets = {}
            for alias in node.names:
                module, name = self.home(node.module, alias.name)
                bound = alias.asname or alias.name
                targets.setdefault(module, []).append(name if name == bound else f"{name} as {bound}")
            if list(targets) == [node.module] and all(
                alias.name in targets[node.module] or alias.asname for alias in node.names
            ):
                continue
            head = lines[node.lineno - 1][: node.col_offset]
            tail = lines[node.end_lineno - 1][node.end_col_offset :]
            new = [f"from {module} import {', '.join(names)}" for module, names in targets.items()]
            lines[node.lineno - 1 : node.end_lineno] = [("\n" + head).join([head + new[0], *new[1:]]) + tail]
        return "".join(lines)

    def strings(self, text: str) -> str:
        """Return the text with dotted names of moved modules replaced."""
        pattern = "|".join(re.escape(name) for name in sorted(self.modules, key=len, reverse=True))
        text = re.sub(
            r"(?<=>>> )from dimple.*", lambda found: self.imports(found[0]).replace("\n", "\n        >>> "), text
        )
        # Import statements and examples are the business of `imports`; imports among tests are text.
        prefix = r"(?<![\w.])(?<!from )(?<!import )(?=dimple)|(?<![\w.])(?=tests)"
        return re.sub(rf"(?:{prefix})({pattern})(?!\w)", lambda found: self.modules[found[1]], text)


def main() -> int:
    moves, merges, symbols = read_table()
    missing = [name for name in [*moves, *merges, *(module for module, _ in symbols)] if not file_of(name).exists()]
    if missing or "--check" in sys.argv:
        print("\n".join(f"there is no {name}" for name in missing) or "every row names a file")
        return 1 if missing else 0
    rewriter = Rewriter(moves, merges, symbols, exported())
    for folder in ("dimple", "tests", "benchmarks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text()
            new = rewriter.imports(rewriter.strings(text))
            if new != text:
                file.write_text(new)
    for page in [
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "README.md",
        ROOT / "pyproject.toml",
        PACKAGE / "views" / "napari.yaml",
    ]:
        page.write_text(rewriter.strings(page.read_text()))
    for (old, name), new in symbols.items():
        move_symbol(file_of(old), name, file_of(new))
    for old, new in merges.items():
        merge(file_of(old), file_of(new))
    for old, new in moves.items():
        target = ROOT / (new.replace(".", "/") + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "mv", str(file_of(old)), str(target)], check=True, cwd=ROOT)
    return 0


def statement_source(text: str, node: ast.stmt) -> tuple[int, int]:
    """Return the lines of a statement, its decorators and the comment right above it."""
    lines = text.splitlines()
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
    while first > 0 and lines[first - 1].startswith("#"):
        first -= 1
    return first, node.end_lineno


def add(body: str, imports: list[str], target: Path) -> None:
    """Append statements to a module, its missing imports below the others; ruff sorts and prunes them later."""
    text = target.read_text() if target.exists() else '"""TODO."""\n'
    tree = ast.parse(text)
    heads = [node.end_lineno for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    after = max(heads, default=tree.body[0].end_lineno)
    lines = text.splitlines()
    lines[after:after] = imports
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines).rstrip() + "\n\n\n" + body.strip() + "\n")


def import_lines(text: str, tree: ast.Module) -> list[str]:
    """Return the import statements of a module as text, those under TYPE_CHECKING included."""
    lines = text.splitlines()
    nodes = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes]


def move_symbol(source: Path, name: str, target: Path) -> None:
    text = source.read_text()
    tree = ast.parse(text)
    for node in tree.body:
        names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        if isinstance(node, ast.Assign):
            names = [each.id for each in node.targets if isinstance(each, ast.Name)]
        if isinstance(node, ast.AnnAssign):
            names = [node.target.id]
        if name in names:
            first, last = statement_source(text, node)
            lines = text.splitlines()
            body = "\n".join(lines[first:last])
            source.write_text("\n".join(lines[:first] + lines[last:]) + "\n")
            add(body, import_lines(text, tree), target)
            return
    raise SystemExit(f"{source} has no {name}")


def merge(source: Path, target: Path) -> None:
    text = source.read_text()
    tree = ast.parse(text)
    rest = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)][1:]
    first = statement_source(text, rest[0])[0]
    add("\n".join(text.splitlines()[first:]), import_lines(text, tree), target)
    subprocess.run(["git", "rm", "-qf", str(source)], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
