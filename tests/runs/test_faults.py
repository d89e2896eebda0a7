"""Runs are whole or continued, whatever call fails: a walk over faults of a simulation, a measurement and a pack."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parent / "faults"
COMPILER = shutil.which("cc")
# Every so many calls one fails, each with another of the three faults; they are prime to the calls of a written file.
STRIDES = {"simulate": 37, "probe": 29, "probe_parts": 61, "pack": 13}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail, which has to be loaded before that of C."""
    if COMPILER is None or sys.platform != "linux":
        pytest.skip("faults need Linux and a compiler of C")
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", path, FAULTS / "faults.c", "-ldl"], check=True)
    return path


def walk(library: Path, job: str, folder: Path, *way: object) -> list[str]:
    environment = os.environ | {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FAULTS / "walk.py"), job, str(folder), *map(str, way)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    *fallen, numbers = answer.stdout.splitlines()
    print(numbers)
    return fallen


@pytest.mark.parametrize("job", STRIDES)
def test_a_fault_leaves_the_old_or_the_new_state(library: Path, job: str, tmp_path: Path) -> None:
    assert walk(library, job, tmp_path, "calls", 1, STRIDES[job]) == []


def test_a_failed_read_is_not_taken_for_a_missing_file(library: Path, tmp_path: Path) -> None:
    assert walk(library, "pack", tmp_path, "reads", 1, 11) == []


def test_a_simulation_killed_at_a_random_moment_continues_to_the_same_bytes(library: Path, tmp_path: Path) -> None:
    assert walk(library, "simulate", tmp_path, "moments", 5, 0) == []


@pytest.mark.slow
@pytest.mark.parametrize("job", STRIDES)
def test_every_fault_leaves_the_old_or_the_new_state(library: Path, job: str, tmp_path: Path) -> None:
    assert walk(library, job, tmp_path, "calls", 1, 1) == []


@pytest.mark.slow
@pytest.mark.parametrize("job", STRIDES)
def test_no_failed_read_is_taken_for_a_missing_file(library: Path, job: str, tmp_path: Path) -> None:
    assert walk(library, job, tmp_path, "reads", 1, 5) == []


@pytest.mark.slow
@pytest.mark.parametrize("job", ["simulate", "simulate_pool", "probe", "probe_parts", "probe_pool", "pack"])
def test_jobs_killed_at_random_moments_continue_to_the_same_bytes(library: Path, job: str, tmp_path: Path) -> None:
    assert walk(library, job, tmp_path, "moments", 50, 0) == []
