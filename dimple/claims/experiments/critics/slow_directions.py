"""Logistic regression on data whose classes overlap where they vary most, and separate where they vary little."""

import math
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import RecordedTraining
from dimple.networks import MLP, freeze
from dimple.settings import Count, Positive, settings
from dimple.tensors import generator
from dimple.training import SnapshotSchedule, Stop, Training
from dimple.training.optimizers import SGD


@final
@settings
class SlowDirections(Experiment):
    """Gradient descent on two Gaussian classes of wide (on-manifold) and narrow (off-manifold) coordinates.

    Columns, with `_null` those where the narrow coordinates are scaled to the width of the others:

    - `slowness`: the step at which half of the weight along the narrow class difference has grown, over the same for
      the wide one;
    - `robust_early`, `robust_late`: the fraction of new points that are right at all points within half the distance of
      the classes along the narrow coordinates, after a fiftieth of the steps and at the end; `robust_gain`, their
      difference; `robust_newton`, the same of the regression fitted by Newton's method;
    - `accuracy`: of new points at the end.

    Args:
        on, off: the numbers of wide and narrow coordinates.
        width: the standard deviation of a narrow coordinate; that of a wide one is 1.
        separation: the distance of the mean of each class from the origin along the narrow coordinates, in widths.
        overlap: the same along the wide ones, in standard deviations.
        points: of the training set.
        steps: of gradient descent with all points.

    Reference: Haldar et al. 2024, Adversarial vulnerability as a consequence of on-manifold inseparability.
    """

    on: Count = 5
    off: Count = 5
    width: Positive = 0.05
    separation: Positive = 4.0
    overlap: Positive = 1.0
    points: Count = 400
    steps: Count = 4000

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        row = self._measure(seed, self.width)
        null = self._measure(seed, 1.0)
        return {"": row | {f"{name}_null": value for name, value in null.items()}}

    def _measure(self, seed: int, width: float) -> Row:
        stream = generator(seed, "slow directions")
        (x, y), (x_test, y_test) = (self.draw(width, stream) for _ in range(2))
        network = MLP(widths=()).build(self.on + self.off, generator(seed, "network"))
        steps: list[int] = []
        networks: list[nn.Module] = []

        def record(step: int, trained: nn.Module, _loss: float) -> None:
            steps.append(step)
            networks.append(freeze(trained))

        training = Training(optimizer=SGD(lr=0.5), stop=Stop(steps=self.steps))
        training.fit(network, x, y, SnapshotSchedule(count=40).steps(self.steps), record, seed=seed)
        trajectory = RecordedTraining(tuple(steps), tuple(networks), (math.nan,) * len(steps))
        radius = self.separation * width / 2
        row = describe_regression(trajectory, self.on, x_test, y_test, radius)
        return row | {"robust_newton": _robust(*_newton(x, y), x_test, y_test, radius)}

    def draw(self, width: float, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return points `(N, on + off)` and their classes; the classes differ in the first coordinate of each kind."""
        y = torch.arange(self.points) % 2
        x = torch.randn(self.points, self.on + self.off, generator=stream)
        sign = 2.0 * y - 1.0
        x[:, 0] += self.overlap * sign
        x[:, self.on] += self.separation * sign
        x[:, self.on :] *= width
        return x, y


def describe_regression(trajectory: RecordedTraining, on: int, x: Tensor, y: Tensor, radius: float) -> Row:
    """Return the columns of linear networks along their training.

    Args:
        trajectory: networks with one linear layer.
        on: the number of wide coordinates, the first ones; the classes differ in coordinates 0 and `on`.
        x: new points.
        y: their classes.
        radius: within which a robust point has one class.
    """
    maps = [_linear_map(network) for network in trajectory.networks]
    weights = torch.stack([weight for weight, _ in maps]).double()
    early = int(np.searchsorted(trajectory.steps, trajectory.steps[-1] / 50))
    robust = [_robust(*maps[index], x, y, radius) for index in (early, -1)]
    half = {name: _half_step(trajectory.steps, weights[:, column]) for name, column in (("on", 0), ("off", on))}
    return {
        "slowness": half["off"] / half["on"],
        "robust_early": robust[0],
        "robust_late": robust[1],
        "robust_gain": robust[1] - robust[0],
        "accuracy": _robust(*maps[-1], x, y, 0.0),
    }


def _linear_map(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the weight and the constant of the difference of the two scores."""
    layer = next(module for module in network.modules() if isinstance(module, nn.Linear))
    return layer.weight[1] - layer.weight[0], layer.bias[1] - layer.bias[0]


def _half_step(steps: tuple[int, ...], weight: Tensor) -> float:
    """Return the first recorded step, at least 1, from which the weight has made half of its change for good."""
    change = (weight - weight[0]) / (weight[-1] - weight[0])
    behind = torch.nonzero(change < 0.5)
    return float(max(1, steps[int(behind[-1]) + 1])) if len(behind) else 1.0


def _robust(weight: Tensor, constant: Tensor, x: Tensor, y: Tensor, radius: float) -> float:
    """Return the fraction of points that are right at every point within a radius."""
    distance = (2.0 * y - 1.0) * (x @ weight + constant) / weight.norm()
    return float((distance > radius).double().mean())


def _newton(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and constant of the logistic regression by Newton's method, with scikit-learn's regularization."""
    from sklearn.linear_model import LogisticRegression  # takes a second

    fitted = LogisticRegression(C=1e4, solver="newton-cholesky", max_iter=200).fit(x.numpy(), y.numpy())
    return torch.from_numpy(fitted.coef_[0]).float(), torch.tensor(float(fitted.intercept_[0]))
