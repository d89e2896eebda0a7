"""The lock on a run folder: one writer, whose death frees it; what killed processes left elsewhere goes."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dimple.errors import RunError
from dimple.runs import RunFolder
from dimple.runs.atomic_io import write_bytes
from dimple.runs.lock import LOCK, lock_folder, owner_mark, unlock_folder
from dimple.workers import Workers

INFO = {"name": "x", "seed": 0, "device": "cpu", "versions": {"dimple": "0"}}
HOLDER = """
import sys, time
from pathlib import Path
from dimple.runs.lock import lock_folder
lock_folder(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(600)
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of this kind")


def test_a_second_process_gets_a_sentence_until_the_first_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunFolder.create(run, INFO, "seed: 0\n").finishing("running"):
        pass
    assert not (run / LOCK).exists()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        for force in (False, True):
            with pytest.raises(RunError, match=rf"run: is being written by process {holder.pid} on '.*'; wait for it"):
                RunFolder.create(run, INFO, "seed: 0\n", force=force)
        # A reader needs no lock.
        assert RunFolder.open(run).info["status"] == "running"
        holder.send_signal(signal.SIGKILL)
    assert (run / LOCK).exists()
    with RunFolder.create(run, INFO, "seed: 0\n").finishing():
        assert str(os.getpid()) in (run / LOCK).read_text()
    assert not (run / LOCK).exists()


def test_an_error_frees_the_folder(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    with pytest.raises(ZeroDivisionError), run.finishing():
        raise ZeroDivisionError
    assert not (run.path / LOCK).exists()
    with pytest.raises(RunError, match="other settings"):
        RunFolder.create(run.path, INFO, "seed: 1\n")
    assert not (run.path / LOCK).exists()


def test_an_interrupt_between_the_line_and_the_file_leaves_a_run_that_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    replace = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda path, target: (interrupt if "parquet" in path.name else replace)(path, target)
    )
    with pytest.raises(KeyboardInterrupt), run.finishing():
        write_bytes(run.path / "metrics.parquet", b"table")
    assert run.info["status"] == "interrupted"
    assert RunFolder.create(run.path, INFO, "seed: 0\n").info["status"] == "running"
    unlock_folder(run.path)


def test_a_lock_file_that_its_holder_removed_locks_nothing(tmp_path: Path) -> None:
    lock_folder(tmp_path)
    (tmp_path / LOCK).unlink()
    lock_folder(tmp_path)
    assert (tmp_path / LOCK).exists()
    unlock_folder(tmp_path)


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_files_and_folders_of_killed_processes_go_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    # The mark is part of the paths of sockets, which have at most about a hundred characters.
    monkeypatch.setattr(socket, "gethostname", lambda: "a-node-of-a-cluster." + 40 * "x")
    host = owner_mark().split("-")[0]
    assert len(owner_mark()) <= 17
    stay = {f"dimple-{host}-{os.getpid()}-a", f"dimple-elsewhere-{ended}-a", "dimple-of-somebody"}
    for name in (*stay, f"dimple-{host}-{ended}-a"):
        (tmp_path / "temporary" / name / "inner").mkdir(parents=True)
    run = RunFolder.create(tmp_path / "run", INFO, "seed: 0\n")
    unpacked = RunFolder.open(run.pack(tmp_path / "run.dimple")).path.parent.name
    assert {folder.name for folder in (tmp_path / "temporary").iterdir()} == {*stay, unpacked}
    (tmp_path / "out").mkdir()
    for pid in (ended, os.getpid()):
        (tmp_path / "out" / f".dimple-tmp-{host}-{pid}-x-film.mp4").touch()
    write_bytes(tmp_path / "out" / "film.mp4", b"new")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"film.mp4", f".dimple-tmp-{host}-{os.getpid()}-x-film.mp4"}


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shows no semaphores")
def test_semaphores_of_killed_pools_go_and_those_of_living_ones_stay(ended: int) -> None:
    dead, living = (Path(f"/dev/shm/sem.loky-{pid}-test") for pid in (ended, os.getpid()))
    try:
        dead.touch()
        living.touch()
        with Workers(2, 1):
            assert living.exists() and not dead.exists()
    finally:
        living.unlink()
        dead.unlink(missing_ok=True)
