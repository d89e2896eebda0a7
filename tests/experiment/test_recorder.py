"""A recorder in somebody's training: it changes nothing, never raises, and leaves a run that every command opens."""

import dataclasses
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple import Margin, Recorder, Run, compare, measure, progress, report
from dimple.errors import ModelError, RunError, ShapeError, UsageError
from dimple.experiment import recorder as module
from dimple.tensors import generator

PROBES = [Margin(max_passes=5)]


def make_data() -> tuple[Tensor, Tensor]:
    x = torch.rand(24, 2, generator=generator(0, "points"))
    return x, (x[:, 0] > 0.5).long()


def make_network() -> nn.Module:
    """A network with all that a careless recorder disturbs: dropout, statistics of batches, training mode."""
    state = torch.get_rng_state()
    network = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
    for number, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, 0.0, 0.5, generator=generator(number, "weights"))
    assert state is not None
    return network


def train(network: nn.Module, steps: int, record: Any = None) -> dict[str, Tensor]:
    x, y = make_data()
    # The dropout of a user draws from the global generator.
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(7)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for step in range(steps):
            if record is not None:
                record(step, network)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        if record is not None:
            record(steps, network)
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_training_with_and_without_a_recorder_ends_in_the_same_bits(tmp_path: Path) -> None:
    x, y = make_data()
    bare = train(make_network(), 60)
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=(0, 1)) as record:
        recorded = train(make_network(), 60, record)
    assert all(torch.equal(bare[name], recorded[name]) for name in bare)


def test_the_end_says_where_the_run_is_and_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_writes_lines", True)
    x, y = make_data()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=(0, 1), every=1, max_overhead=1e-9) as record:
        train(make_network(), 20, record)
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        rf"dimple: record: 6 snapshots of steps 0 to 20, 1\d left out to keep max_overhead: {tmp_path}/run/report.html",
        line,
    ), line


def test_the_run_has_the_curves_of_the_training_and_every_command_opens_it(tmp_path: Path) -> None:
    x, y = make_data()
    logged: list[tuple[int, dict[str, Any]]] = []

    @dataclasses.dataclass
    class Tracker:
        def log(self, data: dict[str, Any], step: int) -> None:
            logged.append((step, data))

    network = make_network()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=(0, 1), plane=[0, 1, 2], log=Tracker()) as record:
        train(network, 40, record)
    run = Run.open(tmp_path / "run")
    assert run.kind == "measurement" and run.steps[0] == 0 and run.steps[-1] == 40 and len(run.steps) >= 5
    assert [step for step, _ in logged] == run.steps
    # The last row is that of the network as it is.
    last = run.measurements[run.measurements["step"] == 40]
    assert network.training
    expected = measure(network.eval(), x, y, PROBES, bounds=(0, 1))
    assert np.allclose(last["margin"], expected["margin"].values, equal_nan=True)
    assert logged[-1][1]["dimple/accuracy"] == float(np.mean(last["correct"]))
    assert report(tmp_path / "run", tmp_path / "again.html").is_file()
    assert compare([tmp_path / "run", tmp_path / "run"], tmp_path / "both.html").is_file()
    slice_run = Run.open(tmp_path / "run" / "slice")
    assert slice_run.kind == "slice" and (slice_run.path / "film.mp4").is_file() and run.views_path == slice_run.path
    assert "dimple.Recorder" in (run.path / "report.html").read_text()


def test_a_short_training_leaves_five_snapshots_however_small_the_budget(tmp_path: Path) -> None:
    x, y = make_data()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1e-9) as record:
        train(make_network(), 120, record)
    assert record.run is not None
    # The first five, and the network at the end.
    assert record.run.steps == [0, 1, 2, 3, 4, 120]
    assert record.run.info["recorder"]["left_out"] > 0
    # The report says where the curves have no steps.
    first, last = record.run.info["recorder"]["left_out_steps"]
    assert (first, last) == (5, 120)
    assert (
        f"from step {first} to {last}, were left out to keep max_overhead"
        in (record.run.path / "report.html").read_text()
    )


@pytest.mark.parametrize(("every", "expected"), [(30, [0, 30, 60, 90, 100]), ("log", None)])
def test_steps_are_regular_or_logarithmic(tmp_path: Path, every: Any, expected: list[int] | None) -> None:
    x, y = make_data()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, every=every, max_overhead=1.0) as record:
        train(make_network(), 100, record)
    assert record.run is not None
    steps = record.run.steps
    assert steps == expected if expected else (steps[:6] == [0, 1, 2, 3, 4, 5] and 15 <= len(steps) <= 30)


def test_an_error_of_the_training_is_raised_and_what_was_recorded_is_measured(tmp_path: Path) -> None:
    x, y = make_data()

    def train_and_fail() -> None:
        with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
            train(make_network(), 10, record)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_and_fail()
    assert Run.open(tmp_path / "run").steps[-1] == 10


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("holds a lock")


def test_what_goes_wrong_while_recording_is_one_warning(tmp_path: Path) -> None:
    x, y = make_data()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
            train(Uncopied(2, 2), 10, record)
    sentences = [str(one.message) for one in caught]
    # With the place in the user's code.
    assert "and the training goes on: TypeError: holds a lock (" in sentences[0]
    assert re.search(r"test_recorder\.py, line \d+\)$", sentences[0])
    assert len([one for one in sentences if "holds a lock" in one]) == 1


def test_what_goes_wrong_while_measuring_is_a_warning(tmp_path: Path) -> None:
    x, y = make_data()

    def train_and_fill_the_folder() -> None:
        with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
            train(make_network(), 3, record)
            (tmp_path / "run" / "mine.txt").write_text("of somebody else")

    with pytest.warns(UserWarning, match="could not be measured: .*is not empty and holds no run"):
        train_and_fill_the_folder()
    assert (tmp_path / "run" / "mine.txt").exists()


def test_wrappers_are_taken_off_and_sharded_weights_are_refused(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    averaged = torch.optim.swa_utils.AveragedModel(network)
    assert module.unwrap(nn.DataParallel(network)) is network
    assert isinstance(module.unwrap(averaged), nn.Linear)
    assert module.unwrap(torch.compile(network, backend="eager")) is network

    class FSDPModule(nn.Linear):
        pass

    x, y = make_data()
    record = Recorder(tmp_path / "run", x, y, PROBES, bounds=None)
    with pytest.warns(UserWarning, match="sharded over processes"), record:
        train(FSDPModule(2, 2), 3, record)


def test_processes_of_another_rank_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_first_process", lambda: False)
    x, y = make_data()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
        train(make_network(), 3, record)
    assert not (tmp_path / "run").exists() and record.run is None


def test_mistakes_in_the_arguments_are_errors_before_the_training(tmp_path: Path) -> None:
    x, y = make_data()
    for changes, error, text in (
        ({"every": 0}, UsageError, "every is 0"),
        ({"max_overhead": 2.0}, UsageError, "max_overhead is 2.0"),
        ({"plane": [0, 99]}, UsageError, "rows of x, from 0 to 23"),
        ({"log": 3}, UsageError, "method log"),
        ({"probes": ["margn"]}, UsageError, "did you mean 'margin'"),
        ({"bounds": (0.0, 0.5)}, ShapeError, "outside bounds"),
    ):
        arguments = {"probes": PROBES, "bounds": None} | changes
        with pytest.raises(error, match=text):
            Recorder(tmp_path / "run", x, y, **arguments)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"y": [-1, 1] * 12}, "labels -1 and 1; class numbers count from 0"),
        ({"y": [2] * 24}, r"y\[0\] is 2; the classifier has the classes 0 to 1"),
        ({"output": "logits"}, "output is 'logits', and the model returns a tensor"),
    ],
)
def test_arguments_that_do_not_fit_the_network_are_errors_of_the_first_call(
    changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    x, y = make_data()
    record = Recorder(tmp_path / "run", probes=PROBES, bounds=None, **({"x": x, "y": y} | changes))
    steps: list[int] = []
    with pytest.raises((ShapeError, ModelError), match=text), record:
        train(make_network(), 3, lambda step, network: (record(step, network), steps.append(step)))
    assert not steps and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("status", "text"), [("complete", "already holds a finished run"), ("running", "unfinished")])
def test_a_folder_with_a_run_is_refused_before_the_training(tmp_path: Path, status: str, text: str) -> None:
    x, y = make_data()
    steps: list[int] = []
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
        train(make_network(), 3, record)
    run = Run.open(tmp_path / "run")
    run.info["status"] = status
    run.save()
    with pytest.raises(RunError, match=text):
        Recorder(tmp_path / "run", x, y, PROBES, bounds=None)
    # A recorder that has written its run, as a second fit of a trainer uses it.
    with pytest.raises(RunError, match=text), record:
        steps.append(0)
    assert not steps and not record.is_open
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, force=True) as record:
        train(make_network(), 5, record)
    assert Run.open(tmp_path / "run").steps[-1] == 5


def test_a_second_training_into_a_folder_is_refused_before_it_begins(tmp_path: Path) -> None:
    x, y = make_data()
    second = Recorder(tmp_path / "run", x, y, PROBES, bounds=None)
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
        with pytest.raises(RunError, match="is being recorded by another block of this process"), second:
            pass
        code = "import pathlib, sys, dimple.runs.lock as lock; lock.lock_folder(pathlib.Path(sys.argv[1]))"
        ended = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=False
        )
        assert "is being written by process" in ended.stderr
        train(make_network(), 3, record)
    assert Run.open(tmp_path / "run").steps[-1] == 3
    # Its lock goes with the block, also where nothing is recorded.
    with pytest.warns(UserWarning, match="nothing was recorded"), Recorder(tmp_path / "other", x, y, bounds=None):
        assert (tmp_path / "other").exists()
    assert not (tmp_path / "other").exists()


def test_the_last_snapshot_has_the_weights_of_its_step(tmp_path: Path) -> None:
    x, y = make_data()
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.zero_()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1.0) as record:
        for step in range(23):
            record(step, network)
            with torch.no_grad():
                network.weight[0, 0] += 1
    run = Run.open(tmp_path / "run")
    counted = {step: float(run.read_snapshot(step)[0]["weight"][0, 0]) for step in run.steps}
    assert counted == {step: float(step) for step in run.steps} and run.steps[-1] == 23


def test_steps_that_begin_again_in_each_epoch_are_one_warning(tmp_path: Path) -> None:
    x, y = make_data()

    def train_three_epochs() -> None:
        with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1.0) as record:
            for _epoch in range(3):
                train(make_network(), 9, record)

    with pytest.warns(UserWarning, match="step 0 after 9; steps have to increase over all epochs") as caught:
        train_three_epochs()
    assert len(caught) == 1
    assert Run.open(tmp_path / "run").steps[-1] == 9


class CountingCalls(nn.Linear):
    """Its output depends on a buffer that no state dict holds."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


def test_buffers_outside_the_state_dict_are_copied_too(tmp_path: Path) -> None:
    x, y = make_data()
    network = CountingCalls()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1.0) as record:
        for step in range(3):
            record(step, network)
            network.scale += 1
    scores = Run.open(tmp_path / "run").measurements.groupby("step")["logit_margin"].first()
    assert np.allclose(scores[:3] / scores[0], [1, 2, 3])


class Annealed(nn.Linear):
    """Its output depends on a number that is neither a weight nor a buffer."""

    scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


@pytest.mark.parametrize("live", [False, True])
def test_numbers_among_the_attributes_are_copied_too(tmp_path: Path, live: bool) -> None:
    x, y = make_data()
    network = nn.Sequential(nn.Identity(), Annealed(2, 2))
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1.0, live=live) as record:
        for step in range(3):
            record(step, network)
            network[1].scale += 0.1
    run = Run.open(tmp_path / "run")
    scores = run.measurements.groupby("step")["logit_margin"].first()
    assert run.steps == [0, 1, 2, 3] and np.allclose(scores / scores[0], [1, 1.1, 1.2, 1.3])


def test_a_last_change_of_the_data_of_weights_is_recorded(tmp_path: Path) -> None:
    x, y = make_data()
    network = nn.Linear(2, 2)
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1.0) as record:
        for step in range(3):
            record(step, network)
            network.weight.data += 1
    run = Run.open(tmp_path / "run")
    assert run.steps == [0, 1, 2, 3]
    torch.testing.assert_close(run.read_snapshot(3)[0]["weight"], network.weight.detach())


def test_probes_beside_the_training_measure_the_same_and_are_logged_in_order(tmp_path: Path) -> None:
    x, y = make_data()
    logged: list[int] = []

    class Tracker:
        def log(self, data: dict[str, Any], step: int) -> None:
            logged.append(step)

    bare = train(make_network(), 40)
    with Recorder(tmp_path / "plain", x, y, PROBES, bounds=(0, 1), max_overhead=1.0, every=10) as record:
        train(make_network(), 40, record)
    recorder = Recorder(
        tmp_path / "live", x, y, PROBES, bounds=(0, 1), max_overhead=1.0, every=10, live=True, log=Tracker()
    )
    with recorder as record:
        recorded = train(make_network(), 40, record)
        # A training that takes longer than the measurements: calls of a step that is left out only look for them.
        deadline = time.monotonic() + 60
        step = 40
        while len(logged) < 4 and time.monotonic() < deadline:
            step += 1
            record._next = torch.inf
            record(step, record._network)
            time.sleep(0.05)
    assert all(torch.equal(bare[name], recorded[name]) for name in bare)
    assert logged == sorted(logged) and logged[:5] == [0, 10, 20, 30, 40]
    plain, live = (Run.open(tmp_path / name) for name in ("plain", "live"))
    assert live.info["recorder"]["measured_live"] >= 4
    for step in (0, 40):
        first, second = (run.measurements[run.measurements["step"] == step]["margin"] for run in (plain, live))
        assert np.allclose(first, second, rtol=1e-5)


def test_a_worker_that_dies_is_a_warning_and_its_steps_are_measured_at_the_end(tmp_path: Path) -> None:
    x, y = make_data()
    record = Recorder(tmp_path / "run", x, y, PROBES, bounds=None, max_overhead=1.0, live=True)

    def train_and_kill() -> None:
        with record:
            record(0, network := nn.Linear(2, 2))
            assert record._live is not None
            record._live.stop()
            deadline = time.monotonic() + 60
            step = 0
            while record._live is not None and time.monotonic() < deadline:
                step += 1
                record(step, network)
                time.sleep(0.01)

    with pytest.warns(UserWarning, match="beside the training stops, and the rest is measured at its end"):
        train_and_kill()
    assert record.run is not None and record.run.steps[:2] == [0, 1]


def test_networks_in_half_precision_are_measured_in_single(tmp_path: Path) -> None:
    x, y = make_data()
    network = nn.Linear(2, 2).bfloat16()
    with Recorder(tmp_path / "run", x, y, PROBES, bounds=None) as record:
        record(0, network)
    assert record.run is not None and network.weight.dtype == torch.bfloat16
    expected = measure(network.float().eval(), x, y, PROBES, bounds=None)
    assert np.allclose(record.run.measurements["margin"], expected["margin"].values)


@pytest.mark.parametrize("attribute", ["module", "ema_model"])
def test_averages_of_other_libraries_are_taken_off(attribute: str) -> None:
    network = nn.Linear(2, 2)
    name = {"module": "ModelEmaV3", "ema_model": "EMA"}[attribute]
    wrapper = type(name, (nn.Module,), {})()
    setattr(wrapper, attribute, network)
    assert module.unwrap(wrapper) is network


def test_a_distributed_wrapper_of_torch_is_taken_off(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        network = nn.Linear(2, 2)
        assert module.unwrap(torch.compile(nn.parallel.DistributedDataParallel(network), backend="eager")) is network
    finally:
        torch.distributed.destroy_process_group()
