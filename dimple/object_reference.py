"""The one grammar by which a user names code: `NAME`, `file.py:OBJECT(3)`, `package.module:OBJECT`, `timm:NAME`.

Nothing is imported or run when a name is parsed: arguments are literals of Python.
"""

import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, final

from dimple.errors import DimpleError, ModelError, UsageError, describe_cause
from dimple.names import LIBRARIES
from dimple.settings import expand_home, format_value, suggest_word

# Of a name with its arguments.
MAX_LETTERS = 2000
_OBJECT_PATTERN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
# Of a network in timm or torchvision, and of one in robustbench.
_LIBRARY_NAME_PATTERN = re.compile(r"\w[\w.\-]*")
# OWNER/NAME on the hub, with an optional branch or commit.
_REPOSITORY_PATTERN = re.compile(r"\w[\w.\-]*(/\w[\w.\-]*)?(@[\w.\-/]+)?")
_FORMS = "NAME, file.py:OBJECT, package.module:OBJECT, timm:NAME, torchvision:NAME, hf:REPO or robustbench:NAME"
# Modules that `import_file` has made.
_imported: dict[str, Path] = {}
# The objects that this process has imported, since it was told to, as they were written.
imported_objects: set[str] = set()


@final
@dataclasses.dataclass(frozen=True)
class ObjectReference:
    """The name of an object of code, with the arguments of a call.

    Attributes:
        text: as the user wrote it.
        source: where the object is: `builtin`, `file`, `module`, or the name of a library.
        place: the path of the file, or the name of the module; empty for other sources.
        name: of the object in it.
        args, kwargs: of the call; both empty without one.
    """

    text: str
    source: str
    place: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def has_arguments(self) -> bool:
        """True with arguments in parentheses."""
        return bool(self.args or self.kwargs)

    @property
    def module(self) -> str:
        """The name of the module of a file or of a package."""
        return Path(self.place).stem if self.source == "file" else self.place


def parse_reference(text: str, role: str = "model") -> ObjectReference:
    """Parse the name of an object of code.

    Args:
        text: `NAME`, `file.py:OBJECT`, `package.module:OBJECT`, `timm:NAME`, `torchvision:NAME`, `hf:REPO` or
            `robustbench:NAME`, each with arguments in parentheses where it takes some.
        role: what is named, for errors.

    Raises:
        UsageError: if the text has another form, or an argument is no literal.

    Example:
        >>> parse_reference("nets/mine.py:Net(3, width=64)").kwargs
        {'width': 64}
        >>> parse_reference("timm:resnet18(num_classes=10)").source
        'timm'
    """
    if len(text) > MAX_LETTERS:
        raise UsageError(f"{role} has {len(text)} letters; the name of code has at most {MAX_LETTERS}")
    head, args, kwargs = _split_arguments(text, role)
    if ":" not in head:
        return ObjectReference(text, "builtin", "", head, args, kwargs)
    library, _, name = head.partition(":")
    if library in LIBRARIES:
        pattern = _REPOSITORY_PATTERN if library == "hf" else _LIBRARY_NAME_PATTERN
        if not pattern.fullmatch(name):
            raise UsageError(f"{role} {format_value(text)} is incomplete or no name; write {LIBRARIES[library].form}")
        return ObjectReference(text, library, "", name, args, kwargs)
    place, _, name = head.rpartition(":")
    if not place or not name:
        raise UsageError(f"{role} {format_value(text)} is incomplete; write package.module:OBJECT or file.py:OBJECT")
    is_file = place.endswith(".py")
    if not _OBJECT_PATTERN.fullmatch(name) or not (is_file or _OBJECT_PATTERN.fullmatch(place)):
        hint = f"; write {place}.py:{name}" if "/" in place and _OBJECT_PATTERN.fullmatch(name) else ""
        raise UsageError(f"{role} {format_value(text)} is not the name of code{hint or f'; write {_FORMS}'}")
    return ObjectReference(text, "file" if is_file else "module", place, name, args, kwargs)


def _split_arguments(text: str, role: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the text before the parentheses, and the arguments in them."""
    head, parenthesis, rest = text.partition("(")
    if not parenthesis:
        return text, (), {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        args = tuple(ast.literal_eval(argument) for argument in call.args)
        kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        if len(kwargs) < len(call.keywords):
            raise ValueError
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise UsageError(
            f"{role} {format_value(text)} has arguments that are no literals of Python; write numbers, strings, lists "
            f"or dicts, such as {head or 'NAME'}(3, width=64)"
        ) from None
    return head, args, kwargs


def require_object(reference: ObjectReference, role: str = "model") -> None:
    """Refuse an object of a file or module that is not there; nothing of it is run.

    Raises:
        UsageError: with the names that are there.
    """
    if reference.source == "file":
        file = expand_home(reference.place)
        if not file.is_file():
            near = sorted(path.name for path in file.parent.glob("*.py")) if file.parent.is_dir() else []
            hint = suggest_word(file.name, near, f"choose from {', '.join(near[:10])}" if near else "name a file")
            raise UsageError(f"{role} {format_value(reference.text)}: {reference.place} is not there; {hint}")
        _require_name(reference, file, role)
        return
    package = reference.place.partition(".")[0]
    with search_working_folder():
        try:
            found = package in sys.modules or importlib.util.find_spec(package) is not None
        except (ImportError, ValueError):
            found = False
    if not found:
        raise UsageError(
            f"{role} {format_value(reference.text)}: No module named {package!r}; install it, or run in the folder "
            "that holds it"
        )
    file = Path(f"{package}.py")
    if "." not in reference.place and package not in sys.modules and file.is_file():
        _require_name(reference, file, role)


def _require_name(reference: ObjectReference, file: Path, role: str) -> None:
    """Refuse an object that no statement of a file defines; one with `import *` or other tricks is left alone."""
    try:
        statements = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError, MemoryError, RecursionError):
        return
    names = defined_names(statements)
    first = reference.name.partition(".")[0]
    if "*" not in names and first not in names and "__getattr__" not in names:
        public = [name for name in names if not name.startswith("_")]
        listed = f"it has {', '.join(public[:20])}" if public else "it defines nothing"
        raise UsageError(
            f"{role} {format_value(reference.text)}: {file} has no {first!r}; {suggest_word(first, public, listed)}"
        )


def defined_names(statements: list[ast.stmt]) -> list[str]:
    """Return the names that statements define, classes and functions first; `*` where a star import adds others."""
    own: list[str] = []
    other: list[str] = []
    for statement in statements:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                own.append(statement.name)
            case ast.Assign() | ast.AnnAssign():
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                other += [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
            case ast.Import() | ast.ImportFrom():
                other += [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While():
                branches = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
                other += [name for branch in branches for name in defined_names(branch)]
                for handler in getattr(statement, "handlers", []):
                    other += defined_names(handler.body)
    return [*own, *other]


@contextlib.contextmanager
def search_working_folder(*folders: Path) -> Iterator[None]:
    """Append the working folder, and further ones, to the import path, for the user's modules."""
    added = [str(Path.cwd()), *map(str, folders)]
    sys.path.extend(added)
    try:
        yield
    finally:
        for folder in reversed(added):
            # The last one: the path may have had the folder before.
            if folder in sys.path:
                del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]


def import_file(file: Path, error: type[DimpleError] = UsageError) -> ModuleType:
    """Run a file of Python code as the module of its name, whose objects worker processes receive with their code.

    Modules beside the file can be imported by it.

    Raises:
        DimpleError: of the given type, if it is missing or fails.
    """
    import cloudpickle

    name = file.stem
    if name in sys.modules and name not in _imported:
        known = getattr(sys.modules[name], "__file__", None)
        if known is None or Path(known).resolve() != file.resolve():
            raise error(f"{file}: a module named {name} is loaded already; rename the file")
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise error(f"{file}: is no file of Python code; its name ends in .py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with search_working_folder(file.resolve().parent):
            specification.loader.exec_module(module)
    except (Exception, SystemExit) as cause:
        del sys.modules[name]
        raise error(f"{file}: fails with {describe_cause(cause)}; mend the code") from cause
    _imported[name] = file.resolve()
    cloudpickle.register_pickle_by_value(module)
    return module


def import_object(reference: ObjectReference, role: str = "model") -> Any:
    """Import the object of a file or of a module, which runs its code; a call is not made.

    Raises:
        UsageError: if the file, the module or the object is not there.
        DimpleError: of the type ModelError, if importing it fails.
    """
    where = f"{role} {format_value(reference.text)}"
    if reference.source == "file":
        file = expand_home(reference.place)
        if not file.is_file():
            require_object(reference, role)
        value: Any = import_file(file, ModelError)
    else:
        with search_working_folder():
            try:
                value = importlib.import_module(reference.place)
            except ModuleNotFoundError as cause:
                raise UsageError(f"{where}: {cause}; install it, or run in the folder that holds it") from cause
            except (Exception, SystemExit) as cause:
                raise ModelError(f"{where}: importing {reference.place} fails: {describe_cause(cause)}") from cause
    public = [name for name in vars(value) if not name.startswith("_")]
    for part in reference.name.split("."):
        value = getattr(value, part, None)
        if value is None:
            hint = suggest_word(part, public, "give one of its attributes")
            raise UsageError(f"{where}: {reference.module} has no {reference.name!r}; {hint}")
    imported_objects.add(reference.text)
    return value
