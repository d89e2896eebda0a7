"""Training and measurement of the replicas of a scene, and the statistics of all of them."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.experiment.run import Run
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.experiment.simulation.snapshot_measures import SnapshotMeasurement, SnapshotMeasurer
from dimple.experiment.simulation.summary import DIVERGED, condition_rows
from dimple.protocols import Advance as StepAdvance
from dimple.scene import Scene
from dimple.stats.aggregate import SAMPLES_SUFFIX
from dimple.stats.intervals import median_interval, proportion_interval
from dimple.stats.phases import detect_phases
from dimple.training.loop import PrefixedCache
from dimple.training.stacked.fit import can_stack, fit_replicas
from dimple.workers import Advance, Task, Workers

Arrays = dict[str, NDArray[Any]]
Snapshots = dict[int, tuple[dict[str, Tensor], float]]
# The entry of the loss among the weights of a cached snapshot.
LOSS = "training loss"
# Probability that the value of a further replica lies in the range that is shown.
RANGE = (0.025, 0.975)
# The replica that is shown is the one nearest to the median curve of the first of these that was measured.
SHOWN_BY = ("boundary_distance", "margin", "loss")


@final
class Replicas:
    """The replicas of a scene: replica r is the scene with the seed s + r, with samples and a network of its own.

    Args:
        scene: a scene with several replicas.
        data: the location of the data set; None to look for it.
        device: where they are trained and measured.

    Attributes:
        all: each replica with its samples.
        steps: the steps at which snapshots are kept.

    Raises:
        SceneError: if the seeds give different numbers of samples or classes.
    """

    def __init__(self, scene: Scene, data: str | None, device: torch.device) -> None:
        scenes = [scene.replica(index) for index in range(scene.replicas)]
        self.all = [PreparedScene(one, one.samples(data), device) for one in scenes]
        self.steps = self.all[0].snapshot_steps
        sizes = {(len(one.samples.train), len(one.samples.classes)) for one in self.all}
        if len(sizes) > 1:
            found = " and ".join(f"{points} points of {classes} classes" for points, classes in sorted(sizes))
            raise SceneError(
                f"replicas is {scene.replicas}; their seeds give {found}; choose data of which every seed gives as many"
            )

    def train(self, run: Run, workers: Workers, advance: StepAdvance) -> None:
        """Train all replicas, stacked or else one in each process, and write all into one snapshot for each step.

        The progress counts steps, up to the last one.
        """
        networks = [one.build_network() for one in self.all]
        x = [one.samples.train.float() for one in self.all]
        training = self.all[0].scene.training
        device = self.all[0].device
        if can_stack(training, networks, x):
            reached = 0

            def record(step: int, parameters: dict[str, Tensor], losses: Tensor) -> None:
                nonlocal reached
                run.write_snapshot(step, parameters, losses.tolist())
                advance(step - reached)
                reached = step

            fit_replicas(
                training, networks, torch.stack(x).to(device),
                torch.stack([one.samples.train_labels for one in self.all]).to(device), self.steps, record,
                seeds=[one.scene.seed for one in self.all], cache=run,
                threads=min(workers.jobs, len(networks)) if device.type == "cpu" else 1,
            )  # fmt: skip
            return
        tasks: list[Task[None]] = [functools.partial(self._train_single, run, index) for index in range(len(networks))]
        for _ in workers.run_unordered(tasks, lambda: advance(self.steps[-1] // len(tasks))):
            pass
        trained = [_cached_snapshots(run, index) for index in range(len(networks))]
        for step, states, losses in _stack_snapshots(trained, self.steps):
            run.write_snapshot(step, states, losses)

    def _train_single(self, run: Run, index: int, advance: Advance) -> None:
        """Train one replica, and keep its snapshots in the cache of the run."""

        def record(step: int, network: nn.Module, loss: float) -> None:
            arrays = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
            run.write_cache(f"replica-{index}-{step}", arrays | {LOSS: np.array(loss)})

        one = self.all[index]
        one.fit(one.initial_network(), record, cache=PrefixedCache(run, f"training-{index}"))
        advance()

    def measure(self, run: Run, workers: Workers, advance: Advance) -> list[list[SnapshotMeasurement]]:
        """Return the measurements of each replica at all snapshots; of its points, only their offsets are kept."""
        tasks: list[Task[tuple[int, list[SnapshotMeasurement]]]] = [
            functools.partial(self._measure_snapshots, run, index) for index in range(len(self.all))
        ]
        found = dict(workers.run_unordered(tasks, advance))
        return [found[index] for index in range(len(self.all))]

    def _measure_snapshots(self, run: Run, index: int, advance: Advance) -> tuple[int, list[SnapshotMeasurement]]:
        measurer = SnapshotMeasurer(self.all[index])
        snapshots = []
        for step in run.steps:
            snapshot = measurer.measure(step, *self.all[index].load_network(run, step, index))
            points = {name: rows for name, rows in snapshot.points.items() if name in ("split", "offset")}
            snapshots.append(dataclasses.replace(snapshot, points=points, closest_points=np.empty(0)))
            advance()
        return index, snapshots


def _cached_snapshots(run: Run, index: int) -> Snapshots:
    """Return the snapshots of a replica in the cache of a run, with their losses."""
    found: Snapshots = {}
    for file in (run.path / "cache").glob(f"replica-{index}-*.safetensors"):
        arrays = run.read_cache(file.stem)
        assert arrays is not None
        loss = float(arrays.pop(LOSS))
        found[int(file.stem.rpartition("-")[2])] = {n: torch.from_numpy(value) for n, value in arrays.items()}, loss
    return found


def _stack_snapshots(
    trained: Sequence[Snapshots], steps: Sequence[int]
) -> Iterator[tuple[int, dict[str, Tensor], list[float]]]:
    """Yield step, stacked weights and losses; a replica that has stopped keeps its last snapshot."""
    last = max(max(snapshots) for snapshots in trained)
    for step in sorted({one for one in steps if one < last} | {last}):
        rows = [snapshots[max(one for one in snapshots if one <= step)] for snapshots in trained]
        yield step, {name: torch.stack([state[name] for state, _ in rows]) for name in rows[0][0]}, [x for _, x in rows]


def choose_shown(metrics: Sequence[Arrays]) -> int:
    """Return the number of the replica that is nearest to the median curve of all, in the mean over the snapshots.

    Args:
        metrics: for each replica its columns, with a value for each snapshot.

    Example:
        >>> choose_shown([{"loss": np.array([loss, 0.0])} for loss in (3.0, 1.0, 2.0)])
        2
    """
    name = next(name for name in SHOWN_BY if name in metrics[0])
    curves = np.stack([one[name] for one in metrics])
    # Curves that are infinite or not defined at the same step do not differ there.
    with np.errstate(invalid="ignore"):
        deviation = np.abs(curves - _quantile(curves, 0.5))
    return int(np.argmin(np.nan_to_num(deviation, posinf=1e100).mean(1)))


def stack_metrics(metrics: Sequence[Arrays], seeds: Sequence[int]) -> Arrays:
    """Return the columns of replicas.parquet: `replica`, `seed`, and those of metrics.parquet."""
    count = len(metrics[0]["step"])
    table = {"replica": np.repeat(np.arange(len(seeds)), count), "seed": np.repeat(np.array(seeds), count)}
    return table | {name: np.concatenate([one[name] for one in metrics]) for name in metrics[0]}


def summarize_median(
    metrics: Sequence[Arrays], distances: Sequence[NDArray[np.float64] | None]
) -> dict[str, dict[str, Any]]:
    """Return the entry `median`: verdict and phases of the median over the replicas of distance and accuracy.

    Args:
        metrics: the columns of each replica.
        distances: for each replica the distances of held-out points, `(snapshots, points)`. Points and replicas are
            resampled for the intervals of the phases. The result is empty where they were not measured.
    """
    measured = [one for one in distances if one is not None]
    if not measured:
        return {}
    final = {name: np.array([one[name][-1] for one in metrics]) for name in metrics[0]}
    found = detect_phases(
        metrics[0]["step"].tolist(),
        np.stack(measured),
        np.stack([one["train_accuracy"] for one in metrics]),
        final["gradient_off_manifold_fraction"],
        float(final["gradient_off_manifold_fraction_null"].mean()),
        found_fraction=np.mean([one["boundary_distance_found"] for one in metrics], axis=0),
    )
    median = {
        "verdict": found.verdict,
        "verdict_reason": found.reason,
        "conditions": condition_rows(found),
        "cling_step": found.cling_step,
        "dimple_step": found.dimple_step,
        "starts_beyond_limit": found.starts_beyond_limit,
        "phases": [{**dataclasses.asdict(phase), "interval": list(phase.interval)} for phase in found.phases],
    }
    return {"median": median}


def _quantile(values: NDArray[Any], fraction: float) -> NDArray[Any]:
    """Return a quantile over the first axis that is one of the values: infinite distances are never averaged."""
    return np.asarray(np.quantile(values, fraction, axis=0, method="inverted_cdf"))


def summarize_replicas(summaries: Sequence[Mapping[str, Any]], seeds: Sequence[int], shown: int) -> dict[str, Any]:
    """Return what a run says about the population of seeds.

    Args:
        summaries: the summary of each replica.
        seeds: the seed of each replica.
        shown: the number of the replica that the run shows.

    Returns:
        Number, seeds and the replica that is shown; `statistics` with the median over the replicas of each final
        number, its exact 95 % interval `median_low` and `median_high`, and the `low` and `high` ends of the central
        95 % of the replicas; and where there is a verdict, the number of replicas by verdict, the verdict and the
        reason of each, the fraction that is supported with its exact 95 % interval, and the phases of each.
        A step that a replica never reaches counts as infinitely late, and is null where it is the median or an end.
    """
    final = summaries[0]["final"]
    names = [name for name in final if not name.endswith(SAMPLES_SUFFIX)]
    statistics = {name: _range([float(one["final"][name]) for one in summaries]) for name in names}
    result: dict[str, Any] = {"count": len(seeds), "seeds": list(seeds), "shown": shown, "statistics": statistics}
    if "verdict" not in summaries[0]:
        return result
    verdicts = [str(one["verdict"]) for one in summaries]
    supported = verdicts.count("supported")
    low, high = proportion_interval(supported, len(verdicts))
    words = ["supported", "contradicted", "undecided", *sorted({DIVERGED} & set(verdicts))]
    return result | {
        "verdicts": {word: verdicts.count(word) for word in words},
        "supported_fraction": supported / len(verdicts),
        "supported_interval": [low, high],
        "distance_fall": _range([float(one["distance_fall"]) for one in summaries]),
        **{
            key: _range([np.inf if one[key] is None else float(one[key]) for one in summaries])
            for key in ("cling_step", "dimple_step")
        },
        "phases": [one["phases"] for one in summaries],
        "verdict_of_each": [one["verdict"] for one in summaries],
        "reason_of_each": [one["verdict_reason"] for one in summaries],
    }


def _range(values: list[float]) -> dict[str, float | None]:
    """Return the median of the values with its exact interval, and the ends of their central 95 %.

    A number that is not finite is None.
    """
    ends = {"median": 0.5, "low": RANGE[0], "high": RANGE[1]}
    row = {name: float(_quantile(np.array(values), end)) for name, end in ends.items()}
    row["median_low"], row["median_high"] = median_interval([one for one in values if not np.isnan(one)])
    return {name: value if np.isfinite(value) else None for name, value in row.items()}
