"""Pieces of work give the same results in one process and in several."""

import functools
import os
import signal
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
