"""The schema of the files of a run: what each must hold, checked before it is used.

A run may come from a stranger, or may have been changed by hand. Types, ranges and sizes are those of `dimple`; a key
or a column that is missing is found where it is read, by a `Record`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
import yaml
from annotated_types import Interval, MinLen
from numpy.typing import NDArray
from pydantic import AfterValidator, Strict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from dimple.columns import OWN_COLUMNS, describe_column
from dimple.errors import RunError, printable
from dimple.limits import require_memory
from dimple.settings import describe_problem

MAKE_AGAIN = "make the run again with force=True"
MAX_INFO_BYTES = 2**24
MAX_SETTINGS_BYTES = 10**6
MAX_SIDE = 2**31
# Columns of words among those with a meaning.
WORD_COLUMNS = frozenset(("split", "statistic", "unit"))
# Columns that each row of a table needs, by the name of the table.
REQUIRED_COLUMNS: dict[str, tuple[str, ...]] = {
    "metrics": ("step",),
    "points": ("step", "split", "index", "label", "prediction"),
    "measurements": ("step", "label", "prediction"),
    "replicas": ("replica", "seed", "step"),
}
INTEGER_COLUMNS = ("step", "index", "label", "prediction", "replica", "seed")
# Arrays of indices.
INDEX_ARRAYS = frozenset(("faces", "labels", "pairs", "regions", "sides"))
V = TypeVar("V")


class Record(dict[str, V], Generic[V]):
    """A mapping read from a file, which answers a key that it lacks with an error about the file.

    Attributes:
        place: the file, and the path in it.
    """

    def __init__(self, values: Mapping[str, V], place: str) -> None:
        super().__init__(values)
        self.place = place

    def __missing__(self, key: str) -> V:
        raise RunError(f"{self.place}: lacks {printable(str(key))[:80]}; {MAKE_AGAIN}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (dict(self), self.place)


yaml.SafeDumper.add_multi_representer(Record, lambda dumper, record: dumper.represent_dict(record))

Integer = Annotated[int, Strict(), Interval(ge=-(2**53), le=2**53)]
Step = Annotated[int, Strict(), Interval(ge=0, le=2**53)]
Number = Annotated[float, Strict()] | None
Word = Annotated[str, Strict()]
Seconds = Annotated[float, Strict(), Interval(ge=0, le=1e12)]


def _is_quantity(name: str) -> bool:
    """Return whether a column or an entry of a summary has numbers; of names that mean nothing here it is unknown."""
    is_word = name in WORD_COLUMNS or name.endswith("_verdict")
    return not is_word and (name in INTEGER_COLUMNS or bool(describe_column(name).meaning))


def _require_numbers(row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if isinstance(value, str) and _is_quantity(name):
            raise PydanticCustomError("number", f"must have numbers, and {printable(name)[:80]} is a text")
    return row


Row = Annotated[dict[str, Word | bool | Integer | Number], AfterValidator(_require_numbers)]


class _Condition(TypedDict, total=False):
    name: Word
    statement: Word
    value: Number
    threshold: Number
    met: bool | None
    finding: Word
    comparison: Word
    is_lower_bound: bool


class _Fall(TypedDict, total=False):
    first_step: Step
    last_step: Step
    translation: list[Number]
    tilt: list[Number]
    angle: list[Number]
    angle_null: Number
    translation_fraction: Number


class _Summary(TypedDict, total=False):
    steps: Step
    snapshots: Step
    cling_step: Step | None
    dimple_step: Step | None
    distance_fall: Number
    starts_beyond_limit: bool
    phases: list[dict[str, Any]]
    verdict: Word
    verdict_reason: Word
    conditions: list[_Condition]
    fall: _Fall | None
    controls: dict[str, Any]
    final: Row
    verdicts: dict[str, Word]
    rows: Annotated[list[Row], MinLen(1)]
    units: dict[str, Word]
    class_fractions: list[Row]
    pairs: list[dict[str, Any]]


class _Samples(TypedDict, total=False):
    shape: Annotated[list[Annotated[int, Strict(), Interval(ge=1, le=MAX_SIDE)]], MinLen(1)]
    classes: Annotated[list[Word], MinLen(2)]
    source: Word


class _SliceInfo(TypedDict, total=False):
    description: Word
    dim: Literal[2, 3]
    images: list[Step]
    classes: Annotated[list[Word], MinLen(2)]
    resolution: Annotated[int, Strict(), Interval(ge=1, le=10**5)]
    control_resolution: Annotated[int, Strict(), Interval(ge=1, le=10**5)]
    levelset: Word
    null_draws: Step
    step_unit: Word


class _Replicas(TypedDict, total=False):
    count: Annotated[int, Strict(), Interval(ge=1, le=10**7)]
    shown: Step
    seeds: Annotated[list[Step], MinLen(1)]
    verdicts: dict[str, Step]
    supported_fraction: Number
    supported_interval: Annotated[list[float], MinLen(2)]
    median: dict[str, Any]


class RunInfo(TypedDict, total=False):
    """The content of run.json; keys that are not listed are not read."""

    name: Word
    kind: Word
    seed: Annotated[int, Strict(), Interval(ge=0, lt=2**63)]
    device: Word
    versions: dict[str, Word]
    samples: _Samples
    status: Literal["running", "trained", "complete", "interrupted", "diverged"]
    seconds: dict[str, Seconds]
    summary: _Summary | None
    passes: dict[str, dict[str, Step]]
    facts: list[Annotated[list[Word], MinLen(2)]]
    classes: list[Word]
    units: dict[str, Word]
    meanings: dict[str, Word]
    warnings: list[Word]
    code: dict[str, dict[str, Word]]
    scene: dict[str, Any]
    replicas: _Replicas
    slice: _SliceInfo
    recorder: dict[str, Any]


_RUN_INFO: TypeAdapter[RunInfo] = TypeAdapter(RunInfo)


def read_text(read: Callable[[Path], bytes], path: Path, largest: int) -> str:
    """Return the text of a file of at most so many bytes.

    Raises:
        RunError: if it is larger, is no text, or cannot be read.
    """
    try:
        require_file_size(path, largest)
        return read(path).decode()
    except RunError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); {MAKE_AGAIN}") from None


def parse_info(text: str, path: Path) -> dict[str, Any]:
    """Return the content of a run.json, of which nothing is checked yet.

    Raises:
        RunError: if it is no mapping in JSON.
    """
    try:
        info = json.loads(text)
        if not isinstance(info, dict):
            raise ValueError("it is no mapping")
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error}); {MAKE_AGAIN}") from None
    return info


def check_info(info: dict[str, Any], path: Path) -> Record[Any]:
    """Return the content of run.json as records without control characters, after a check of its values.

    The meanings of the columns of own probes are known from then on, as if their code had been run.
    """
    try:
        _RUN_INFO.validate_python(info)
    except ValidationError as error:
        place, problem = describe_problem(error)
        raise RunError(f"{path}: {place} {problem}; {MAKE_AGAIN}") from None
    checked: Record[Any] = _to_records(info, str(path))
    replicas = checked.get("replicas")
    if replicas is not None and not replicas["shown"] < replicas["count"] == len(replicas["seeds"]):
        raise RunError(f"{path}: replicas.shown is {replicas['shown']} of {replicas['count']}; {MAKE_AGAIN}")
    OWN_COLUMNS.update(checked.get("meanings", {}))
    return checked


def parse_settings(text: str, path: Path) -> Record[Any]:
    """Return the settings of a run from their YAML, which has no aliases.

    Raises:
        RunError: if it is no mapping, or a short text that can grow without limit.
    """
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValueError("it has aliases")
        settings = yaml.safe_load(text)
        if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
            raise ValueError("it is no mapping of names")
        records: Record[Any] = _to_records(settings, str(path))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        cause = " ".join(str(error).split())
        raise RunError(f"{path}: is not readable ({cause[:300]}); {MAKE_AGAIN}") from None
    return records


def describe_difference(found: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Return the names of the settings of a run that are given otherwise, in brackets; "" if none or all are.

    Example:
        >>> describe_difference({"seed": 0, "norm": "l2"}, {"seed": 1, "norm": "l2"})
        ' (seed)'
    """
    names = [name for name in given if found.get(name) != given[name]]
    return f" ({', '.join(names[:5])})" if found and names else ""


def _to_records(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        entries = {printable(key): _to_records(item, f"{place}: {printable(key)[:80]}") for key, item in value.items()}
        return Record(entries, place)
    if isinstance(value, list):
        return [_to_records(item, place) for item in value]
    return printable(value) if isinstance(value, str) else value


def check_table(columns: Mapping[str, NDArray[Any]], path: Path) -> Record[NDArray[Any]]:
    """Return the columns of a table, of which words and numbers are where they belong."""
    checked: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if values.dtype.kind in "biuf":
            checked[printable(name)] = values
        elif values.dtype.kind == "O" and not _is_quantity(name) and all(isinstance(value, str) for value in values):
            checked[printable(name)] = np.array([printable(value) for value in values], dtype=object)
        else:
            raise RunError(f"{path}: column {printable(name)[:80]} has values of another type; {MAKE_AGAIN}")
    for name in INTEGER_COLUMNS:
        if name in checked and checked[name].dtype.kind not in "iu":
            raise RunError(f"{path}: column {name} is not of whole numbers; {MAKE_AGAIN}")
    # In the tables of a simulation it is a number.
    if path.stem == "measurements" and "correct" in checked and checked["correct"].dtype.kind != "b":
        raise RunError(f"{path}: column correct is not of yes and no; {MAKE_AGAIN}")
    for name in REQUIRED_COLUMNS.get(path.stem, ()):
        if name not in checked:
            raise RunError(f"{path}: lacks the column {name}; {MAKE_AGAIN}")
    if any(not len(values) for values in checked.values()) or not checked:
        raise RunError(f"{path}: has no rows; {MAKE_AGAIN}")
    return Record(checked, str(path))


def check_geometry(arrays: Mapping[str, NDArray[Any]], path: Path) -> Record[NDArray[Any]]:
    """Return the arrays for drawing, whose shapes, types and references fit together.

    Raises:
        RunError: such as for a face that names a vertex that does not exist.
    """
    checked: Record[NDArray[Any]] = Record(arrays, str(path))
    for name, values in arrays.items():
        problem = (
            _problem_of_values(name, values)
            or (_problem_of_faces(name, checked) if "faces" in name.split("/") else "")
            or _problem_of_shape(name, checked)
        )
        if problem:
            raise RunError(f"{path}: {printable(name)[:80]} {problem}; {MAKE_AGAIN}")
    return checked


def _problem_of_values(name: str, values: NDArray[Any]) -> str:
    if values.dtype.kind not in "biuf":
        return f"has the type {values.dtype}"
    # A boundary that was not found has no closest point.
    if values.dtype.kind == "f" and not name.startswith("closest/") and not np.isfinite(values).all():
        return "holds nan or inf"
    is_index = not INDEX_ARRAYS.isdisjoint(name.split("/"))
    if is_index and (values.dtype.kind not in "iu" or (values.size and int(values.min()) < -1)):
        return "is not of whole numbers from 0"
    return ""


def _problem_of_faces(name: str, arrays: Record[NDArray[Any]]) -> str:
    faces = arrays[name]
    vertices = arrays[name.replace("faces", "vertices")]
    if vertices.ndim != 2 or faces.ndim != 2 or vertices.shape[1] != len(arrays["low"]):
        return "is not of faces of a mesh in the box"
    if faces.size and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        return f"names vertex {faces.max()}, and there are {len(vertices)}"
    return ""


def _problem_of_shape(name: str, arrays: Record[NDArray[Any]]) -> str:
    values = arrays[name]
    if name == "low":
        low = arrays["low"]
        high = arrays["high"]
        is_box = low.ndim == 1 and low.shape == high.shape and bool((low < high).all())
        return "" if is_box else "and high are not the corners of a box"
    if name == "train":
        is_labeled = values.ndim > 1 and values.size and arrays["labels"].shape == values.shape[:1]
        return "" if is_labeled else "and labels have other shapes"
    expected = {"display_points": ("train", "low"), "axes": ("origin", "low"), "closest": ("train",)}
    others = expected.get(name.partition("/")[0], ("",))
    if not all(other in arrays for other in others):
        return ""
    # The origin of a slice of images is an image, and the train entry has one row for each sample.
    first = arrays[others[0]]
    rows = first.size if others[0] == "origin" else len(first)
    shape = first.shape if others == ("train",) else (rows, len(arrays["low"]))
    return "" if values.shape == shape else f"has shape {values.shape}, and not {shape}"


def check_images(arrays: Mapping[str, NDArray[Any]], path: Path) -> Record[NDArray[Any]]:
    """Return stored samples with their perturbations, `<split>/<name>`, of which `<split>/index` are the rows."""
    checked: Record[NDArray[Any]] = Record(arrays, str(path))
    for name, values in arrays.items():
        split, _, kind = name.rpartition("/")
        rows = checked.get(f"{split}/index" if split else "index", values)
        is_index = kind == "index"
        image = values if is_index else checked.get(name.removesuffix(kind) + "image", values)
        is_sound = values.dtype.kind == "i" and values.ndim == 1 if is_index else values.dtype.kind in "iuf"
        if not is_sound or len(rows) != len(values) or not values.size or values.shape != image.shape:
            raise RunError(f"{path}: {printable(name)[:80]} does not fit the images; {MAKE_AGAIN}")
        if values.dtype.kind == "f" and kind == "image" and not np.isfinite(values).all():
            raise RunError(f"{path}: {printable(name)[:80]} holds nan or inf; {MAKE_AGAIN}")
    return checked


def require_file_size(path: Path, largest: int | None = None) -> None:
    """Refuse a file that is larger than its kind can be, or that would fill the memory.

    Raises:
        RunError: with the size; a file that is missing is found where it is read.
    """
    size = path.stat().st_size if path.is_file() else 0
    if largest is not None and size > largest:
        raise RunError(f"{path}: has {size} bytes, more than {largest}; {MAKE_AGAIN}")
    require_memory(3.0 * size, f"{path}: has {size} bytes", RunError)
