"""Classes of the user in scenes: files of Python code that were named, and the sums by which a run knows them."""

import dataclasses
import hashlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

from torch import nn

import dimple
from dimple.errors import SceneError
from dimple.networks.module_network import FACTORIES, ModuleNetwork
from dimple.object_reference import import_file
from dimple.runs.run import RunFolder
from dimple.scene.plugins import require_member
from dimple.scene.scene import FAMILIES, Scene
from dimple.settings import expand_home

# The sha256 of each file whose classes scenes may name, by the name of its module.
_allowed: dict[str, str] = {}
# The files that were run, for other processes to run them too.
allowed_files: dict[str, Path] = {}


class CodeFile(TypedDict):
    """A file of code that a run was made with: its name, and the sha256 of its content."""

    file: str
    sha256: str


def allow_code(path: Path | str) -> list[str]:
    """Run a file of Python code, and let scenes and runs name its classes: manifolds, labels, objectives, probes.

    A scene with `network: {kind: module, name: "my_networks.py:Net(3)"}` may name each `nn.Module` of the file, and its
    functions, which return one.

    Call it for files that you trust only: the code is executed.

    Args:
        path: the file, such as `my_manifolds.py`.

    Returns:
        The values of `kind`, and of `name` of a network, that are now known, such as `my_manifolds:Knot`.

    Raises:
        SceneError: if the file is missing, fails, or holds nothing that a scene can use.
    """
    file = expand_home(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SceneError(f"{path}: cannot be read ({error.strerror or error}); name a file of Python code") from None
    module = import_file(file, SceneError)
    _allowed[file.stem] = hashlib.sha256(content).hexdigest()
    allowed_files[file.stem] = file.absolute()
    own = [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == module.__name__]
    for cls in own:
        # What others derive from need not be complete.
        if not any(other is not cls and issubclass(other, cls) for other in own):
            require_member(cls, FAMILIES, str(path))
    kinds = [kind for cls in own for kind in _register(cls, file.stem)]
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    FACTORIES.update({f"{file.stem}:{name}": value for name, value in public.items() if callable(value)})
    factories = [f"{file.stem}:{name}" for name, value in public.items() if _is_factory(value, module)]
    if not kinds and not factories:
        families = ", ".join(base.__name__ for base in FAMILIES)
        raise SceneError(
            f"{path}: holds no class that a scene can use; derive one from {families}, or write a function below "
            "@chart_manifold or @function_probe, or one without arguments that returns a network"
        )
    return [*kinds, *factories]


def _is_factory(value: Any, module: ModuleType) -> bool:
    """Return whether a value of a file is a network, or a class or function of its own that may return one."""
    if isinstance(value, nn.Module):
        return True
    if getattr(value, "__module__", None) != module.__name__:
        return False
    if inspect.isclass(value):
        return issubclass(value, nn.Module)
    if not inspect.isfunction(value):
        return False
    return all(parameter.default is not parameter.empty for parameter in inspect.signature(value).parameters.values())


def register_code(scene: Scene) -> dict[str, CodeFile]:
    """Let this process read runs of a scene with classes of its user, and return their files by module.

    A class that was defined without a file, such as in a notebook, has an empty sum.
    """
    package = Path(dimple.__file__).parent
    files: dict[str, CodeFile] = {}
    for value in _objects_in(scene):
        cls = type(value)
        module = cls.__module__
        source = _source_of(cls)
        if isinstance(value, ModuleNetwork) and value.module is not None:
            module = value.module
            source = _existing_file(getattr(sys.modules.get(module), "__file__", None))
        elif (source is not None and source.is_relative_to(package)) or _is_installed(cls):
            continue
        else:
            _register(cls, module)
        content_sum = "" if source is None else hashlib.sha256(source.read_bytes()).hexdigest()
        _allowed[module] = content_sum
        files[module] = {"file": module if source is None else source.name, "sha256": content_sum}
    return files


def _is_installed(cls: type) -> bool:
    """Return whether a class has a kind without a file: that of an installed package."""
    return any(member is cls and ":" not in kind for table in FAMILIES.values() for kind, member in table.items())


def _source_of(cls: type) -> Path | None:
    try:
        return _existing_file(inspect.getsourcefile(cls))
    except (OSError, TypeError):
        return None


def _existing_file(path: str | None) -> Path | None:
    return None if path is None or not Path(path).is_file() else Path(path)


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
