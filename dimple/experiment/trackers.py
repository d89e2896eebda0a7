"""Experiment trackers that take the statistics of a recorded training, each by the methods that it has."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from dimple.errors import UsageError

# Takes numbers by name, and the step that they belong to.
Tracker: TypeAlias = Callable[[dict[str, float], int], Any]

# A tracker has numbers of the training itself under plain names such as `accuracy`.
PREFIX = "dimple/"


def build_tracker(log: Any) -> Tracker:
    """Return the function by which a tracker takes numbers at a step; the package imports none of them.

    Known are TensorBoard's `SummaryWriter`; Weights & Biases, a run or the module; MLflow's module and the loggers of
    Lightning, by `log_metrics(data, step=step)`; trackio and anything else with `log(data, step)`.

    Raises:
        UsageError: for an object with none of these methods.

    Example:
        >>> class Printer:
        ...     def log(self, data, step):
        ...         print(step, data)
        >>> build_tracker(Printer())({"dimple/margin": 0.5}, 3)
        3 {'dimple/margin': 0.5}
    """
    for method, build in BUILDERS.items():
        if callable(getattr(log, method, None)):
            return build(log)
    raise UsageError(
        f"log is {log!r}; give a SummaryWriter, a run of Weights & Biases, the module mlflow, or an object with a "
        "method log(dict, step)"
    )


def tracked_numbers(statistics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among statistics, with the prefix of their names.

    Example:
        >>> tracked_numbers({"samples": 2, "margin": 0.5, "note": "few"})
        {'dimple/samples': 2.0, 'dimple/margin': 0.5}
    """
    numbers = {name: value for name, value in statistics.items() if isinstance(value, int | float)}
    return {PREFIX + name: float(value) for name, value in numbers.items()}


def _tensorboard(writer: Any) -> Tracker:
    def log(data: dict[str, float], step: int) -> None:
        for name, value in data.items():
            writer.add_scalar(name, value, step)

    return log


def _wandb(run: Any) -> Tracker:
    # Its own steps only increase, and a step is measured when the training is further on: a step of our own.
    step_name = f"{PREFIX}step"
    run.define_metric(f"{PREFIX}*", step_metric=step_name)

    def log(data: dict[str, float], step: int) -> None:
        run.log(data | {step_name: step})

    return log


def _log_metrics(logger: Any) -> Tracker:
    def log(data: dict[str, float], step: int) -> None:
        logger.log_metrics(data, step=step)

    return log


def _log(tracker: Any) -> Tracker:
    def log(data: dict[str, float], step: int) -> None:
        tracker.log(data, step)

    return log


# By the method that tells a tracker from the others; the first that it has decides.
BUILDERS: dict[str, Callable[[Any], Tracker]] = {
    "add_scalar": _tensorboard,
    "define_metric": _wandb,
    "log_metrics": _log_metrics,
    "log": _log,
}
