"""Tasks give the same results in one process and in several processes."""

import functools
import gc
import os
import signal
import subprocess
import sys
import time
import warnings
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
import torch

from dimple.errors import DeviceError, SceneError
from dimple.workers import Advance, Task, Workers


def process_and_threads(number: int, advance: Advance) -> tuple[int, int, int]:
    advance()
    return number, os.getpid(), torch.get_num_threads()


def refuse(advance: Advance) -> None:
    raise SceneError("seed: is -1; at least 0")


def die_elsewhere(home: int, advance: Advance) -> None:
    if os.getpid() != home:
        os.kill(os.getpid(), signal.SIGKILL)


def wait_for(path: Path, advance: Advance) -> int:
    """Wait until another task is done in another process."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


def create(path: Path, advance: Advance) -> int:
    path.touch()
    return os.getpid()


def rest(advance: Advance) -> None:
    time.sleep(0.1)


def end_at_once() -> None:
    os._exit(1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_result_is_lost_and_every_process_has_the_threads_of_this_one(jobs: int) -> None:
    reported: list[int] = []
    with Workers(jobs) as workers:
        for _ in range(2):
            tasks = [functools.partial(process_and_threads, i) for i in range(6)]
            results = list(workers.run_unordered(tasks, lambda: reported.append(1)))
            assert sorted(number for number, _, _ in results) == list(range(6))
            assert os.getpid() in {process for _, process, _ in results}
            assert {threads for _, _, threads in results} == {torch.get_num_threads()}
    assert len(reported) == 12


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_for_the_user_arrives_unchanged(jobs: int) -> None:
    with Workers(jobs) as workers, pytest.raises(SceneError, match="seed: is -1; at least 0"):
        list(workers.run_unordered([refuse, refuse]))


def test_another_process_works_at_the_same_time(tmp_path: Path) -> None:
    tasks = [functools.partial(wait_for, tmp_path / "done"), functools.partial(create, tmp_path / "done")]
    with Workers(2) as workers:
        processes = list(workers.run_unordered(tasks))
    assert os.getpid() in processes and len(set(processes)) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_empty_list_of_tasks_has_no_results(jobs: int) -> None:
    with Workers(jobs) as workers:
        assert list(workers.run_unordered(())) == []


class SlowlyPickled:
    """A state that takes a while to be pickled."""

    def __init__(self) -> None:
        self.value = "at the start"

    def __getstate__(self) -> dict[str, str]:
        time.sleep(0.3)
        return {"value": self.value}


def change(state: SlowlyPickled, advance: Advance) -> str:
    state.value = "changed"
    return "done"


def read(state: SlowlyPickled, advance: Advance) -> str:
    return state.value


def test_another_process_gets_a_task_as_it_was_before_this_process_ran_its_own() -> None:
    state = SlowlyPickled()
    with Workers(2) as workers:
        tasks: list[Task[str]] = [functools.partial(change, state), functools.partial(read, state)]
        assert sorted(workers.run_unordered(tasks)) == ["at the start", "done"]


def test_a_system_without_signal_masks_needs_no_resource_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resource tracker of Python cannot start on Windows, which has no signal masks."""

    def fail() -> None:
        raise ModuleNotFoundError("No module named '_posixsubprocess'")

    monkeypatch.setattr(resource_tracker, "ensure_running", fail)
    monkeypatch.delattr(signal, "pthread_sigmask")
    with Workers(2) as workers:
        results = list(workers.run_unordered([functools.partial(process_and_threads, i) for i in range(3)]))
    assert sorted(number for number, _, _ in results) == [0, 1, 2]


def test_a_killed_process_is_reported_with_a_sentence() -> None:
    die: Task[None] = functools.partial(die_elsewhere, os.getpid())
    with Workers(2) as workers, pytest.raises(DeviceError, match=r"one of 2 processes was killed .*fewer jobs="):
        list(workers.run_unordered([rest, *[die, rest] * 200]))


@pytest.mark.skipif(sys.platform != "linux", reason="semaphores are files on Linux only")
def test_a_killed_process_leaves_no_semaphore() -> None:
    die: Task[None] = functools.partial(die_elsewhere, os.getpid())
    with Workers(2, isolated=True) as workers, pytest.raises(DeviceError):
        list(workers.run_unordered([die]))
    gc.collect()
    assert not list(Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*"))


def die_once(home: int, flag: Path, advance: Advance) -> int:
    """Kill another process, unless one was killed before."""
    if os.getpid() != home and flag.exists():
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


@pytest.mark.parametrize("isolated", [False, True])
def test_a_task_whose_process_was_killed_is_run_again_by_another(isolated: bool, tmp_path: Path) -> None:
    (tmp_path / "flag").touch()
    tasks = [functools.partial(die_once, os.getpid(), tmp_path / "flag") for _ in range(20)]
    with Workers(2, isolated=isolated) as workers:
        processes = list(workers.run_unordered([rest, *tasks]))
        again = list(workers.run_unordered(tasks))
    assert not (tmp_path / "flag").exists()
    assert len(processes) == 21 and len(again) == 20
    assert isolated != (os.getpid() in processes + again)


def test_a_lost_task_has_the_result_that_the_caller_gives_it() -> None:
    die: Task[int] = functools.partial(die_elsewhere, os.getpid())  # type: ignore[assignment]
    number: Task[int] = functools.partial(number_of, 3)
    with Workers(2, isolated=True) as workers:
        assert sorted(workers.run_unordered([number, die, number], lost=lambda task: -1)) == [-1, 3, 3]


def number_of(number: int, advance: Advance) -> int:
    return number


def test_a_process_that_ends_at_its_start_is_reported_with_the_same_sentence() -> None:
    with Workers(2, prepare=end_at_once) as workers, pytest.raises(DeviceError, match="one of 2 processes was killed"):
        list(workers.run_unordered([rest] * 400))


LONG_RUNNING = """
import os, time
from dimple.workers import Workers

def get_process(advance):
    return os.getpid()

if __name__ == "__main__":
    with Workers(2, 1) as workers:
        print(*{*workers.run_unordered([get_process] * 401)} - {os.getpid()}, flush=True)
        time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the process ids of POSIX")
def test_processes_do_not_outlive_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "long_running.py"
    script.write_text(LONG_RUNNING)
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
        # An orphan that has ended stays a zombie until the first process of the system collects it.
        if Path(f"/proc/{other}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    os.kill(other, signal.SIGKILL)
    pytest.fail("the other process still runs")


INTERRUPTED = """
import signal, time
from dimple.workers import Workers

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Workers(3, 1):
            print("started", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        raise SystemExit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the process groups of POSIX")
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_processes_that_still_load_print_nothing_after_an_interrupt(tmp_path: Path, after: float) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    command = [sys.executable, str(script)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(after)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "")


def warn_elsewhere(home: int, advance: Advance) -> int:
    if os.getpid() != home:
        warnings.warn("what the process that sends the work has said", stacklevel=1)
    return os.getpid()


def test_processes_do_not_repeat_the_warnings_of_the_one_that_sends_the_work(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with Workers(2) as workers:
        tasks = [functools.partial(warn_elsewhere, os.getpid()) for _ in range(4)]
        assert {*workers.run_unordered(tasks)} != {os.getpid()}
    assert "has said" not in capfd.readouterr().err
