"""A probe gives the same bytes whoever measures its shards, and loses nothing but the shard at which a process died."""

import errno
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dimple.engines import check_engine, make_engine
from dimple.errors import DeviceError, IncompleteError, ModelError, RunError, UsageError
from dimple.experiment import ProbeConfig, check, gather, missing_parts, probe, probe_part, status
from dimple.experiment.probing.measure_shards import ShardRunner
from dimple.runs.lock import LOCK
from dimple.runs.shards import Shard, ShardFolder
from dimple.workers import Workers
from tests.engines import killing_network
from tests.experiment import linear_network

FILES = ("measurements.parquet", "quantiles.parquet", "images.safetensors", "config.yaml")
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and two checkpoints: 14 shards of at most 32 samples."""
    folder = tmp_path_factory.mktemp("data")
    killing_network.write_images(folder, bright=150)
    for step in (1, 2):
        save_file({"linear.1.weight": linear_network.weights(step)}, folder / f"step_{step}.safetensors")
    return folder


@pytest.fixture(scope="module")
def config(folder: Path) -> ProbeConfig:
    return ProbeConfig(
        model=f"{killing_network.NAME}:Killing",
        data=f"npz:{folder / 'images.npz'}",
        checkpoints=str(folder / "step_*.safetensors"),
        samples=200,
        probes=("margin",),
        max_passes=5.0,
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The number of threads is part of what the numbers depend on, and that of the program."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder: each file in it kills one process, except for this one, at the bright image."""
    folder = tmp_path / "kills"
    folder.mkdir()
    monkeypatch.setenv(killing_network.HOME, str(os.getpid()))
    monkeypatch.setenv(killing_network.KILLS, str(folder))
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    return folder


@pytest.fixture(scope="module")
def expected(config: ProbeConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    torch.set_num_threads(1)
    return contents(probe(config, tmp_path_factory.mktemp("expected") / "run", device="cpu").path)


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def test_two_parts_give_the_bytes_of_one_process(
    config: ProbeConfig, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    probe_part(config, out, 1, 2, device="cpu")
    assert missing_parts(out) == [0]
    state = status(out)
    assert (state.shards, state.done, state.missing, state.poison, state.missing_parts) == (14, 7, 7, 0, [0])
    assert state.passes_per_second is not None and state.passes > 0
    with pytest.raises(IncompleteError, match=r"7 of 14 shards are missing: step 1, test samples 0 to 31.*--array=0\)"):
        gather(out)
    probe_part(config, out, 0, 2, device="cpu")
    assert missing_parts(out) == [] and check(out).problems == {}
    run = gather(out, device="cpu")
    assert contents(run.path) == expected and not (out / "shards").exists() and not (out / LOCK).exists()
    assert gather(out).info["status"] == "complete" and status(out).shards == 0


def test_two_processes_give_the_same_bytes_and_a_killed_one_costs_nothing(
    config: ProbeConfig, expected: dict[str, bytes], kills: Path, tmp_path: Path
) -> None:
    (kills / "once").touch()
    with Workers(2, isolated=True) as engine:
        run = probe(config, tmp_path / "run", device="cpu", engine=engine)
    assert contents(run.path) == expected and not any(kills.iterdir())


def test_a_shard_that_kills_its_process_twice_is_poison_and_the_others_are_stored(
    config: ProbeConfig, expected: dict[str, bytes], kills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    for number in range(4):
        (kills / str(number)).touch()
    sentence = (
        r"2 of 14 shards killed their process twice.*step 1, test samples 128 to 159, step 2, test samples 128 to"
    )
    with Workers(2, isolated=True) as engine, pytest.raises(IncompleteError, match=sentence):
        probe(config, out, device="cpu", engine=engine)
    state = status(out)
    assert (state.done, state.missing, state.poison) == (12, 2, 2)
    measured = []
    measure = ShardRunner.measure

    def count(self: ShardRunner, folder: ShardFolder, shard: Shard, advance: object) -> None:
        measured.append(shard.start)
        measure(self, folder, shard, advance)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardRunner, "measure", count)
    # The same call tries only these again.
    assert contents(probe(config, out, device="cpu").path) == expected
    assert measured == [128, 128]


def test_an_error_of_the_users_network_arrives_from_another_process(
    config: ProbeConfig, kills: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(killing_network.FAIL, "no rows left")
    sentence = r"the model fails: ValueError: no rows left \(.*killing_network.py, line \d+\); --debug"
    with Workers(2, isolated=True) as engine, pytest.raises(ModelError, match=sentence):
        probe(config, tmp_path / "run", device="cpu", engine=engine)


def test_a_driver_that_is_killed_leaves_its_finished_shards(
    config: ProbeConfig, expected: dict[str, bytes], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "dimple", *shlex.split(config.command)[1:], "--out", str(out), "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), killing_network.HOME: "0", killing_network.SLEEP: "0.05"}
    (tmp_path / "kills").mkdir()
    environment |= {killing_network.KILLS: str(tmp_path / "kills")}
    process = subprocess.Popen([*command, "--jobs", "2"], env=environment, stderr=subprocess.PIPE)
    wait_for_shards(out, 3)
    process.kill()
    process.communicate()
    # The processes of the engine end with their driver.
    time.sleep(1.0)
    # A shard that was being written has a temporary name, which begins with a dot.
    times = {file: file.stat().st_mtime_ns for file in out.glob("shards/*/[!.]*.shard")}
    assert 3 <= len(times) < 14
    # The run belongs to nobody now.
    probe_part(config, out, 0, 1, device="cpu")
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert contents(gather(out, device="cpu").path) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="needs the signals of POSIX")
def test_a_part_that_is_stopped_keeps_its_shards_and_exits_75(config: ProbeConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [*shlex.split(config.command)[1:], "--out", str(out), "--device", "cpu", "--jobs", "2", "--shard", "0/2"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), killing_network.HOME: "0", killing_network.SLEEP: "0.05"}
    (tmp_path / "kills").mkdir()
    environment |= {killing_network.KILLS: str(tmp_path / "kills")}
    with subprocess.Popen(
        [sys.executable, "-m", "dimple", *words], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for_shards(out, 2)
        process.send_signal(signal.SIGUSR1)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr
    assert stderr.splitlines()[-1] == "dimple: stopped by SIGUSR1; the same command continues an unfinished run"
    assert check(out).problems == {}
    assert 2 <= status(out).done < 7
    # A process that was ended while it wrote a shard leaves a temporary file to the one that writes it again.
    probe_part(config, out, 0, 2, device="cpu")
    assert not list(out.rglob(".dimple-*"))


def test_a_mark_of_poison_that_cannot_be_removed_is_one_sentence(
    config: ProbeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def fail(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".poison":
            raise OSError(errno.EIO, "Input/output error")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(RunError, match=r"\.poison: cannot be removed \(Input/output error\)"):
        probe_part(config, tmp_path / "run", 0, 2, device="cpu")


def wait_for_shards(out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(out.glob("shards/*/*.shard"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_parts_begin_in_the_same_folder_at_the_same_time(
    config: ProbeConfig, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """Four processes: each part twice."""
    out = tmp_path / "run"
    words = [*shlex.split(config.command)[1:], "--out", str(out), "--device", "cpu", "--jobs", "1"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dimple", *words, "--shard", f"{part}/2"], env=environment, stderr=subprocess.PIPE
        )
        for part in (0, 1, 0, 1)
    ]
    answers = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert contents(gather(out, device="cpu").path) == expected


def test_a_part_waits_for_a_process_that_begins_and_for_none_that_measures(config: ProbeConfig, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    command = [sys.executable, "-c", HOLD, str(out)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as held:
        assert held.stdout is not None and held.stdout.readline() == b"locked\n"
        threading.Timer(1.0, held.kill).start()
        # The lock of a killed process is stale, and keeps nobody out.
        probe_part(config, out, 0, 14, device="cpu")
    assert status(out).done == 1 and not (out / LOCK).exists()


HOLD = """
import pathlib, sys, time
from dimple.runs.lock import lock_folder
lock_folder(pathlib.Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("damage", ["torn", "changed", "swapped", "empty"])
def test_a_shard_that_is_not_as_it_was_written_is_missing(
    damage: str, config: ProbeConfig, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    probe_part(config, out, 0, 1, device="cpu")
    first, second, *_ = sorted(out.glob("shards/*/*.shard"))
    content = first.read_bytes()
    first.write_bytes({
        "torn": content[:-100],
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
        "swapped": second.read_bytes(),
        "empty": b"",
    }[damage])  # fmt: skip
    assert missing_parts(out) == [0]
    with pytest.raises(IncompleteError, match="1 of 14 shards are missing: step 1, test samples 0 to 31"):
        gather(out, device="cpu")
    if damage != "swapped":
        (problem,) = check(out).problems.items()
        assert problem[0] == first.relative_to(out).as_posix() and "check sum differs" in problem[1]
    probe_part(config, out, 0, 1, device="cpu")
    assert contents(gather(out, device="cpu").path) == expected


def test_parts_with_other_settings_are_refused_in_one_sentence(config: ProbeConfig, tmp_path: Path) -> None:
    import dataclasses

    out = tmp_path / "run"
    probe_part(config, out, 0, 2, device="cpu")
    with pytest.raises(RunError, match=r"holds an unfinished run with other settings \(max_passes, seed\); choose"):
        probe_part(dataclasses.replace(config, max_passes=6.0, seed=1), out, 1, 2, device="cpu")
    with pytest.raises(UsageError, match=r"was divided into 2 parts, and --shard names 3; give --shard I/2"):
        probe_part(config, out, 1, 3, device="cpu")
    plan = out / "shards" / "plan.json"
    plan.write_bytes(plan.read_bytes().replace(b'"chunk_size": 32', b'"chunk_size": 16'))
    with pytest.raises(RunError, match=r"plan.json: is damaged \(is torn or was changed"):
        status(out)


def test_a_run_that_was_not_divided_has_no_parts_and_continues(
    config: ProbeConfig, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ShardRunner, "measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            probe(config, out, device="cpu")
    with pytest.raises(UsageError, match="has no parts of --shard; the same dimple probe continues it"):
        missing_parts(out)
    probe_part(config, out, 0, 2, device="cpu")
    # A probe without parts measures what is left.
    assert contents(probe(config, out, device="cpu").path) == expected
    (out / "run.json").write_text(json.dumps({"status": "running"}))
    with pytest.raises(RunError, match="holds no shards; name the folder of an unfinished probe"):
        status(out)


def test_engines_are_refused_before_they_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, jobs, address, sentence in (
        ("dask", None, None, "--engine is dask; choose from local, ray"),
        ("local", 0, None, "jobs is 0; give at least 1"),
        ("local", None, "auto", "--address names a Ray cluster; add --engine ray"),
    ):
        with pytest.raises(UsageError, match=sentence):
            check_engine(name, jobs, address)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"needs Ray; pip install 'dimple-lab\[ray\]'"):
        check_engine("ray", None, None)


def test_short_work_is_done_by_this_process_unless_processes_were_asked_for(
    config: ProbeConfig, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with make_engine("local", None, None, "cpu") as engine:
        assert contents(probe(config, tmp_path / "run", device="cpu", engine=engine).path) == expected
        assert engine._processes == []
    assert make_engine("local", 2, None, "cpu").worth_seconds == 0
    assert make_engine("local", None, None, "cuda").runs_here
