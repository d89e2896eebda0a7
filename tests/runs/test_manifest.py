"""The manifest of a run: every change of a file is noticed, by its readers and by `dimple check`."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.errors import RunError
from dimple.experiment import check, pack
from dimple.runs import RunFolder
from dimple.runs.atomic_io import TEMPORARY_PREFIX, remove_file, write_bytes
from dimple.runs.files import RUN_FILES_PATTERN, check_files
from dimple.runs.lock import owner_mark
from dimple.runs.manifest import HEADER, MANIFEST

INFO = {"name": "x", "seed": 0, "device": "cpu", "versions": {"dimple": "0"}}
FILES = ("run.json", "scene.yaml", "metrics.parquet", "geometry.safetensors", "snapshots/00000003.safetensors")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    with run.finishing():
        run.write_snapshot(3, {"w": torch.arange(20.0)}, 0.5)
        run.write_table("metrics", {"step": np.arange(3)}, {"step": "updates"})
        run.write_geometry({"train": np.zeros((2, 2)), "labels": np.zeros(2, np.int64)})
        run.write_cache("part", {"a": np.ones(2)})
    return run


def read(path: Path) -> None:
    run = RunFolder.open(path)
    assert run.settings_text
    run.read_snapshot(3)
    run.columns("metrics")
    run.geometry()


def test_a_finished_run_has_one_line_for_each_file(run: RunFolder) -> None:
    lines = [json.loads(line) for line in (run.path / MANIFEST).read_text().splitlines()[1:]]
    assert [line["path"] for line in lines] == sorted(FILES)
    assert [line["bytes"] for line in lines] == [(run.path / name).stat().st_size for name in sorted(FILES)]
    result = check(run.path)
    assert (result.files, result.problems, result.is_finished) == (len(FILES), {}, True)
    read(run.path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flipped", "torn", "emptied", "missing", "longer"])
def test_every_change_of_a_file_is_noticed(run: RunFolder, name: str, damage: str) -> None:
    file = run.path / name
    content = file.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(
            {"flipped": flipped, "torn": content[:middle], "emptied": b"", "longer": content + b"\n"}[damage]
        )
    assert list(check(run.path).problems) == [name]
    if damage != "missing":
        with pytest.raises(RunError, match=f"{file.name}: (was changed|has [0-9]+ bytes, and the run wrote)"):
            read(run.path)
    with pytest.raises(RunError, match=file.name):
        run.pack(run.path.with_name("packed.dimple"))


def test_swapped_snapshots_and_added_files_are_noticed(run: RunFolder) -> None:
    run.write_snapshot(4, {"w": torch.zeros(20)}, 0.5)
    first, second = (run.path / "snapshots" / f"{step:08d}.safetensors" for step in (3, 4))
    contents = first.read_bytes(), second.read_bytes()
    assert check(run.path).problems == {}
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    shutil.copy(first, first.with_name("00000009.safetensors"))
    assert sorted(check(run.path).problems) == [f"snapshots/0000000{step}.safetensors" for step in (3, 4, 9)]
    for step in (3, 4, 9):
        with pytest.raises(RunError, match=r"safetensors: (was changed|does not stand in the manifest)"):
            RunFolder.open(run.path).read_snapshot(step)


def test_a_run_that_another_process_writes_is_read_without_complaint(run: RunFolder) -> None:
    reader = RunFolder.open(run.path)
    assert torch.equal(reader.read_snapshot(3)[0]["w"], torch.arange(20.0))
    run.write_snapshot(3, {"w": torch.zeros(20)}, 0.5)
    assert torch.equal(reader.read_snapshot(3)[0]["w"], torch.zeros(20))


def test_a_torn_line_hides_no_other(run: RunFolder) -> None:
    with (run.path / MANIFEST).open("ab") as file:
        file.write(b'{"path": "metrics.parq')
    run.write_table("replicas", {name: np.arange(2) for name in ("replica", "seed", "step")}, {})
    remove_file(run.path / "geometry.safetensors")
    assert check(run.path).problems == {}
    assert RunFolder.open(run.path).columns("replicas")["step"].tolist() == [0, 1]


def test_a_packed_run_is_checked(run: RunFolder, tmp_path: Path) -> None:
    path = pack(run.path)
    assert check(path).problems == {}
    content = bytearray(path.read_bytes())
    content[content.index(b"seed: 0")] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        check(path)
    with pytest.raises(RunError, match="no such run"):
        check(tmp_path / "absent")


def test_a_run_without_a_manifest_says_so_and_opens(run: RunFolder) -> None:
    (run.path / MANIFEST).unlink()
    with pytest.raises(RunError, match=r"has no manifest\.jsonl, so its files cannot be checked: an older version"):
        check(run.path)
    read(run.path)


def test_the_manifest_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / MANIFEST
    other.write_text('{"audio_filepath": "a.wav"}\n')
    write_bytes(tmp_path / "film.mp4", b"film")
    (tmp_path / "run").mkdir()
    write_bytes(tmp_path / "run" / "a.png", b"")
    assert other.read_text() == '{"audio_filepath": "a.wav"}\n'


def test_a_run_inside_a_run_has_its_own_manifest(run: RunFolder) -> None:
    inner = RunFolder.create(run.path / "slice", INFO, "seed: 0\n", settings_file="config.yaml")
    with inner.finishing():
        write_bytes(inner.path / "page.html", b"page")
    assert check(run.path).files == len(FILES) + 3
    assert run.read_bytes(inner.path / "page.html") == b"page"
    (inner.path / "page.html").write_bytes(b"pale")
    assert list(check(run.path).problems) == ["slice/page.html"]
    with pytest.raises(RunError, match=r"page\.html: was changed"):
        run.read_bytes(inner.path / "page.html")


def test_a_damaged_intermediate_result_is_computed_again_and_other_damage_named(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    run.write_cache("part", {"b": np.ones(2), "a": np.zeros(3)}, {"units": {"b": "bits"}})
    entry = run.read_cache_entry("part")
    assert entry is not None and list(entry[0]) == ["b", "a"] and entry[1]["units"] == {"b": "bits"}
    part = tmp_path / "run" / "cache" / "part.safetensors"
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    assert run.read_cache("part") is None
    again = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    assert not part.exists() and again.read_cache("part") is None
    run.write_snapshot(3, {"w": torch.zeros(4)}, 0.5)
    (run.path / "snapshots" / "00000003.safetensors").write_bytes(b"")
    with pytest.raises(
        RunError, match=r"00000003\.safetensors: has 0 bytes, and the run wrote [0-9]+; make the run again"
    ):
        RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    assert RunFolder.create(tmp_path / "run", INFO, "seed: 0\n", force=True).steps == []


@pytest.mark.parametrize("left", [(), (MANIFEST,), (MANIFEST, "scene.yaml")])
def test_a_folder_that_a_killed_start_left_is_continued(run: RunFolder, tmp_path: Path, left: tuple[str, ...]) -> None:
    folder = tmp_path / "left"
    folder.mkdir()
    (folder / ".dimple-lock").write_text('{"pid": 1, "host": "gone"}')
    (folder / ".dimple-tmp-half.json").touch()
    for name in left:
        shutil.copy(run.path / name, folder / name)
    started = RunFolder.create(folder, INFO, "seed: 1\n")
    with started.finishing():
        pass
    assert sorted(entry.name for entry in folder.iterdir()) == [MANIFEST, "run.json", "scene.yaml"]
    assert started.settings_text == "seed: 1\n"


def test_a_folder_whose_replacement_was_killed_is_continued_and_a_run_without_run_json_is_not(run: RunFolder) -> None:
    (run.path / "run.json").unlink()
    for force in (False, True):
        with pytest.raises(RunError, match="is not empty and holds no run; choose another out="):
            RunFolder.create(run.path, INFO, "seed: 0\n", force=force)
    read_before = sorted(run.path.rglob("*"))
    remove_file(run.path / "run.json")
    with RunFolder.create(run.path, INFO, "seed: 0\n").finishing():
        assert len(read_before) > len(list(run.path.iterdir()))
    assert check(run.path).files == 2


def test_files_of_other_programs_are_never_taken_for_a_start(tmp_path: Path) -> None:
    for name, content in ((MANIFEST, HEADER + "\n"), ("thesis.tex", "years of work")):
        (tmp_path / name).write_text(content)
    for force in (False, True):
        with pytest.raises(RunError, match=r"is not empty and holds no run; choose another out="):
            RunFolder.create(tmp_path, INFO, "seed: 0\n", force=force)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert RUN_FILES_PATTERN.fullmatch("thesis.tex") is None


@pytest.mark.parametrize("command", [RunFolder.open, check])
def test_a_manifest_that_a_killed_process_left_beside_a_finished_run_goes(
    command: Callable[[Path], object], run: RunFolder
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    of_a_dead = run.path / f"{TEMPORARY_PREFIX}{owner_mark().replace(str(os.getpid()), str(ended.pid))}x-manifest.jsonl"
    of_a_living = run.path / f"{TEMPORARY_PREFIX}{owner_mark()}x-manifest.jsonl"
    for file in (of_a_dead, of_a_living):
        file.write_text("")
    command(run.path)
    assert not of_a_dead.exists() and of_a_living.exists()


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let the file system refuse to read a file, or to list a folder, as it does for another user or on a bad disk."""

    def refuse_path(refused: Path) -> None:
        def make(method: Callable[..., object]) -> Callable[..., object]:
            def call(path: Path, *args: object, **kwargs: object) -> object:
                if path == refused:
                    raise PermissionError(errno.EACCES, "Permission denied", str(path))
                return method(path, *args, **kwargs)

            return call

        for name in ("open", "iterdir", "_scandir"):
            if hasattr(Path, name):
                monkeypatch.setattr(Path, name, make(getattr(Path, name)))

    return refuse_path


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(
    run: RunFolder, refuse: Callable[[Path], None], tmp_path: Path
) -> None:
    run = RunFolder.open(run.path)
    refuse(run.path / "snapshots")
    for use in (lambda: run.pack(tmp_path / "run.dimple"), lambda: check_files(run.path)):
        with pytest.raises(PermissionError, match="snapshots"):
            use()
    assert not (tmp_path / "run.dimple").exists()
    with pytest.raises(PermissionError, match="snapshots"):
        run.steps  # noqa: B018


def test_a_manifest_that_cannot_be_read_is_not_taken_for_missing(
    run: RunFolder, refuse: Callable[[Path], None]
) -> None:
    before = (run.path / "scene.yaml").read_bytes()
    refuse(run.path / MANIFEST)
    with pytest.raises(RunError, match=r"scene\.yaml: cannot be written"):
        write_bytes(run.path / "scene.yaml", b"seed: 1\n")
    assert (run.path / "scene.yaml").read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that can be opened, and not be read")
def test_a_read_that_fails_names_the_file(run: RunFolder) -> None:
    file = run.path / "geometry.safetensors"
    file.unlink()
    file.symlink_to("/proc/self/mem")
    with pytest.raises(RunError, match=r"geometry\.safetensors: cannot be used \(Input/output error\)"):
        check(run.path)
