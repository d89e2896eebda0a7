"""Checks of what a user names: models, data sets, weights files, devices and run folders.

Each function refuses what is not there. They need no torch and read no data, so that a mistake is answered in a moment.
"""

import glob
import importlib.util
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from dimple.errors import DataError, DeviceError, MissingDataError, ModelError, RunError, UsageError
from dimple.names import DATASETS, DIGITS, MODELS, WEIGHTS_SUFFIXES
from dimple.settings import closest_word, expand_home, format_value, suggest_word


def cache_folder() -> Path:
    """Return the folder of the user's cache that belongs to dimple, which need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dimple"


def require_model_name(name: str) -> None:
    """Refuse the name of a network that is neither built in nor `package.module:factory` of a package that is there.

    Raises:
        UsageError: with the names that are known.

    Example:
        >>> require_model_name("resnet21")
        Traceback (most recent call last):
        dimple.errors.UsageError: model 'resnet21' is unknown; did you mean 'resnet32'? (choose cifar_convnet, ...
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in MODELS:
            near = closest_word(name, MODELS)
            hint = "" if near is None else f"did you mean {near!r}? "
            listed = f"choose {', '.join(MODELS)}; your own code is package.module:factory"
            raise UsageError(f"model {format_value(name)} is unknown; {hint + f'({listed})' if hint else listed}")
        return
    if not module or not attribute:
        raise UsageError(f"model {format_value(name)} is incomplete; write package.module:factory")
    if module.endswith(".py") or "/" in module or module.startswith("."):
        stem = Path(module).stem
        raise UsageError(
            f"model {format_value(name)} begins with a path; write {stem}:{attribute}, and run in that folder"
        )
    package = module.partition(".")[0]
    if package not in sys.modules and not _can_import(package):
        raise UsageError(
            f"model {format_value(name)}: No module named {package!r}; install it, or run in the folder that holds it"
        )


def require_shape(model: str, shape: Sequence[int], data: str) -> None:
    """Refuse samples of another shape than a built-in network takes; `data` is their name in the error.

    Raises:
        ModelError: with the networks that take them.
    """
    expected = MODELS.get(model, tuple(shape))
    if expected != tuple(shape):
        suitable = [name for name, taken in MODELS.items() if taken == tuple(shape)]
        hint = f"choose {' or '.join(suitable)}" if suitable else "write your own package.module:factory"
        taken, size = (" x ".join(map(str, sides)) for sides in (expected, shape))
        raise ModelError(f"{model} takes {taken} images, {data} has {size}; {hint}")


def _can_import(package: str) -> bool:
    """Return whether a package is on the import path or in the working folder; nothing of it is run."""
    sys.path.append(str(Path.cwd()))
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
    finally:
        sys.path.pop()


def dataset_path(spec: str) -> tuple[str, Path | None]:
    """Return the name and the path in the specification of a data set; the path of the digits is None.

    Raises:
        UsageError: if it names no data set.
        DataError: if there is nothing at the path.

    Example:
        >>> dataset_path("digts")
        Traceback (most recent call last):
        dimple.errors.UsageError: data 'digts' names no data set; did you mean 'digits'?
    """
    kind, _, name = spec.partition(":")
    if kind == DIGITS and not name:
        return kind, None
    if kind not in DATASETS:
        hint = suggest_word(kind, [DIGITS, *DATASETS], f"choose {DIGITS}, {':PATH, '.join(DATASETS)}:PATH")
        raise UsageError(f"data {format_value(spec)} names no data set; {hint}")
    if not name:
        raise UsageError(f"data {format_value(spec)} names no path; write {kind}:PATH")
    path = expand_home(name)
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; check the path in {spec!r}")
        if not (path.is_file() or path.is_dir()):
            raise DataError(f"{path}: is neither a regular file nor a folder; check the path in {spec!r}")
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None
    return kind, path


def locate_dataset(name: str, location: str | None = None) -> str:
    """Return the specification `NAME:PATH` of a data set, as `load_images` takes it.

    Args:
        name: such as `mnist`; `digits` is part of scikit-learn.
        location: `NAME:PATH`, which a user gave; None to look in `$DIMPLE_DATA/NAME` and then in the cache,
            `~/.cache/dimple/NAME`.

    Raises:
        UsageError: if the location is that of another data set.
        MissingDataError: if the data set is in none of these places.
    """
    if name == DIGITS:
        return name
    if location is not None:
        if not location.startswith(f"{name}:"):
            raise UsageError(f"data {format_value(location)} is not what the scene needs; write {name}:PATH")
        return location
    for folder in data_folders():
        if (folder / name).exists():
            return f"{name}:{(folder / name).resolve()}"
    raise MissingDataError(
        name, f"needs {name}, which is not on this machine; give --data {name}:PATH, or set DIMPLE_DATA to its parent"
    )


def data_folders() -> list[Path]:
    """Return the folders in which data sets are looked for, in this order."""
    given = os.environ.get("DIMPLE_DATA")
    return [*([Path(given)] if given else []), cache_folder()]


def require_weights_file(path: Path | str) -> None:
    """Refuse a weights file that does not exist.

    Raises:
        ModelError: if it is missing, or no regular file.
    """
    file = expand_home(path)
    try:
        if file.is_file():
            return
        kind = "is a folder" if file.is_dir() else "is not a regular file" if file.exists() else "does not exist"
    except OSError as error:
        kind = f"cannot be read ({error.strerror or error})"
    raise ModelError(f"{path}: {kind}; name a readable weights file, .safetensors or .pt")


def list_weights(patterns: str | Sequence[str]) -> list[str]:
    """Return the files that match a shell pattern, or any of several; a folder stands for the weights files in it.

    Raises:
        ModelError: if no file matches one of the patterns.
    """
    listed = [patterns] if isinstance(patterns, str) else patterns
    return [*dict.fromkeys(path for pattern in listed for path in _match_files(pattern))]


def _match_files(pattern: str) -> list[str]:
    folder = expand_home(pattern)
    if folder.is_dir():
        found = [str(path) for path in folder.iterdir() if path.suffix in WEIGHTS_SUFFIXES and path.is_file()]
        if not found:
            raise ModelError(f"{pattern}: holds no weights files ({', '.join(WEIGHTS_SUFFIXES)}); name another folder")
        return found
    matches = glob.glob(str(folder), recursive=True)  # noqa: PTH207 (Path.glob refuses an absolute pattern)
    paths = [path for path in matches if Path(path).is_file()]
    if not paths:
        raise ModelError(f"no file matches the pattern {pattern!r}; check it, and put it in quotes for the shell")
    return paths


def require_device_name(name: str) -> None:
    """Refuse a name that no device has; whether this machine has the device is known with torch only.

    Raises:
        DeviceError: if the name is none of auto, cpu, cuda, cuda:INDEX and mps.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise DeviceError(f"device {format_value(name)} is unknown; choose auto, cpu, cuda, cuda:INDEX or mps")


def run_path(path: Path | str) -> Path:
    """Return the path of a run with the home folder for a leading tilde.

    Raises:
        RunError: if a name in the path is too long for the file system, or holds a null character.
    """
    path = expand_home(path)
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise RunError(f"{format_value(str(path))}: cannot be used ({cause}); choose another path") from None
    return path


def require_run(path: Path | str) -> None:
    """Refuse a path where no run is: neither a folder with a `run.json` nor a file.

    Raises:
        RunError: with the way to make one.
    """
    path = run_path(path)
    if path.is_file():
        return
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder; make one with dimple simulate SCENE --out {path}")
    if not (path / "run.json").exists():
        raise RunError(f"{path}: holds no run.json, so it is not a run of dimple; name a run folder")


def require_free_folder(path: Path | str, force: bool = False) -> None:
    """Refuse a path where no run can be made: a file, a folder of other files, or a finished run without `force`.

    Raises:
        RunError: with the way out.
    """
    path = run_path(path)
    if path.is_file():
        raise RunError(f"{path}: is a file, but a run is a folder; choose another out=")
    try:
        names = {entry.name for entry in path.iterdir()} if path.exists() else set()
        is_filled = any(not name.startswith(".dimple-") for name in names)
    except OSError as error:
        raise _cannot_make(path, error.strerror or str(error)) from None
    # A manifest alone is what a killed start leaves, which the run decides about.
    if is_filled and not names & {"run.json", "manifest.jsonl"}:
        raise RunError(f"{path}: is not empty and holds no run; choose another out=")
    if "run.json" in names and not force and _status(path / "run.json") == "complete":
        raise RunError(f"{path}: already holds a finished run; choose another out=, or force=True to replace it")
    parent = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not parent.is_dir():
        raise _cannot_make(path, "Not a directory")
    if not os.access(parent, os.W_OK):
        raise _cannot_make(path, "Permission denied")


def _cannot_make(path: Path, reason: str) -> RunError:
    return RunError(f"{path}: cannot be made ({reason}); choose another out=")


def _status(file: Path) -> object:
    """Return the status in a run.json, None where it cannot be read, which the reader of the run answers."""
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return info.get("status") if isinstance(info, dict) else None
