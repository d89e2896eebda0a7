"""Attacks along the exact manifold of signals, whose latents are known, against attacks in all directions."""

import dataclasses
from typing import final

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import final_network, predict
from dimple.claims.experiments.trained_scene import prepare_scene
from dimple.data.mnist1d import DEFORMATIONS, MNIST1D, Signals
from dimple.manifolds.tabulated_tangents import TabulatedTangents
from dimple.probes import Margin, OnOff
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median
from dimple.tensors import Box

# Latents that are no deformations stay, so that any bounds serve that hold them.
FAR = 1e3


@final
@settings
class ManifoldAttacks(Experiment):
    """Networks trained on more and more signals of MNIST-1D, attacked along the manifold and in all directions.

    Columns: `error_N`, `on_success_N` and `off_success_N` for each number N of training signals: the test error, and
    the fractions of the correct test signals whose class changes within a radius of the latents, and of the signal;
    `on_correlation` and `off_correlation`, the rank correlations of both with the test error over the numbers;
    `on_fall` and `off_fall`, the success with the fewest signals over that with the most; and for the network of most
    signals `distance_ratio`, the median distance of the nearest boundary point from the tangent space over its distance
    from the signal, with `distance_ratio_null` for a random direction, and `normal_excess`, the normal fraction of
    the squared length over that of a random direction.

    Args:
        sizes: the numbers of training signals.
        test: the number of test signals.
        latent_radius: of the attack along the manifold, l-infinity, where each latent has the range -1 to 1.
        radius: of the attack in all directions, l-infinity, in input units.
        max_passes: of each attack.
        epochs: of the training on the most signals; all trainings have equally many steps.
        set: changes of the scene `mnist1d`.

    Reference: Stutz, Hein and Schiele 2019, Disentangling adversarial robustness and generalization.
    """

    sizes: tuple[Count, ...] = (100, 300, 1000, 3000)
    test: Count = 200
    latent_radius: Positive = 0.3
    radius: Positive = 0.1
    max_passes: Positive = 40.0
    epochs: Count = 20
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        source = MNIST1D(train=max(self.sizes), test=self.test)
        train, test = source.draw(seed)
        changes = [*self.set, f"data.train={max(self.sizes)}", f"data.test={self.test}", "snapshots.count=2"]
        steps = self.epochs * -(-max(self.sizes) // 100)
        changes += ["training.stop={}", f"training.steps={steps}"]
        prepared = prepare_scene("mnist1d", changes, seed, resources)
        networks = {}
        for size in self.sizes:
            samples = dataclasses.replace(prepared.samples, train=train.x[:size], train_labels=train.y[:size])
            # The generator of the signals is on the CPU.
            networks[size] = final_network(dataclasses.replace(prepared, samples=samples)).cpu()
        mean, deviation = standardization(source, train)
        render = Renderer(source, mean, deviation)
        return {"": compare_attacks(networks, render, test, self.latent_radius, self.radius, self.max_passes)}


def standardization(source: MNIST1D, train: Signals) -> tuple[float, float]:
    """Return the mean and the standard deviation by which the signals of a draw were standardized."""
    raw = source.render(train.latents, train.y)
    return float(raw.mean()), float(raw.std(correction=0))


@final
class Renderer:
    """Signals of latents of which the deformations are scaled to -1 to 1, with the class in the last column.

    Args:
        source: the generator.
        mean, deviation: by which its signals are standardized.
    """

    def __init__(self, source: MNIST1D, mean: float, deviation: float) -> None:
        self.source = source
        self.mean = mean
        self.deviation = deviation
        width = source.max_padding - source.min_padding
        self.half = torch.tensor([width, source.amplitude_range, source.max_shift, source.shear_range]).double() / 2
        self.middle = torch.tensor([source.min_padding + width / 2, 1.0, source.max_shift / 2, 0.0]).double()

    def encode(self, signals: Signals) -> Tensor:
        """Return the scaled latents `(N, 4 + 2 G + 1)` of signals."""
        count = len(DEFORMATIONS)
        scaled = (signals.latents[:, :count] - self.middle) / self.half
        return torch.cat([scaled, signals.latents[:, count:], signals.y[:, None].double()], 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the standardized signals `(N, n)`, with a gradient for the deformations alone."""
        count = len(DEFORMATIONS)
        fixed = codes[:, count:].detach()
        latents = torch.cat([codes[:, :count] * self.half + self.middle, fixed[:, :-1]], 1)
        signals: Tensor = (self.source.render(latents, fixed[:, -1].round().long()) - self.mean) / self.deviation
        return signals

    @property
    def bounds(self) -> Box:
        """The ranges of the scaled latents."""
        free = torch.ones(len(DEFORMATIONS)).double()
        fixed = torch.full((2 * self.source.cells + 1,), FAR).double()
        return Box(-torch.cat([free, fixed]), torch.cat([free, fixed]))


def compare_attacks(
    networks: dict[int, nn.Module],
    renderer: Renderer,
    test: Signals,
    latent_radius: float,
    radius: float,
    max_passes: float,
) -> Row:
    """Return the columns for networks by the number of their training signals, ascending."""
    row: Row = {}
    curves: dict[str, list[float]] = {"error": [], "on_success": [], "off_success": []}
    codes = renderer.encode(test)
    for size, network in networks.items():
        is_right = predict(network, test.x.float()) == test.y
        right = is_right.nonzero().squeeze(1)
        on = Boundary(lambda z, network=network: network(renderer.decode(z).float()).double(), renderer.bounds)
        attack = {
            "on_success": (on, codes[right], latent_radius),
            "off_success": (Boundary(network), test.x[right].float(), radius),
        }
        curves["error"].append(1 - float(is_right.double().mean()))
        for name, (boundary, x, eps) in attack.items():
            search = Margin(norm="linf", method="pgd", radius=eps, max_passes=max_passes)
            found = search(boundary, x, test.y[right]).columns["margin_found"]
            curves[name].append(float(found.double().mean()))
        row |= {f"{name}_{size}": curve[-1] for name, curve in curves.items()}
    for name in ("on", "off"):
        success = curves[f"{name}_success"]
        row[f"{name}_correlation"] = rank_correlation(success, curves["error"])
        row[f"{name}_fall"] = success[0] / success[-1] if success[-1] else np.inf
    return row | leaving_angle(network, test, right)


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Return Spearman's rank correlation; 0 where one of the two is constant."""
    if len(set(a)) == 1 or len(set(b)) == 1:
        return 0.0
    return float(spearmanr(a, b).statistic)


def leaving_angle(network: nn.Module, test: Signals, rows: Tensor) -> Row:
    """Return how far the nearest boundary points of some test signals are from their exact tangent spaces."""
    field = TabulatedTangents(test.x, test.basis)
    columns = OnOff(null_draws=1)(Boundary(network), test.x[rows].float(), test.y[rows], field).columns
    normal = 1 - columns["perturbation_on_manifold_fraction"].double().numpy()
    null = 1 - float(columns["perturbation_on_manifold_fraction_null"][0])
    return {
        "distance_ratio": lower_median(np.sqrt(normal.clip(0, 1))),
        "distance_ratio_null": float(np.sqrt(null)),
        "normal_excess": float(normal.mean()) / null,
    }
