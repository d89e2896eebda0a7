"""A run as one file: the same files back, and nothing that a stranger's archive could do."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dimple.errors import RunError
from dimple.runs import Run

INFO = {"name": "x", "seed": 0, "device": "cpu", "versions": {"dimple": "0"}}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run", INFO, "seed: 0\n")
    run.write_snapshot(3, {"w": torch.arange(2000.0)}, 0.5)
    run.write_part("piece", {})
    (run.path / "notes.txt").write_text("my own")
    (run.path / "film.mp4").write_bytes(b"\0" * 1000)
    return run


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def test_the_files_come_back_to_the_last_byte_without_what_is_not_of_the_run(run: Run, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    again = Run.open(path)
    expected = files(run.path)
    del expected["notes.txt"], expected["parts/piece.safetensors"]
    assert files(again.path) == expected and len(expected) == 4
    assert torch.equal(again.read_snapshot(3)[0]["w"], torch.arange(2000.0))
    # Any program for zip archives reads it.
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and archive.read("film.mp4") == b"\0" * 1000


def test_the_same_run_gives_the_same_file(run: Run, tmp_path: Path) -> None:
    first, second = (run.pack(tmp_path / name).read_bytes() for name in ("a.dimple", "b.dimple"))
    assert first == second


def test_a_file_is_unpacked_once_and_again_when_it_has_changed(run: Run, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    before = Run.open(path)
    assert Run.open(path).path == before.path
    run.write_snapshot(4, {"w": torch.zeros(1)}, 0.5)
    run.pack(path)
    assert (before.steps, Run.open(path).steps) == ([3], [3, 4])


def test_the_folder_goes_with_the_process(run: Run, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    program = f"from dimple.runs import Run; run = Run.open({str(path)!r}); print(run.path, run.path.is_dir())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    folder, was_there = answer.stdout.split()
    assert was_there == "True" and not Path(folder).exists() and not Path(folder).parent.exists()


def test_what_belongs_to_a_run_goes_beside_a_packed_one(run: Run, tmp_path: Path) -> None:
    assert run.beside("film.mp4") == run.path / "film.mp4"
    assert Run.open(run.pack(tmp_path / "it.dimple")).beside("film.mp4") == tmp_path / "it-film.mp4"


def test_a_run_is_never_made_in_the_place_of_a_file(run: Run, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    for force in (False, True):
        with pytest.raises(RunError, match="is a file, and a run is a folder"):
            Run.create(path, INFO, "seed: 0\n", force=force)
    assert Run.open(path).steps == [3]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_torn_file_gets_a_sentence(run: Run, tmp_path: Path, share: float) -> None:
    content = run.pack(tmp_path / "run.dimple").read_bytes()
    torn = tmp_path / "torn.dimple"
    torn.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match="torn.dimple: is no packed run, or a damaged one"):
        Run.open(torn)


def test_a_changed_byte_gets_a_sentence(run: Run, tmp_path: Path) -> None:
    path = run.pack(tmp_path / "run.dimple")
    content = bytearray(path.read_bytes())
    content[content.index(b"seed: 0")] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="a damaged one"):
        Run.open(path)


@pytest.mark.parametrize(
    "name",
    ["../evil", "/tmp/evil", "snapshots/../../evil", "snapshots/a/b", "evil.py", "run.json/", "snapshots\\..\\evil", "parts/x"],
)
def test_a_name_that_no_run_has_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "evil.dimple", {"run.json": b'{"format": 1}', name: b"evil"})
    with pytest.raises(RunError, match="which no run has"):
        Run.open(path)
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
    ("made", "sentence"),
    [(bomb, "another make"), (overlapping, "claims to hold more than"), (without_run, "holds no run.json")],
)
def test_an_archive_that_cheats_is_refused(tmp_path: Path, made: Callable[[], bytes], sentence: str) -> None:
    path = tmp_path / "odd.dimple"
    path.write_bytes(made())
    with pytest.raises(RunError, match=sentence):
        Run.open(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_may_stand_there_once(tmp_path: Path) -> None:
    path = tmp_path / "twice.dimple"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("run.json", b"{}")
        target.writestr("run.json", b'{"format": 1}')
    with pytest.raises(RunError, match="another make"):
        Run.open(path)


def test_a_full_disk_gets_a_sentence(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.pack(tmp_path / "run.dimple")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dimple.runs.archive.shutil.copyfileobj", full)
    with pytest.raises(RunError, match=r"cannot be unpacked into .* \(No space left on device\)"):
        Run.open(path)
    with pytest.raises(RunError, match=r"again.dimple: cannot be written \(No space left on device\)"):
        run.pack(tmp_path / "again.dimple")
    assert not (tmp_path / "again.dimple").exists()
