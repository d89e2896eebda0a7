"""Pieces of work give the same results in one process and in several."""

import functools
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from dimple.errors import DeviceError, SceneError
from dimple.workers import in_processes


def place_and_threads(number: int) -> tuple[int, int, int]:
    return number, os.getpid(), torch.get_num_threads()


def refuse() -> None:
    raise SceneError("seed: is -1; at least 0")


def die_elsewhere(home: int) -> None:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)


def work_until(path: Path) -> int:
    """Wait for another piece to be done in another process."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


def leave(path: Path) -> int:
    path.touch()
    return os.getpid()


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_lost_and_every_process_has_the_threads_of_this_one(jobs: int) -> None:
    done = list(in_processes([functools.partial(place_and_threads, i) for i in range(6)], jobs))
    assert sorted(number for number, _, _ in done) == list(range(6))
    assert os.getpid() in {place for _, place, _ in done}
    assert {threads for _, _, threads in done} == {torch.get_num_threads()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_sentence_for_the_user_arrives_as_it_was(jobs: int) -> None:
    with pytest.raises(SceneError, match="seed: is -1; at least 0"):
        list(in_processes([refuse, refuse], jobs))


def test_another_process_works_beside_this_one(tmp_path: Path) -> None:
    pieces = [functools.partial(work_until, tmp_path / "left"), functools.partial(leave, tmp_path / "left")]
    places = list(in_processes(pieces, 2))
    assert os.getpid() in places and len(set(places)) == 2


def test_a_process_that_is_killed_is_told_in_a_sentence() -> None:
    wait = functools.partial(time.sleep, 0.1)
    with pytest.raises(DeviceError, match=r"one of 2 processes was ended from outside.*fewer --jobs"):
        list(in_processes([wait, *[functools.partial(die_elsewhere, os.getpid()), wait] * 200], 2))
