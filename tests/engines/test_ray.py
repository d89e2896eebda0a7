"""A Ray cluster of this machine as an engine; skipped where Ray is not installed."""

import gc
import importlib.util
import os
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dimple.engines import make_engine
from dimple.engines.ray import FOLDER_PREFIX, PLACE
from dimple.errors import DeviceError, SceneError
from dimple.experiment import ProbeConfig, probe
from dimple.runs.lock import owner_mark
from dimple.runs.shards import ShardFolder
from dimple.workers import Advance, Engine
from tests.engines import killing_network

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(CHECKOUT))
        # Where sockets would have too long paths with both.
        patched.setattr(socket, "gethostname", lambda: "node." + 40 * "x")
        patched.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp(40 * "x")))
        patched.setenv(killing_network.SLEEP, "0.02")
        patched.setenv(killing_network.HOME, str(os.getpid()))
        patched.setenv(killing_network.KILLS, tempfile.gettempdir() + "/nothing")
        with make_engine("ray", 2, None, "cpu") as engine:
            yield engine
        mark = owner_mark()
    with warnings.catch_warnings():
        # Ray does not wait for the processes that it ends.
        warnings.simplefilter("ignore")
        gc.collect()
    assert not list(PLACE.glob(f"{FOLDER_PREFIX}{mark}*"))


def get_process(advance: Advance) -> int:
    advance()
    time.sleep(0.2)
    return os.getpid()


def refuse(advance: Advance) -> int:
    raise SceneError("seed: is -1", "and more")


def die(advance: Advance) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_tasks_run_in_two_processes_and_a_lost_one_is_the_only_one(engine: Engine) -> None:
    calls: list[None] = []
    results = list(engine.run_unordered([get_process] * 6 + [die], lambda: calls.append(None), lambda task: -1))
    assert len(results) == 7 and results.count(-1) == 1 and len(calls) == 6
    assert os.getpid() not in results and engine.jobs == 2
    with pytest.raises(SceneError) as caught:
        list(engine.run_unordered([refuse]))
    assert type(caught.value) is SceneError and caught.value.args == ("seed: is -1", "and more")


@pytest.mark.slow
def test_a_worker_killed_by_its_process_id_costs_nothing(engine: Engine, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = ProbeConfig(
        model=f"{killing_network.NAME}:Killing",
        weights="none",
        data=killing_network.write_images(tmp_path),
        probes=("margin",),
        max_passes=5.0,
    )
    alone = probe(config, tmp_path / "alone", device="cpu")
    (process, *_) = [number for number in engine.run_unordered([get_process]) if number != os.getpid()]
    killed = []

    def kill_in_work() -> None:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "ray").glob("shards/*/*.shard")) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    thread = threading.Thread(target=kill_in_work)
    thread.start()
    run = probe(config, tmp_path / "ray", device="cpu", engine=engine)
    thread.join()
    torch.set_num_threads(threads)
    assert killed == [process]
    for name in ("measurements.parquet", "images.safetensors"):
        assert (run.path / name).read_bytes() == (alone.path / name).read_bytes()
    assert not ShardFolder(run.path).path.exists()


def test_a_cluster_without_an_answer_is_refused_and_leaves_another_connection(engine: Engine) -> None:
    (before,) = engine.run_unordered([get_process])
    with (
        pytest.raises(DeviceError, match=r"no Ray cluster at 127\.0\.0\.1:1 "),
        make_engine("ray", 1, "127.0.0.1:1", "cpu"),
    ):
        pass
    assert list(engine.run_unordered([get_process])) == [before]
