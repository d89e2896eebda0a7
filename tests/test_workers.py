"""Pieces of work give the same results in one process and in several."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dimple.errors import DeviceError, SceneError
from dimple.workers import Advance, Piece, Workers


def place_and_threads(number: int, advance: Advance) -> tuple[int, int, int]:
    advance()
    return number, os.getpid(), torch.get_num_threads()


def refuse(advance: Advance) -> None:
    raise SceneError("seed: is -1; at least 0")


def die_elsewhere(home: int, advance: Advance) -> None:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)


def work_until(path: Path, advance: Advance) -> int:
    """Wait for another piece to be done in another process."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


def leave(path: Path, advance: Advance) -> int:
    path.touch()
    return os.getpid()


def rest(advance: Advance) -> None:
    time.sleep(0.1)


def end_at_once() -> None:
    os._exit(1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_lost_and_every_process_has_the_threads_of_this_one(jobs: int) -> None:
    told: list[int] = []
    with Workers(jobs) as workers:
        for _ in range(2):
            pieces = [functools.partial(place_and_threads, i) for i in range(6)]
            done = list(workers.each(pieces, lambda: told.append(1)))
            assert sorted(number for number, _, _ in done) == list(range(6))
            assert os.getpid() in {place for _, place, _ in done}
            assert {threads for _, _, threads in done} == {torch.get_num_threads()}
    assert len(told) == 12


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sentence_for_the_user_arrives_as_it_was(jobs: int) -> None:
    with Workers(jobs) as workers, pytest.raises(SceneError, match="seed: is -1; at least 0"):
        list(workers.each([refuse, refuse]))


def test_another_process_works_beside_this_one(tmp_path: Path) -> None:
    pieces = [functools.partial(work_until, tmp_path / "left"), functools.partial(leave, tmp_path / "left")]
    with Workers(2) as workers:
        places = list(workers.each(pieces))
    assert os.getpid() in places and len(set(places)) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_pieces_have_no_results(jobs: int) -> None:
    with Workers(jobs) as workers:
        assert list(workers.each(())) == []


def test_a_process_that_is_killed_is_told_in_a_sentence() -> None:
    die: Piece[None] = functools.partial(die_elsewhere, os.getpid())
    with Workers(2) as workers, pytest.raises(DeviceError, match=r"one of 2 processes was ended .*fewer --jobs"):
        list(workers.each([rest, *[die, rest] * 200]))


def test_a_process_that_ends_before_it_has_begun_is_told_in_the_same_sentence() -> None:
    with Workers(2, prepare=end_at_once) as workers, pytest.raises(DeviceError, match="one of 2 processes was ended"):
        list(workers.each([rest] * 400))


LONELY = """
import os, time
from dimple.workers import Workers

def place(advance):
    return os.getpid()

if __name__ == "__main__":
    with Workers(2, 1) as workers:
        print(*{*workers.each([place, *[place] * 400])} - {os.getpid()}, flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="looks for the process in the way of POSIX")
def test_processes_do_not_outlive_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "lonely.py"
    script.write_text(LONELY)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        other = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(other, 0)
        except ProcessLookupError:
            return
        # What nobody waits for is there until the system's first process has heard of its end.
        if Path(f"/proc/{other}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(other, signal.SIGKILL)
    pytest.fail("the other process works on")


INTERRUPTED = """
import signal, time
from dimple.workers import Workers

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Workers(3, 1):
            print("begun", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        raise SystemExit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts a group of processes in the way of POSIX")
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_processes_that_still_load_say_nothing_when_all_are_interrupted(tmp_path: Path, after: float) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "")
