"""Run folders and packed runs that were changed by hand: what a user is told, and that no code in them runs."""

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from dimple.cli.commands.explain import explain
from dimple.experiment import compare, export_run, pack, report
from dimple.experiment.outputs.view import load_run_view, require_drawable
from dimple.experiment.run import Run
from tests.attacks.hostile import changed_bytes, describe, require_answer, try_many

MODULE = "import pathlib\npathlib.Path({!r}).write_text('ran')\n"


def explain_run(path: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        explain([str(path)])


def view_run(path: Path) -> None:
    run = Run.open(path)
    require_drawable(run)
    view = load_run_view(run)
    assert view.evaluator is not None
    for step in run.steps:
        view.evaluator.perturbations(step, [0])


def read_all(path: Path) -> None:
    run = Run.open(path)
    _ = repr(run), run._repr_html_(), run.settings_text, run.kind, run.class_names, run.sample_shape
    for table in path.glob("*.parquet"):
        run.columns(table.stem)
    if run.kind == "simulation":
        for step in run.steps:
            run.network(step)
        run.meshes()


COMMANDS: dict[str, Callable[[Path], Any]] = {
    "explain": explain_run,
    "report": lambda path: report(path, path.parent / "report.html"),
    "compare": lambda path: compare([path, path], path.parent / "compare.html"),
    "page": lambda path: export_run(path, [path.parent / "page.html"]),
    "view": view_run,
    "pack": lambda path: pack(path, path.parent / "packed.dimple"),
    "read": read_all,
}


def change_info(path: Path, keys: tuple[str | int, ...], value: Any) -> None:
    """Set an entry of run.json, or leave it out where the value is `...`."""
    file = path / "run.json"
    info = json.loads(file.read_text())
    place = info
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    file.write_text(json.dumps(info))


def change_arrays(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    arrays = load_file(path)
    arrays[name] = np.ascontiguousarray(change(arrays[name].copy()))
    metadata = {"loss": json.dumps({"step": int(path.stem), "loss": 1.0})} if path.stem.isdigit() else None
    save_file(arrays, path, metadata)


def change_table(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    table = pq.read_table(path)
    columns = {field.name: table.column(field.name).to_numpy() for field in table.schema}
    columns[name] = change(columns[name])
    schema = [pa.field(key, pa.array(value).type, metadata={"unit": ""}) for key, value in columns.items()]
    pq.write_table(pa.table([pa.array(value) for value in columns.values()], schema=pa.schema(schema)), path)


def swap(path: Path, first: str, second: str) -> None:
    (path / first).rename(path / "other")
    (path / second).rename(path / first)
    (path / "other").rename(path / second)


def with_value(value: Any) -> Callable[[Any], Any]:
    def change(values: Any) -> Any:
        values[...] = value
        return values

    return change


SNAPSHOT = "snapshots/00000004.safetensors"
# Each change of a simulation, and a part of the sentence of the command that reads it.
CHANGES: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "swapped snapshots": (
        lambda path: swap(path, "snapshots/00000000.safetensors", SNAPSHOT),
        "read",
        "is the snapshot of step",
    ),
    "a snapshot of nan": (
        lambda path: change_arrays(path / SNAPSHOT, "0.weight", with_value(np.nan)),
        "read",
        "0.weight holds nan or inf",
    ),
    "a snapshot of another network": (
        lambda path: change_arrays(path / SNAPSHOT, "0.weight", lambda values: values[:3]),
        "read",
        "is none of its scene",
    ),
    "a snapshot of no step": (
        lambda path: (path / SNAPSHOT).rename(path / "snapshots" / "last.safetensors"),
        "read",
        "'last', which is no step",
    ),
    "a face without vertices": (
        lambda path: change_arrays(path / "geometry.safetensors", "manifold/faces", with_value(9999)),
        "page",
        "manifold/faces names vertex 9999",
    ),
    "a box without an inside": (
        lambda path: change_arrays(path / "geometry.safetensors", "low", with_value(9.0)),
        "page",
        "are not the corners of a box",
    ),
    "points of nan": (
        lambda path: change_arrays(path / "geometry.safetensors", "train", with_value(np.nan)),
        "page",
        "train holds nan or inf",
    ),
    "fewer labels": (
        lambda path: change_arrays(path / "geometry.safetensors", "labels", lambda values: values[:3]),
        "page",
        "have other shapes",
    ),
    "closest points of other samples": (
        lambda path: change_arrays(path / "geometry.safetensors", "closest/4", lambda values: values[:3]),
        "page",
        "closest/4 has shape",
    ),
    "steps that are no numbers": (
        lambda path: change_table(path / "metrics.parquet", "step", lambda values: values.astype(str)),
        "report",
        "column step has values of another type",
    ),
    "steps with fractions": (
        lambda path: change_table(path / "metrics.parquet", "step", lambda values: values + 0.5),
        "report",
        "column step is not of whole numbers",
    ),
    "a status of its own": (lambda path: change_info(path, ("status",), "done"), "report", "status is 'done'"),
    "a seed that is a word": (lambda path: change_info(path, ("seed",), "0"), "report", "seed is '0'; it must be"),
    "a text among the numbers": (
        lambda path: change_info(path, ("summary", "final", "loss"), "x"),
        "explain",
        "loss is a text",
    ),
    "no classes": (
        lambda path: change_info(path, ("samples", "classes"), ...),
        "read",
        "run.json: samples: lacks classes",
    ),
    "a summary that is a list": (lambda path: change_info(path, ("summary",), []), "report", "summary is []; it must"),
    "a shape of words": (
        lambda path: change_info(path, ("samples", "shape"), ["x"]),
        "read",
        "samples.shape[0] is 'x'",
    ),
    "seconds below 0": (lambda path: change_info(path, ("seconds", "train"), -1), "report", "seconds.train is -1"),
    "a format of its own": (lambda path: change_info(path, ("format",), 10**30), "read", "reads formats up to"),
    "no mapping": (lambda path: (path / "run.json").write_text("[1]"), "read", "is no mapping"),
    "lists without end": (lambda path: (path / "run.json").write_text("[" * 10**5), "read", "cannot be read"),
    "aliases": (
        lambda path: (path / "scene.yaml").write_text("a: &a [1]\nb: [*a, *a]"),
        "compare",
        "it has aliases",
    ),
    "a scene that is none": (lambda path: (path / "scene.yaml").write_text("- 1"), "compare", "is no mapping"),
    "bytes for a scene": (lambda path: (path / "scene.yaml").write_bytes(b"\xff\xfe"), "compare", "cannot be read"),
    "no scene": (lambda path: (path / "scene.yaml").unlink(), "compare", "cannot be read"),
    "a table cut short": (
        lambda path: (path / "metrics.parquet").write_bytes((path / "metrics.parquet").read_bytes()[:90]),
        "report",
        "is not a readable table",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_changed_run_is_answered_with_the_file_and_the_place(
    kind: str, originals: dict[str, Path], tmp_path: Path
) -> None:
    change, command, message = CHANGES[kind]
    path = tmp_path / "run"
    shutil.copytree(originals["simulation"], path)
    change(path)
    answers = {name: describe(COMMANDS[name], path) for name in COMMANDS}
    assert message in answers[command]
    assert {name: answer for name, answer in answers.items() if not answer.startswith(("refused", "read"))} == {}


def test_whether_predictions_are_correct_is_yes_or_no(originals: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run"
    file = path / "measurements.parquet"
    shutil.copytree(originals["measurement"], path)
    columns = read_columns(file)
    changed = {**columns, "correct": columns["correct"] * np.nan}
    lacking = {name: values for name, values in columns.items() if name != "correct"}
    for table, message in ((changed, "refused: "), (lacking, "read")):
        write_columns(file, table)
        for name, command in COMMANDS.items():
            answer = describe(command, path)
            assert answer.startswith(("refused", "read")), (name, answer)
        assert describe(report, path).startswith(message)


@pytest.mark.parametrize("kind", ["simulation", "measurement"])
@pytest.mark.filterwarnings("ignore")
def test_a_report_bears_the_lack_of_any_column(kind: str, originals: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(originals[kind], path)
    for file in sorted(path.rglob("*.parquet")):
        columns = read_columns(file)
        for name in columns:
            write_columns(file, {key: values for key, values in columns.items() if key != name})
            answer = describe(COMMANDS["report"], path)
            assert answer.startswith(("refused: ", "read")), (file.name, name, answer)
        write_columns(file, columns)


def test_code_that_a_measurement_names_is_not_imported(
    originals: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    shutil.copytree(originals["measurement"], path)
    (tmp_path / "theirs.py").write_text(MODULE.format(str(tmp_path / "marker")))
    (path / "config.yaml").write_text("model: theirs:factory\ndata: digits\nchecksums: {}\n")
    monkeypatch.chdir(tmp_path)
    for name, command in COMMANDS.items():
        answer = describe(command, path)
        assert answer.startswith(("refused", "read")), (name, answer)
    assert "'theirs:factory', which is code that was not allowed" in describe(report, path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("names", [["../x"], ["run.json", "run.json"], ["scene.yaml"], ["run.json", "x.py"]])
def test_a_packed_run_of_other_files_is_refused(names: list[str], originals: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "run.dimple"
    with contextlib.suppress(UserWarning), zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")
    assert describe(Run.open, path).startswith("refused")


def info_values(value: Any) -> st.SearchStrategy[Any]:
    numbers = st.sampled_from([0, -1, 1, 10**30, 1e300, float("inf"), float("nan"), True, None, 0.5])
    words = st.sampled_from(["", "x", "</script>", "\x1b[31m", "\u202e", "$\\frac", "../x", "1"])
    return st.one_of(numbers, words, st.just([]), st.just({}), st.just([value]), st.just({"x": value}))


@st.composite
def changed_entries(draw: st.DrawFn, info: dict[str, Any]) -> str:
    """Return run.json with some entries changed or left out."""
    info = json.loads(json.dumps(info))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = info
        while places := list(place) if isinstance(place, dict) else list(range(len(place))):
            key = draw(st.sampled_from(places))
            if isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 3)):
                place = place[key]
            elif draw(st.booleans()):
                place[key] = draw(info_values(place[key]))
                break
            else:
                del place[key]
                break
    return json.dumps(info)


def array_change(values: Any, kind: str) -> Any:
    holds_huge = values.dtype if values.dtype.kind == "f" else np.result_type(values, np.int32)
    return {
        "empty": lambda: values[:0],
        "shorter": lambda: values[:-1],
        "flat": lambda: values.reshape(-1),
        "axis": lambda: values[None],
        "nan": lambda: values * np.float32(np.nan),
        "huge": lambda: np.full_like(values, 2**31 - 1, holds_huge),
        "negative": lambda: np.int8(-1) - values,
        "floats": lambda: values.astype(np.float32),
        "integers": lambda: values.astype(np.int64),
        "bytes": lambda: values.astype(np.uint8),
        "turned": lambda: values.T,
        "repeated": lambda: np.concatenate([values, values]) if values.ndim else values,
    }[kind]()


ARRAY_CHANGES = (
    "empty", "shorter", "flat", "axis", "nan", "huge", "negative", "floats", "integers", "bytes", "turned", "repeated",
    "missing",
)  # fmt: skip


@st.composite
def changed_arrays(draw: st.DrawFn, arrays: dict[str, Any]) -> dict[str, Any]:
    arrays = dict(arrays)
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(arrays)))
        kind = draw(st.sampled_from(ARRAY_CHANGES))
        if kind == "missing":
            del arrays[name]
        else:
            with np.errstate(all="ignore"):
                arrays[name] = np.ascontiguousarray(array_change(arrays[name], kind))
    return arrays


def column_change(values: Any, kind: str) -> Any:
    if kind == "words":
        return np.array([str(value) for value in values], dtype=object)
    if kind == "none":
        return np.array([None] * len(values), dtype=object)
    if values.dtype.kind == "O":
        return np.array(["\x1b[31m"] * len(values), dtype=object)
    return {
        "nan": lambda: values * np.nan,
        "huge": lambda: values * 0.0 + 1e300,
        "negative": lambda: -1 - values.astype(np.int64) if values.dtype.kind in "iub" else -1 - values,
        "constant": lambda: values * 0,
    }[kind]()


@st.composite
def changed_columns(draw: st.DrawFn, columns: dict[str, Any]) -> dict[str, Any]:
    columns = dict(columns)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(columns)))
        kind = draw(st.sampled_from(["words", "none", "nan", "huge", "negative", "constant", "missing", "renamed"]))
        if kind == "missing":
            del columns[name]
        elif kind == "renamed":
            columns["$\\frac\x1b"] = columns.pop(name)
        else:
            with np.errstate(all="ignore"):
                columns[name] = column_change(columns[name], kind)
    return columns


def read_columns(path: Path) -> dict[str, Any]:
    table = pq.read_table(path)
    return {field.name: table.column(field.name).to_numpy() for field in table.schema}


def write_columns(path: Path, columns: dict[str, Any]) -> None:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    schema = pa.schema([pa.field(name, array.type, metadata={"unit": "x"}) for name, array in arrays.items()])
    pq.write_table(pa.table(list(arrays.values()), schema=schema), path)


def try_changed(original: Path, count: int, folder: Path, commands: tuple[str, ...], part: slice = slice(None)) -> None:
    """Change each file of a part of those of a run `count` times, and give it to commands."""
    path = folder / "run"
    files = [file.relative_to(original) for file in sorted(original.rglob("*")) if file.is_file()][part]

    def attempt(write: Callable[[Path, Any], Any], file: Path, strategy: st.SearchStrategy[Any]) -> None:
        def check(content: Any) -> None:
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(original, path)
            write(path / file, content)
            for name in commands:
                require_answer(COMMANDS[name], path)

        try_many(check, strategy, count)

    for file in files:
        source = original / file
        if file.suffix in (".json", ".yaml", ".parquet", ".safetensors"):
            attempt(Path.write_bytes, file, changed_bytes(source.read_bytes()))
        if file.suffix == ".json":
            attempt(Path.write_text, file, changed_entries(json.loads(source.read_text())))
        if file.suffix == ".safetensors" and not file.stem.isdigit():
            attempt(lambda target, arrays: save_file(arrays, target), file, changed_arrays(load_file(source)))
        if file.suffix == ".parquet":
            attempt(write_columns, file, changed_columns(read_columns(source)))


@pytest.mark.parametrize("kind", ["simulation", "measurement"])
@pytest.mark.filterwarnings("ignore")
def test_changed_runs_are_read_or_refused_in_a_sentence(kind: str, originals: dict[str, Path], tmp_path: Path) -> None:
    try_changed(originals[kind], 3, tmp_path, ("explain", "read"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
@pytest.mark.parametrize("kind", ["simulation", "measurement"])
@pytest.mark.filterwarnings("ignore")
def test_thousands_of_changed_runs_are_read_or_refused_in_a_sentence(
    kind: str, part: int, originals: dict[str, Path], tmp_path: Path
) -> None:
    try_changed(originals[kind], 80, tmp_path, tuple(COMMANDS), slice(part, None, 3))
