"""A run as one file: its files come back unchanged, and a malicious archive is refused."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dimple.errors import RunError
from dimple.experiment import check
from dimple.runs import RunFolder
from dimple.runs.atomic_io import write_bytes

INFO = {"name": "x", "seed": 0, "device": "cpu", "versions": {"dimple": "0"}}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    run.write_snapshot(3, {"w": torch.arange(2000.0)}, 0.5)
    run.write_cache("step", {})
    (run.path / "notes.txt").write_text("my own")
    write_bytes(run.path / "film.mp4", b"\0" * 1000)
    return run


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def test_the_files_of_the_run_come_back_to_the_last_byte(run: RunFolder, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    again = RunFolder.open(path)
    expected = files(run.path)
    del expected["notes.txt"]
    del expected["cache/step.safetensors"]
    del expected[".dimple-lock"]
    found = files(again.path)
    # The manifest describes the packed files alone.
    lines, packed_lines = (each.pop("manifest.jsonl").splitlines() for each in (expected, found))
    assert set(packed_lines) <= set(lines)
    assert found == expected and len(expected) == 4
    assert check(path).files == 4 and not check(path).problems
    assert torch.equal(again.read_snapshot(3)[0]["w"], torch.arange(2000.0))
    # Other programs for zip archives read it.
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and archive.read("film.mp4") == b"\0" * 1000


def test_the_same_run_gives_the_same_file(run: RunFolder, tmp_path: Path) -> None:
    first, second = (run.pack(tmp_path / name).read_bytes() for name in ("a.dimple", "b.dimple"))
    assert first == second


def test_a_file_is_unpacked_once_and_again_when_it_has_changed(run: RunFolder, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    before = RunFolder.open(path)
    assert RunFolder.open(path).path == before.path
    run.write_snapshot(4, {"w": torch.zeros(1)}, 0.5)
    run.pack(path)
    assert (before.steps, RunFolder.open(path).steps) == ([3], [3, 4])


def test_the_folder_is_deleted_with_the_process(run: RunFolder, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    program = (
        f"from dimple.runs import RunFolder; run = RunFolder.open({str(path)!r}); print(run.path, run.path.is_dir())"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder, was_there = answer.stdout.split()
    assert was_there == "True" and not Path(folder).exists() and not Path(folder).parent.exists()


def test_output_files_of_a_packed_run_are_next_to_it(run: RunFolder, tmp_path: Path) -> None:
    assert run.default_output_path("film.mp4") == run.path / "film.mp4"
    assert RunFolder.open(run.pack(tmp_path / "it.dimple")).default_output_path("film.mp4") == tmp_path / "it-film.mp4"


def test_a_run_never_replaces_a_file(run: RunFolder, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    for force in (False, True):
        with pytest.raises(RunError, match="is a file, but a run is a folder"):
            RunFolder.create(path, INFO, "seed: 0\n", force=force)
    assert RunFolder.open(path).steps == [3]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_with_a_sentence(run: RunFolder, tmp_path: Path, fraction: float) -> None:
    content = run.pack(tmp_path / "run.dimple").read_bytes()
    truncated = tmp_path / "truncated.dimple"
    truncated.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(RunError, match=r"truncated\.dimple: is not a packed run, or is damaged"):
        RunFolder.open(truncated)


def test_a_changed_byte_is_refused_with_a_sentence(run: RunFolder, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    content = bytearray(path.read_bytes())
    content[content.index(b"seed: 0")] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="or is damaged"):
        RunFolder.open(path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/tmp/evil",
        "snapshots/../../evil",
        "snapshots/a/b",
        "evil.py",
        "run.json/",
        "snapshots\\..\\evil",
        "parts/x",
        "cache/x",
    ],
)
def test_a_name_that_no_run_has_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "evil.dimple", {"run.json": b'{"format": 1}', name: b"evil"})
    with pytest.raises(RunError, match="which is not a file of a run"):
        RunFolder.open(path)
    assert list(tmp_path.iterdir()) == [path]


def bomb() -> bytes:
    """Ten million zeros in ten thousand bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("run.json", b"0" * 10_000_000)
    return buffer.getvalue()


def overlapping() -> bytes:
    """Two members that are one: the directory names the same bytes twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("run.json", b"0" * 10_000)
        target.writestr("page.html", b"")
        target.filelist[1].header_offset = target.filelist[0].header_offset
        target.filelist[1].file_size = target.filelist[1].compress_size = 10_000
    return buffer.getvalue()


def without_run() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("scene.yaml", b"seed: 0")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make_archive", "sentence"),
    [(bomb, "another program"), (overlapping, "entries that are larger than"), (without_run, r"holds no run\.json")],
)
def test_an_archive_that_cheats_is_refused(tmp_path: Path, make_archive: Callable[[], bytes], sentence: str) -> None:
    path = tmp_path / "odd.dimple"
    path.write_bytes(make_archive())
    with pytest.raises(RunError, match=sentence):
        RunFolder.open(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_name_may_occur_once(tmp_path: Path) -> None:
    path = tmp_path / "twice.dimple"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("run.json", b"{}")
        target.writestr("run.json", b'{"format": 1}')
    with pytest.raises(RunError, match="another program"):
        RunFolder.open(path)


def test_a_full_disk_is_reported_with_a_sentence(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run.pack(tmp_path / "run.dimple")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dimple.runs.archive.shutil.copyfileobj", full)
    with pytest.raises(RunError, match=r"cannot be unpacked into .* \(No space left on device\)"):
        RunFolder.open(path)
    with pytest.raises(RunError, match=r"again\.dimple: cannot be written \(No space left on device\)"):
        run.pack(tmp_path / "again.dimple")
    assert not (tmp_path / "again.dimple").exists()
