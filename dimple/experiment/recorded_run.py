"""The run of a recorded training: weights, measurements along the steps, a report, and a slice with its film."""

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
import yaml
from torch import Tensor, nn

from dimple.boundary.classifier import PreparedClassifier
from dimple.experiment.probing.in_memory import MeasurementArguments
from dimple.experiment.probing.measured_run import (
    RECORDED,
    describe_task,
    measure_task,
    write_measurements,
    write_report_of_measured_run,
)
from dimple.experiment.probing.measurement import Measurement
from dimple.experiment.probing.sources import LabeledPoints, Sources
from dimple.experiment.provenance import add_costs
from dimple.experiment.run import Run
from dimple.experiment.slices.config import SliceConfig
from dimple.experiment.slices.slice_network import slice_sources
from dimple.progress import silent_progress
from dimple.protocols import Progress
from dimple.runs.files import SLICE_FOLDER

STEP_UNIT = "updates"
HALF_PRECISION = (torch.float16, torch.bfloat16)
# The largest whole number of a tensor.
MAX_INTEGER = 2**63 - 1
# A plane has this many rows of the samples, and axes through all of them.
PLANE_POINTS = 3


@final
class RecordedNetworks:
    """A network at several steps of its training: one copy of the network, and its weights at each step, on the CPU.

    Args:
        network: the network, of which a copy in eval mode is made; one of half precision is measured in single.
    """

    def __init__(self, network: nn.Module) -> None:
        self._template = copy.deepcopy(network).cpu().eval().requires_grad_(False)
        if any(parameter.dtype in HALF_PRECISION for parameter in self._template.parameters()):
            self._template.float()
        self._states: list[dict[str, Tensor]] = []
        self.steps: list[int] = []

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        return ((step, self.network(step)) for step in self.steps)

    def network(self, step: int) -> nn.Module:
        """Return the network with the weights of a step."""
        return self.load(self._states[self.steps.index(step)])

    def copy_state(self, network: nn.Module) -> dict[str, Tensor]:
        """Return `copy_state` of the network, and the numbers among its attributes that are not those of the first."""
        state = copy_state(network)
        first = {name: vars(module) for name, module in self._template.named_modules()}
        for name, module in network.named_modules():
            for key, value in vars(module).items():
                is_number = isinstance(value, float) or (isinstance(value, int) and abs(value) <= MAX_INTEGER)
                if is_number and key != "training" and name in first and first[name].get(key) != value:
                    precision = torch.float64 if isinstance(value, float) else None
                    state[f"{name}.{key}".removeprefix(".")] = torch.tensor(value, dtype=precision)
        return state

    def is_last(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether a state is that of the last step."""
        last = self._states[-1]
        return state.keys() == last.keys() and all(
            torch.allclose(value, last[name], rtol=0, atol=0, equal_nan=True) for name, value in state.items()
        )

    def add(self, step: int, state: dict[str, Tensor]) -> None:
        """Keep the state of the network at a step, from `copy_state`; the first one is tried."""
        if not self._states:
            self.load(state)
        self._states.append(state)
        self.steps.append(step)

    def without_states(self) -> "RecordedNetworks":
        """Return the same template without any states."""
        return RecordedNetworks(self._template)

    def load(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy of the network with these weights, buffers and numbers."""
        network = copy.deepcopy(self._template)
        kept = network.state_dict().keys()
        network.load_state_dict({name: value for name, value in state.items() if name in kept})
        buffers = dict(network.named_buffers())
        for name in state.keys() - kept:
            if name in buffers:
                buffers[name].copy_(state[name])
            else:
                owner, _, key = name.rpartition(".")
                setattr(network.get_submodule(owner), key, state[name].item())
        return network

    def states(self) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        """Yield each step with its weights."""
        yield from zip(self.steps, self._states, strict=True)


@torch.no_grad()
def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of all weights and buffers on the CPU, with the buffers that a state dict leaves out.

    Those in half precision are copied to single precision, which represents them exactly.

    Example:
        >>> [*copy_state(nn.Linear(1, 1))]
        ['weight', 'bias']
    """
    tensors = dict(network.named_buffers()) | network.state_dict()
    return {name: _copy(value.detach().cpu()) for name, value in tensors.items() if isinstance(value, Tensor)}


def _copy(value: Tensor) -> Tensor:
    return value.float() if value.dtype in HALF_PRECISION else value.clone()


def write_recorded_run(
    arguments: MeasurementArguments,
    networks: RecordedNetworks,
    measured: dict[int, Measurement],
    out: Path | str,
    plane: Sequence[int] | None,
    facts: Mapping[str, Any],
    force: bool,
    progress: Progress,
) -> Run:
    """Measure the recorded networks, write the run, and return it.

    Args:
        arguments: of the measurement.
        networks: what was recorded.
        measured: the measurements that were made beside the training, by step; the others are added.
        out: the run folder.
        plane: rows of the samples for the slice; None for none.
        facts: how the recording went, for `run.info["recorder"]`.
        force: replace a run that is already in the folder.
        progress: how progress is shown.
    """
    device = arguments.x.device
    *_, (_, last) = networks
    with arguments.task(last.to(device)) as task:
        info, settings = describe_task(task)
    info["facts"] = [*info["facts"], ("training", _describe_recording(networks.steps, facts))]
    run = Run.create(
        out, info | {"recorder": dict(facts)}, yaml.safe_dump(settings, sort_keys=False), force, "config.yaml"
    )
    started = time.perf_counter()
    with run.finishing():
        for step, state in networks.states():
            # The loss of somebody else's training is not known.
            run.write_snapshot(step, dict(state), math.nan)
        costs: dict[str, Any] = {}
        with progress("measure", len(networks)) as advance:
            for step, network in networks:
                if step not in measured:
                    with arguments.task(network.to(device)) as task:
                        measured[step] = measure_task(task, silent_progress)
                add_costs(costs, measured[step].costs)
                advance()
        run.info |= costs
        write_measurements(run, sorted(measured.items()), STEP_UNIT)
        run.info["seconds"]["probe"] = round(time.perf_counter() - started, 3)
        run.save()
        if plane is not None:
            _write_slice(arguments, networks, run, plane, progress)
        write_report_of_measured_run(run, run.path / "report.html")
    return run


def _describe_recording(steps: Sequence[int], facts: Mapping[str, Any]) -> str:
    text = f"recorded at {len(steps)} steps, {steps[0]} to {steps[-1]}"
    if facts["left_out"]:
        first, last = facts["left_out_steps"]
        text += (
            f"; {facts['left_out']} more, from step {first} to {last}, were left out to keep max_overhead, and curves "
            "are straight there"
        )
    return text


def _write_slice(
    arguments: MeasurementArguments, networks: RecordedNetworks, run: Run, plane: Sequence[int], progress: Progress
) -> None:
    """Write the slice, a run inside the run."""
    images = arguments.x.dim() > 2
    sources = Sources(
        _PreparedSeries(networks, arguments),
        {"train": LabeledPoints(arguments.x, arguments.y)},
        arguments.bounds,
        tuple(run.info["classes"]),
        STEP_UNIT,
        [(str(name), str(text)) for name, text in run.info["facts"]],
        {},
        image_dataset="samples in memory" if images else None,
    )
    config = SliceConfig(
        split="train", images=tuple(plane), axes="points" if len(plane) >= PLANE_POINTS else "gradient"
    )
    slice_sources(config, sources, run.path / SLICE_FOLDER, arguments.x.device, True, progress, RECORDED)


@final
class _PreparedSeries:
    """The recorded networks as classifiers of the samples: with the preprocessing, and the output that was chosen."""

    def __init__(self, networks: RecordedNetworks, arguments: MeasurementArguments) -> None:
        self._networks = networks
        self._arguments = arguments
        self.steps = networks.steps

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        return ((step, self.network(step)) for step in self.steps)

    def network(self, step: int) -> nn.Module:
        """Return the classifier of a step."""
        return _PreparedNetwork(self._networks.network(step), self._arguments).eval()


@final
class _PreparedNetwork(nn.Module):
    def __init__(self, network: nn.Module, arguments: MeasurementArguments) -> None:
        super().__init__()
        self.network = network
        self._arguments = arguments

    def forward(self, x: Tensor) -> Tensor:
        arguments = self._arguments
        scores: Tensor = PreparedClassifier(self.network, arguments.output, arguments.preprocessing)(x)
        return scores
