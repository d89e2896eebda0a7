"""Checks of what a user names: models, data sets, weights files, devices and run folders.

Each function refuses what is not there. They need no torch and read no data, so that a mistake is answered in a moment.
"""

import contextlib
import csv
import glob
import importlib.util
import itertools
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from dimple.errors import DataError, DeviceError, MissingDataError, ModelError, RunError, UsageError
from dimple.names import (
    DATASETS,
    DIGITS,
    FETCHED_DATASETS,
    FETCHED_MODELS,
    HUB,
    HUB_DATA_PACKAGE,
    LIBRARIES,
    MODELS,
    SIZED_ARCHITECTURES,
    WEIGHTS_SUFFIXES,
)
from dimple.object_reference import ObjectReference, parse_reference, require_object
from dimple.settings import closest_word, expand_home, format_value, suggest_word

# The columns of a table that hold the label where none is named, and what separates columns.
LABEL_COLUMNS = ("label", "class", "target", "y")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
MAX_COLUMNS = 10
# The first bytes of a file of torch.save: of a zip archive, and of a pickle.
TORCH_STARTS = (b"PK", b"\x80")
# A data set of the hub: OWNER/NAME, a revision, and one of its configurations.
HUB_DATA_PATTERN = re.compile(r"\w[\w.\-]*(/\w[\w.\-]*)?(@[\w.\-/]+)?(:[\w.\-]+)?")


def cache_folder() -> Path:
    """Return the folder of the user's cache that belongs to dimple, which need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dimple"


def require_model_name(name: str) -> None:
    """Refuse the name of a network that is not there; none of its code is run.

    Raises:
        UsageError: with the names that are known.
        DeviceError: if its library is not installed.
        ModelError: if the file of a network of RobustBench is not there.

    Example:
        >>> require_model_name("resnet21")
        Traceback (most recent call last):
        dimple.errors.UsageError: model 'resnet21' is unknown; did you mean 'resnet32'? (choose cifar_convnet, ...
    """
    reference = parse_reference(name)
    if reference.source in ("file", "module"):
        require_object(reference)
    elif reference.source != "builtin":
        require_library(reference)
        if reference.source == "robustbench":
            find_robustbench_file(reference)
    elif reference.name in SIZED_ARCHITECTURES:
        if reference.args:
            raise UsageError(f"model {format_value(name)}: give settings by name, such as {reference.name}(depth=20)")
    elif reference.name not in MODELS:
        known = (*MODELS, *SIZED_ARCHITECTURES)
        near = closest_word(reference.name, known)
        hint = "" if near is None else f"did you mean {near!r}? "
        listed = f"choose {', '.join(known)}; your own code is file.py:OBJECT or package.module:OBJECT"
        raise UsageError(f"model {format_value(name)} is unknown; {hint + f'({listed})' if hint else listed}")
    elif reference.has_arguments:
        raise UsageError(f"model {format_value(name)}: {reference.name} takes no arguments; leave them out")


def require_library(reference: ObjectReference) -> None:
    """Refuse a network of a library that is not installed.

    Raises:
        DeviceError: with what to install.
    """
    library = LIBRARIES[reference.source]
    require_package(library.package, library.extra, reference.text)


def require_package(package: str, extra: str, wanted: str) -> None:
    """Refuse what needs a package of an extra that is not installed; the package is not loaded.

    Raises:
        DeviceError: with what to install.
    """
    try:
        found = package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise DeviceError(f"{wanted} needs {package}, which is not installed; pip install 'dimple-lab[{extra}]'")


def find_robustbench_file(reference: ObjectReference) -> tuple[Path, str, str]:
    """Return the file of a network of RobustBench, its data set and its threat model.

    The folder has the layout of the package, DATASET/THREAT_MODEL/NAME.pt. It is the argument `folder`, or else the
    first of `models` in the working folder, `robustbench` in `$DIMPLE_DATA`, and `robustbench` in the cache.

    Raises:
        UsageError: if an argument is unknown.
        ModelError: if the file is not there, with the networks that are.
    """
    unknown = sorted(reference.kwargs.keys() - {"dataset", "threat_model", "folder"})
    if reference.args or unknown or not all(isinstance(value, str) for value in reference.kwargs.values()):
        raise UsageError(
            f"model {format_value(reference.text)}: its arguments are dataset, threat_model and folder, such as "
            f"robustbench:{reference.name}(threat_model='L2')"
        )
    given = reference.kwargs.get("folder")
    folders = [expand_home(given)] if given else [Path("models"), *(path / "robustbench" for path in data_folders())]
    wanted = (reference.kwargs.get("dataset", "*"), reference.kwargs.get("threat_model", "*"))
    for folder in folders:
        files = [path for path in folder.glob("*/*/*.pt") if path.is_file()]
        found = [path for path in files if path.stem == reference.name and _is_wanted(path, wanted)]
        if len(found) == 1:
            return found[0], found[0].parent.parent.name, found[0].parent.name
        if found:
            places = ", ".join(f"{path.parent.parent.name}/{path.parent.name}" for path in sorted(found))
            raise ModelError(
                f"model {format_value(reference.text)}: is there {len(found)} times ({places}); add "
                "(dataset='...', threat_model='...')"
            )
        if files:
            names = sorted({path.stem for path in files})
            listed = f"{folder} has {', '.join(names[:10])}"
            raise ModelError(
                f"model {format_value(reference.text)}: {folder} has no such file; "
                f"{suggest_word(reference.name, names, listed)}"
            )
    raise ModelError(
        f"model {format_value(reference.text)}: there is no {folders[0]}/DATASET/THREAT_MODEL/{reference.name}.pt; "
        "put the file there, or name the folder: robustbench:NAME(folder='...')"
    )


def _is_wanted(path: Path, wanted: tuple[str, str]) -> bool:
    found = (path.parent.parent.name, path.parent.name)
    return all(want in ("*", have) for want, have in zip(wanted, found, strict=True))


def require_fetchable(names: Sequence[str]) -> None:
    """Refuse names that `dimple fetch` does not know, all of them at once.

    Raises:
        UsageError: with the names that it knows.
    """
    known = (*FETCHED_DATASETS, *FETCHED_MODELS)
    listed = f"choose from {', '.join(known)}"
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            *(
                f"there is nothing to fetch for {format_value(name)}; {suggest_word(name, known, listed)}"
                for name in unknown
            )
        )


def fetched_weights(model: str) -> Path | None:
    """Return the weights of a built-in network that `dimple fetch` has got; None where there are none."""
    file = cache_folder() / "networks" / f"{model}.th"
    return file if model in FETCHED_MODELS and file.is_file() else None


def has_own_weights(model: str) -> bool:
    """Return whether the weights of a network come with its name: from the hub, from a folder, or fetched."""
    source = parse_reference(model).source
    return source in ("hf", "robustbench") or fetched_weights(model) is not None


def require_shape(model: str, shape: Sequence[int], data: str) -> None:
    """Refuse samples of another shape than a built-in network takes; `data` is their name in the error.

    Raises:
        ModelError: with the networks that take them.
    """
    expected = MODELS.get(model, tuple(shape))
    if expected != tuple(shape):
        suitable = [name for name, taken in MODELS.items() if taken == tuple(shape)]
        hint = f"choose {' or '.join(suitable)}" if suitable else "name your own code, file.py:OBJECT"
        taken, size = (" x ".join(map(str, sides)) for sides in (expected, shape))
        raise ModelError(f"{model} takes {taken} images, {data} has {size}; {hint}")


def dataset_path(spec: str) -> tuple[str, Path | None]:
    """Return the name and the path in the specification of a data set; the digits and the hub have no path.

    The path of a data set that `dimple fetch` gets may be left out: it is looked for in `$DIMPLE_DATA` and the cache.

    Raises:
        UsageError: if it names no data set.
        DataError: if there is nothing at the path.
        DeviceError: if the library of the hub is not installed.

    Example:
        >>> dataset_path("digts")
        Traceback (most recent call last):
        dimple.errors.UsageError: data 'digts' names no data set; did you mean 'digits'?
    """
    kind, colon, name = spec.partition(":")
    if kind == DIGITS and not name:
        return kind, None
    if kind == HUB and HUB_DATA_PATTERN.fullmatch(name):
        require_package(HUB_DATA_PACKAGE, "hub", f"data {format_value(spec)}")
        return kind, None
    if kind not in DATASETS:
        paths = ":PATH, ".join(DATASETS)
        hint = suggest_word(kind, [DIGITS, *DATASETS], f"choose {DIGITS}, {paths}:PATH, or {HUB}:OWNER/NAME")
        raise UsageError(f"data {format_value(spec)} names no data set; {hint}")
    if not colon and kind in FETCHED_DATASETS:
        name = locate_dataset(kind).partition(":")[2]
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


def choose_label_column(names: list[str], label: str | None, location: str) -> str:
    """Return the column of a table that has the labels.

    Raises:
        DataError: with the columns that there are.
    """
    listed = f"its columns are {', '.join(names[:MAX_COLUMNS])}{', ...' if len(names) > MAX_COLUMNS else ''}"
    if label is not None:
        if label not in names:
            raise DataError(f"{location}: has no column {format_value(label)}; {suggest_word(label, names, listed)}")
        return label
    found = [name for name in names if name.lower() in LABEL_COLUMNS]
    if len(found) != 1:
        problem = "several columns that may be the label" if found else f"no column {', '.join(LABEL_COLUMNS)}"
        raise DataError(f"{location}: has {problem}; name the column of the labels by --label ({listed})")
    return found[0]


def require_label_column(path: Path, label: str | None) -> None:
    """Refuse a column of labels that the first line of a text file does not name; other files are left alone.

    Raises:
        DataError: with the columns that there are.
    """
    separator = SEPARATORS.get(path.suffix.lower())
    if separator is None or not path.is_file():
        return
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        names = next(csv.reader([file.readline(2**20)], delimiter=separator), [])
    choose_label_column([name.strip() for name in names], label, str(path))


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
        name,
        f"needs {name}, which is not on this machine; give --data {name}:PATH, or set DIMPLE_DATA to its parent"
        + (f", or get it by dimple fetch {name}" if name in FETCHED_DATASETS else ""),
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


def list_series(patterns: str | Sequence[str] | None) -> dict[str, str]:
    """Return several folders that hold a series of weights files each, by name; empty for anything else.

    Folders with one file each, `checkpoint-500` and `checkpoint-1000`, are one series.
    """
    folders = [] if patterns is None or isinstance(patterns, str) else [expand_home(pattern) for pattern in patterns]
    if len(folders) < 2 or not all(
        folder.is_dir() and sum(map(_is_weights_file, folder.iterdir())) > 1 for folder in folders
    ):
        return {}
    depth = next(
        depth for depth in range(1, 100) if len({folder.resolve().parts[-depth:] for folder in folders}) == len(folders)
    )
    return {"-".join(folder.resolve().parts[-depth:]): str(folder) for folder in dict.fromkeys(folders)}


def _match_files(pattern: str) -> list[str]:
    folder = expand_home(pattern)
    if folder.is_dir():
        found = [str(path) for path in folder.iterdir() if _is_weights_file(path)]
        if not found:
            raise ModelError(f"{pattern}: holds no weights files ({', '.join(WEIGHTS_SUFFIXES)}); name another folder")
        return found
    matches = glob.glob(str(folder), recursive=True)  # noqa: PTH207 (Path.glob refuses an absolute pattern)
    paths = [path for path in matches if Path(path).is_file()]
    if not paths:
        raise ModelError(f"no file matches the pattern {pattern!r}; check it, and put it in quotes for the shell")
    return paths


def _is_weights_file(path: Path) -> bool:
    """Return whether a file has a name of weights; one that ends in .tar, as those of timm, also their first bytes."""
    if not path.is_file():
        return False
    if path.suffix != ".tar":
        return path.suffix in WEIGHTS_SUFFIXES
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(2).startswith(TORCH_STARTS)
    return False


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
        RunError: if a name in the path is too long for the file system, holds a null character, or is not in UTF-8,
            which the writers of tables need.
    """
    path = expand_home(path)
    try:
        str(path).encode()
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        is_encoding = isinstance(error, UnicodeEncodeError)
        cause = error.strerror if isinstance(error, OSError) else "is not in UTF-8" if is_encoding else error
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
        others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
        other = next(folder for folder in others if not folder.exists())
        raise RunError(
            f"{path}: already holds a finished run; choose another out=, such as {other}, or force=True to replace it"
        )
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
