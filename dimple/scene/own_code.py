"""Classes of the user in scenes: files of Python code that were named, and the sums by which a run knows them."""

import dataclasses
import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import dimple
from dimple.errors import SceneError
from dimple.runs.run import RunFolder
from dimple.scene.scene import FAMILIES, Scene
from dimple.settings import expand_home

# The sha256 of each file whose classes scenes may name, by the name of its module.
_allowed: dict[str, str] = {}


class CodeFile(TypedDict):
    """A file of code that a run was made with: its name, and the sha256 of its content."""

    file: str
    sha256: str


def allow_code(path: Path | str) -> list[str]:
    """Run a file of Python code, and let scenes and runs name its classes: manifolds, labels, objectives, probes.

    Call it for files that you trust only: the code is executed.

    Args:
        path: the file, such as `my_manifolds.py`.

    Returns:
        The values of `kind` that are now known, such as `my_manifolds:Knot`.

    Raises:
        SceneError: if the file is missing, fails, or holds no class of a family.
    """
    file = expand_home(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror or error}); name a file of Python code") from None
    module = _import_file(file)
    _allowed[file.stem] = hashlib.sha256(content).hexdigest()
    own = [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == module.__name__]
    kinds = [kind for cls in own for kind in _register(cls, file.stem)]
    if not kinds:
        families = ", ".join(base.__name__ for base in FAMILIES)
        raise SceneError(f"{path}: holds no class that a scene can use; derive one from {families}")
    return kinds


def _import_file(file: Path) -> ModuleType:
    """Run a file as the module of its name, whose objects worker processes receive with their code."""
    import cloudpickle

    specification = importlib.util.spec_from_file_location(file.stem, file)
    if specification is None or specification.loader is None:
        raise SceneError(f"{file}: is no file of Python code; its name ends in .py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[file.stem] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[file.stem]
        raise SceneError(f"{file}: fails with {type(error).__name__}: {error}; mend the code") from error
    cloudpickle.register_pickle_by_value(module)
    return module


def register_code(scene: Scene) -> dict[str, CodeFile]:
    """Let this process read runs of a scene with classes of its user, and return their files by module.

    A class that was defined without a file, such as in a notebook, has an empty sum.
    """
    package = Path(dimple.__file__).parent
    files: dict[str, CodeFile] = {}
    for value in _objects_in(scene):
        cls = type(value)
        source = _source_of(cls)
        if source is not None and source.is_relative_to(package):
            continue
        _register(cls, cls.__module__)
        content_sum = "" if source is None else hashlib.sha256(source.read_bytes()).hexdigest()
        _allowed[cls.__module__] = content_sum
        files[cls.__module__] = {"file": cls.__module__ if source is None else source.name, "sha256": content_sum}
    return files


def _source_of(cls: type) -> Path | None:
    try:
        source = inspect.getsourcefile(cls)
    except (OSError, TypeError):
        return None
    return None if source is None or not Path(source).is_file() else Path(source)


def _register(cls: type, module: str) -> list[str]:
    """Add a class to the tables of its families, and return the value of `kind` for each."""
    kind = f"{module}:{cls.__qualname__}"
    members = [table for base, table in FAMILIES.items() if issubclass(cls, base) and not inspect.isabstract(cls)]
    for table in members:
        table[kind] = cls
    return [kind] * len(members)


def _objects_in(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return [found for item in value for found in _objects_in(item)]
    if not dataclasses.is_dataclass(value):
        return []
    fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
    return [value, *(found for field in fields for found in _objects_in(field))]


def require_code(run: RunFolder) -> None:
    """Refuse a run whose classes are not known, or whose file has changed since.

    Raises:
        SceneError: naming the file.
    """
    for module, code in run.info.get("code", {}).items():
        if module not in _allowed:
            raise SceneError(
                f"{run.path}: was made with classes of {code['file']}; to trust that code and use it, call "
                f"dimple.allow_code({code['file']!r}), or give --allow-code {code['file']}"
            )
        if _allowed[module] != code["sha256"]:
            raise SceneError(
                f"{run.path}: was made with another {code['file']} (sha256 {code['sha256'][:12]}, the file has "
                f"{_allowed[module][:12]}); restore it, or simulate the scene again"
            )
