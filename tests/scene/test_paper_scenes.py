"""Scenes of papers, against the formulas and the figures of the papers."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.manifolds import MANIFOLDS
from dimple.networks import freeze
from dimple.probes import Offset, OnOff, run_probes
from dimple.scene import Scene, load_scene
from dimple.tensors import generator, norm, project_onto_span
from dimple.training import SGD, Stop, Training

AMBIENT_DIM = 200
CODIMENSIONS = (25, 50, 100, 150, 180)
DRAWS = 8


def train(scene: Scene) -> tuple[nn.Module, Tensor, Tensor]:
    """The trained network of a scene, and its points."""
    samples = scene.samples()
    x = samples.train.float()
    network = scene.network.build(scene.manifold.ambient_dim, generator(scene.seed, "network"))
    scene.training.fit(network, x, samples.train_labels, [], lambda *_: None, seed=scene.seed, tangents=scene.manifold)
    return network, samples.train, samples.train_labels


def measure(scene: Scene, probes: list[Any]) -> dict[str, float]:
    """The medians over the training points."""
    network, x, y = train(scene)
    columns = run_probes(Boundary(freeze(network).double()), x, y, probes, scene.manifold).columns
    # The lower middle value, so that one infinite distance of two does not make their mean infinite.
    return {name: float(values.double().abs().median()) for name, values in columns.items()}


def subspace_scene(codim: int, seed: int, **network: Any) -> Scene:
    """The scene random_subspace with another codimension; the points keep their mean squared norm of 200."""
    dim = AMBIENT_DIM - codim
    half = math.sqrt(3 * AMBIENT_DIM / dim)
    flat = MANIFOLDS["flat"](low=(-half,) * dim, high=(half,) * dim, offset=())  # type: ignore[call-arg]
    scene = load_scene("random_subspace")
    manifold = dataclasses.replace(scene.manifold, base=flat, seed=seed)  # type: ignore[call-arg]
    data = dataclasses.replace(scene.data, test_points=1, heldout_points=1)
    settings = dataclasses.replace(scene.network, **network)
    return dataclasses.replace(scene, manifold=manifold, data=data, network=settings, seed=seed)


def orthogonal_gradient(scene: Scene, network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of the logit orthogonal to the subspace, and the number of active units, for each point."""
    double = freeze(network).double()
    points = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((double(points) @ torch.tensor([-1.0, 1.0], dtype=torch.float64)).sum(), points)
    hidden = double.get_submodule("module.0")(x)
    return gradient - project_onto_span(scene.manifold.tangent_basis(x), gradient), (hidden > 0).sum(1)


def test_the_gradient_orthogonal_to_a_subspace_has_the_length_of_the_theory() -> None:
    """sqrt(k l / (m d)) within 5 %, and distances off the subspace fall as its inverse, the root of l."""
    logs = []
    for codim in CODIMENSIONS:
        measured, predicted, distances = [], [], []
        for seed in range(DRAWS):
            scene = subspace_scene(codim, seed)
            network, x, y = train(scene)
            gradient, active = orthogonal_gradient(scene, network, x)
            measured.append(float(norm(gradient).mean()))
            predicted.append(float((active * codim / (400 * AMBIENT_DIM)).sqrt().mean()))
            boundary = Boundary(freeze(network).double())
            columns = run_probes(boundary, x, y, [OnOff(null_draws=1)], scene.manifold).columns
            distances.append(float(columns["margin_off"].abs().median()))
        assert np.mean(measured) == pytest.approx(np.mean(predicted), rel=0.05)
        logs.append((math.log(codim), math.log(np.mean(distances))))
    slope = np.polyfit(*zip(*logs, strict=True), 1)[0]
    assert slope == pytest.approx(-0.49, abs=0.06)


def test_a_smaller_start_and_decay_scale_the_orthogonal_gradient_as_predicted() -> None:
    """By the scale and by (1 - lr decay) for each step, given the units that are active in the end."""
    codim, seed, decay, steps = 100, 3, 0.01, 40
    plain = subspace_scene(codim, seed)
    start = plain.network.build(AMBIENT_DIM, generator(seed, "network")).double()
    for scale, weight_decay in ((1.0, 0.0), (0.3, 0.0), (1.0, decay), (0.3, decay)):
        training = Training(optimizer=SGD(lr=0.1, weight_decay=weight_decay), stop=Stop(steps=steps))
        scene = dataclasses.replace(subspace_scene(codim, seed, init_scale=scale), training=training)
        network, x, _ = train(scene)
        gradient, _ = orthogonal_gradient(scene, network, x)
        active = (freeze(network).double().get_submodule("module.0")(x) > 0).double()
        weight, signs = (start.get_parameter(f"module.{layer}.weight") for layer in (0, 2))
        initial = (active * signs) @ weight
        initial = initial - project_onto_span(scene.manifold.tangent_basis(x), initial)
        ratio = norm(gradient) / (scale * (1 - 0.1 * weight_decay) ** steps * norm(initial))
        torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.001, atol=0)


def test_a_smaller_start_makes_the_boundary_cross_the_diagonal() -> None:
    """Figure 2 of Melamed et al. 2023: off the line the boundary is farther, and its gradient points along the line."""
    found = []
    for scale in (1.0, 1 / 3):
        scene = load_scene("melamed_diagonal", [f"network.init_scale={scale}"], seed=3)
        found.append(measure(scene, [OnOff(null_draws=1), Offset(limit=4.0, null_draws=1)]))
    ordinary, small = found
    assert small["margin_off"] > 2 * ordinary["margin_off"]
    assert small["margin_off"] == pytest.approx(small["offset"], rel=1e-6)
    assert small["gradient_off_manifold_fraction"] < 0.5 * ordinary["gradient_off_manifold_fraction"]
    assert abs(small["margin_on"] / ordinary["margin_on"] - 1) < 0.3


@pytest.mark.slow
def test_the_diagonal_has_the_figures_of_an_independent_loop() -> None:
    """Distance off the line .288 and .663, off-manifold fraction of the gradient .47 and .18, from 5 seeds of a loop.

    A mean over 5 seeds has a standard error of a quarter, and is infinite where most points of one seed have no
    boundary along the normal. So this is the median over 20 seeds, with that of the points of each.
    """
    for scale, distance, fraction in ((1.0, 0.288, 0.47), (1 / 3, 0.663, 0.18)):
        rows = []
        for seed in range(20):
            scene = load_scene("melamed_diagonal", [f"network.init_scale={scale}"], seed=seed)
            rows.append(measure(scene, [OnOff(null_draws=1), Offset(limit=4.0, null_draws=1)]))
        off = [row["margin_off"] for row in rows]
        fractions = [row["gradient_off_manifold_fraction"] for row in rows]
        assert np.median(off) == pytest.approx(distance, rel=0.1)
        assert np.mean(fractions) == pytest.approx(fraction, abs=0.06)


@pytest.mark.slow
def test_dimples_of_adversarial_training_are_deeper_and_the_manifold_keeps_its_distances() -> None:
    """One l2 step on the chessboard, 20 seeds: depth 1.5, 2.3 and 3.4 times that of training on clean points."""
    columns = ("offset", "margin_on")
    probes = [Offset(limit=1.0, resolution=64, null_draws=1), OnOff(null_draws=1)]

    def medians(seed: int, changes: list[str]) -> list[float]:
        found = measure(load_scene("chessboard", changes, seed=seed), probes)
        return [found[name] for name in columns]

    clean = np.array([medians(seed, ["training.objective={kind: standard}"]) for seed in range(20)])
    for eps, depth in ((0.03, 1.5), (0.06, 2.3), (0.1, 3.4)):
        ratio = np.array([medians(seed, [f"training.objective.eps={eps}"]) for seed in range(20)]) / clean
        low, middle, high = np.quantile(ratio[:, 0], (0.05, 0.5, 0.95))
        assert low < depth < high and middle > 1
        if eps < 0.1:
            assert np.median(ratio[:, 1]) == pytest.approx(1.0, abs=0.2)
