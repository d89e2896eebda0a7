"""The gradient of two-layer networks orthogonal to a linear subspace that holds the data, over its codimension."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks import freeze
from dimple.probes import OnOff
from dimple.protocols import TangentField
from dimple.settings import Count, settings
from dimple.stats.aggregate import lower_median
from dimple.tangents import RandomSubspace
from dimple.tensors import norm, project_onto_span

SCENE = "random_subspace"


@final
@settings
class SubspaceGradient(Experiment):
    """Two-layer networks trained on points in linear subspaces of several codimensions l of R^d.

    The scene is `random_subspace`; the points keep their mean squared norm d. Each codimension is a part.

    Columns:

    - `law`: the mean length of the gradient of the logit orthogonal to the subspace over sqrt(k l / (m d)), for k
      active units of m; `law_random`, the same orthogonal to a random subspace; `law_along`, the length along the
      subspace over sqrt(k (d - l) / (m d));
    - `weight_change`: the change of the weights orthogonal to the subspace in training over their length;
    - `margin_off`, `margin_on`, `margin`: the median distance to the boundary off the subspace, along it, and in all
      directions; `margin_off_per_logit`, the distance off the subspace over the size of the logit at the point;
    - `slope`: of log `margin_off` over log l, over the subspaces of one space; `slope_random`, with the distance off
      random subspaces, and `slope_per_logit`, with `margin_off_per_logit`; `slope_fixed_dim`, over the subspaces of one
      dimension. They are the same for all parts.

    Args:
        ambient_dim: d of the subspaces of one space.
        codimensions: their l.
        data_dim: the dimension of the subspaces of one dimension.
        data_codimensions: their l.
    """

    version: ClassVar[int] = 1

    ambient_dim: Count = 200
    codimensions: tuple[Count, ...] = (25, 50, 100, 150, 180)
    data_dim: Count = 20
    data_codimensions: tuple[Count, ...] = (80, 180, 380, 780)

    @property
    def scenes(self) -> tuple[str, ...]:
        return (SCENE,)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        one_space = [(self.ambient_dim - codim, codim) for codim in self.codimensions]
        one_dim = [(self.data_dim, codim) for codim in self.data_codimensions]
        rows: dict[tuple[int, int], Row] = {}
        for dim, codim in dict.fromkeys(one_space + one_dim):
            prepared = prepare_subspace(dim, codim, [], seed, resources)
            start = prepared.initial_network()
            network = train(prepared).networks[-1]
            rows[dim, codim] = describe_gradient(prepared, start, network) | measure_directions(prepared, network)
        slopes = describe_slopes({key: rows[key] for key in one_space}, {key: rows[key] for key in one_dim})
        return {f"codimension {codim} of {dim + codim}": row | slopes for (dim, codim), row in rows.items()}


def prepare_subspace(dim: int, codim: int, changes: Sequence[str], seed: int, resources: Resources) -> PreparedScene:
    """Return the scene on a subspace of another dimension, whose points keep the mean squared norm n."""
    half = math.sqrt(3 * (dim + codim) / dim)
    base = f"{{kind: flat, low: {[-half] * dim}, high: {[half] * dim}, offset: []}}"
    shape = [
        f"manifold.base={base}", f"manifold.ambient_dim={dim + codim}", f"manifold.seed={seed}",
        "data.test_points=1", "data.heldout_points=1",
    ]  # fmt: skip
    return prepare_scene(SCENE, [*shape, *changes], seed, resources)


@final
@dataclasses.dataclass(frozen=True)
class SubspaceGradients:
    """The gradients of the logit of a two-layer network at points `(N, n)` of a subspace.

    Attributes:
        gradient: `(N, n)`.
        tangents: the tangent spaces.
        x: the points.
        active: `(N,)`, the number of active units.
        width: the number of units.
    """

    gradient: Tensor
    tangents: TangentField
    x: Tensor
    active: Tensor
    width: int

    @classmethod
    def of(cls, network: nn.Module, x: Tensor, tangents: TangentField) -> "SubspaceGradients":
        """Return the gradients of a network of the kind `two_layer`, in double precision."""
        double = freeze(network).double()
        points = x.detach().double().clone().requires_grad_()
        scores = double(points)
        (gradient,) = torch.autograd.grad((scores[:, 1] - scores[:, 0]).sum(), points)
        hidden: Tensor = double.get_submodule("module.0")(points.detach())
        return cls(gradient, tangents, points.detach(), (hidden > 0).sum(1), hidden.shape[1])

    def off(self, tangents: TangentField | None = None) -> Tensor:
        """Return the lengths of the gradients orthogonal to the subspace, or to another one."""
        return norm(self.gradient - project_onto_span(self._basis(tangents), self.gradient))

    def along(self) -> Tensor:
        """Return the lengths of the gradients along the subspace."""
        return norm(project_onto_span(self._basis(None), self.gradient))

    def law(self, codim: int) -> Tensor:
        """Return sqrt(k l / (m d)), the length of the theory in a subspace of codimension l."""
        return (self.active * codim / (self.width * self.x.shape[1])).sqrt()

    def _basis(self, tangents: TangentField | None) -> Tensor:
        return (tangents or self.tangents).tangent_basis(self.x)


def describe_gradient(prepared: PreparedScene, start: nn.Module, network: nn.Module) -> Row:
    """Return the columns of the gradient and the weights of one trained network.

    Args:
        prepared: the scene of `prepare_subspace`.
        start: the network before training.
        network: the network after it.
    """
    x = prepared.samples.train.double()
    tangents = prepared.tangents
    assert tangents is not None
    found = SubspaceGradients.of(network, x, tangents)
    n = x.shape[1]
    dim = tangents.tangent_basis(x[:1]).shape[2]
    law = found.law(n - dim).mean()
    random = RandomSubspace(dim, prepared.scene.seed, 0)
    return {
        "law": float(found.off().mean() / law),
        "law_random": float(found.off(random).mean() / law),
        "law_along": float(found.along().mean() / found.law(dim).mean()),
        "weight_change": _weight_change(start, network, tangents.tangent_basis(x[:1])[0]),
    }


def measure_directions(prepared: PreparedScene, network: nn.Module) -> Row:
    """Return the median distances to the boundary at the training points: off the manifold, along it, and free."""
    x = prepared.samples.train
    boundary = Boundary(freeze(network).to(x), prepared.samples.bounds)
    columns = OnOff(null_draws=1)(boundary, x, prepared.samples.train_labels, prepared.tangents).columns
    names = {
        "margin_off": "margin_off", "margin_off_random": "margin_off_null", "margin_on": "margin_on",
        "margin": "margin_unbounded",
    }  # fmt: skip
    margins = {name: columns[column].abs() for name, column in names.items()}
    margins["margin_off_per_logit"] = margins["margin_off"] / boundary.scores(x).diff(dim=1).abs().squeeze(1)
    return {name: lower_median(values.numpy()) for name, values in margins.items()}


def describe_slopes(one_space: Mapping[tuple[int, int], Row], one_dim: Mapping[tuple[int, int], Row]) -> Row:
    """Return the slopes over the codimension of the columns of `measure_directions`.

    Args:
        one_space: the columns by dimension and codimension, for subspaces of one space.
        one_dim: those for subspaces of one dimension.
    """

    def slope(rows: Mapping[tuple[int, int], Row], column: str) -> float:
        return fit_slope([codim for _, codim in rows], [row[column] for row in rows.values()])

    return {
        "slope": slope(one_space, "margin_off"),
        "slope_random": slope(one_space, "margin_off_random"),
        "slope_per_logit": slope(one_space, "margin_off_per_logit"),
        "slope_fixed_dim": slope(one_dim, "margin_off"),
    }


def fit_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of log y over log x by least squares; nan unless all are positive and finite.

    Example:
        >>> round(fit_slope([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]), 6)
        2.0
    """
    values = np.array([x, y], dtype=float)
    if not (np.isfinite(values) & (values > 0)).all():
        return math.nan
    logs = np.log(values)
    return float(np.polyfit(logs[0], logs[1], 1)[0])


def _weight_change(start: nn.Module, network: nn.Module, basis: Tensor) -> float:
    """Return the change of the first layer's weights orthogonal to the subspace, over their length at the start."""
    before, after = (
        one.get_submodule("module.0").get_parameter("weight").detach().double() for one in (start, network)
    )
    before, after = (weight - weight @ basis @ basis.T for weight in (before, after))
    return float((after - before).norm() / before.norm())
