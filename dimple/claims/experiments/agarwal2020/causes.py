"""Shape bias and smooth gradients by themselves: training on stylized images, and penalties on the gradient."""

import dataclasses
from typing import final

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.agarwal2020.image_sets import shape_bias
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import (
    accuracy,
    change_scene,
    final_network,
    predict,
    prepare,
    with_other_seed,
)
from dimple.data.cues import stylize
from dimple.probes import Margin
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median
from dimple.tensors import generator, total_variation


@final
@settings
class GradientPenalties(Experiment):
    """Networks trained with penalties on the size of the input gradient, beside a standard and an adversarial one.

    Columns, each with `_l2`, `_total_variation`, `_robust` and `_null`, a second standard network: `margin`, the median
    margin over that of the standard network, at the images that all networks have right; `lost`, the accuracy of the
    standard network on all test images minus that of the other; `roughness`, the total variation of the input gradient
    of unit length over that of the standard network.

    Args:
        scene: a built-in scene with images.
        l2, total_variation: the weights of the penalties.
        eps: the l2 radius of the adversarial training, in input units.
        steps: of each perturbation.
        max_passes: of the search for a boundary point.
        set: changes of the scene.
    """

    scene: str = "digits"
    l2: Positive = 0.3
    total_variation: Positive = 0.03
    eps: Positive = 0.6
    steps: Count = 5
    max_passes: Positive = 25.0
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        prepared = prepare(self.scene, self.set, seed, resources)
        penalty = "{{kind: gradient_penalty, measure: {}, weight: {}}}"
        objectives = {
            "l2": penalty.format("l2", self.l2),
            "total_variation": penalty.format("total_variation", self.total_variation),
            "robust": f"{{kind: adversarial, norm: l2, eps: {self.eps}, steps: {self.steps}}}",
        }
        arms = {
            name: change_scene(prepared, self.scene, [*self.set, f"training.objective={objective}"])
            for name, objective in objectives.items()
        }
        networks = {name: final_network(arm) for name, arm in arms.items()}
        networks |= {"standard": final_network(prepared), "null": final_network(with_other_seed(prepared))}
        x = prepared.samples.test.float().to(resources.device)
        y = prepared.samples.test_labels.to(resources.device)
        return {"": compare_penalties(networks, x, y, prepared.samples.test_rows.to(x.device), self.max_passes)}


def compare_penalties(
    networks: dict[str, nn.Module], x: Tensor, y: Tensor, rows: Tensor, max_passes: float = 25.0
) -> Row:
    """Return the columns of networks, of which `standard` is the reference, at the chosen rows of the images."""
    row: Row = {}
    chosen = x[rows]
    labels = y[rows]
    is_right = torch.stack([predict(network, chosen) == labels for network in networks.values()]).all(0)
    margins = {}
    roughness = {}
    for name, network in networks.items():
        margins[name] = median_margin(network, chosen[is_right], labels[is_right], max_passes)
        roughness[name] = gradient_roughness(network, chosen[is_right], labels[is_right])
    standard = accuracy(networks["standard"], x, y)
    for name, network in networks.items():
        if name != "standard":
            row[f"margin_{name}"] = margins[name] / margins["standard"]
            row[f"lost_{name}"] = standard - accuracy(network, x, y)
            row[f"roughness_{name}"] = roughness[name] / roughness["standard"]
    return row


def median_margin(network: nn.Module, x: Tensor, y: Tensor, max_passes: float) -> float:
    """Return the median l2 margin of images in [0, 1]."""
    margin = Margin(max_passes=max_passes)(Boundary(network, (0.0, 1.0)), x, y).columns["margin"]
    return lower_median(margin.double().cpu().numpy())


def gradient_roughness(network: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the median total variation of the gradients of the logit margin, each divided by its l2 norm."""
    _, gradient = Boundary(network).logit_margin_and_gradient(x, y)
    sizes = gradient.flatten(1).norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
    return lower_median((total_variation(gradient).sum(1) / sizes).double().cpu().numpy())


@final
@settings
class StylizedTraining(Experiment):
    """A network trained on images with swapped textures, without adversarial training, beside a standard one.

    Columns: `shape_bias_stylized`, `shape_bias_standard`, `shape_bias_robust`, on conflicting cues made from the images
    that all have right; `shape_bias_difference`, stylized minus standard, and `shape_bias_difference_null` of a second
    standard network; `margin_stylized` and `margin_robust`, the median margin over that of the standard network;
    `accuracy_stylized`, on all clean test images.

    Args:
        scene: a built-in scene with images.
        eps: the l2 radius of the adversarial training, in input units.
        steps: of each perturbation.
        max_passes: of the search for a boundary point.
        set: changes of the scene.
    """

    scene: str = "mnist_standard"
    eps: Positive = 1.5
    steps: Count = 7
    max_passes: Positive = 25.0
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        prepared = prepare(self.scene, self.set, seed, resources)
        samples = prepared.samples
        styled = dataclasses.replace(samples, train=stylize(samples.train, generator(seed, "stylized training")))
        adversarial = f"training.objective={{kind: adversarial, norm: l2, eps: {self.eps}, steps: {self.steps}}}"
        networks = {
            "standard": final_network(prepared),
            "stylized": final_network(dataclasses.replace(prepared, samples=styled)),
            "robust": final_network(change_scene(prepared, self.scene, [*self.set, adversarial])),
            "null": final_network(with_other_seed(prepared)),
        }
        x = samples.test.float().to(resources.device)
        y = samples.test_labels.to(resources.device)
        return {"": compare_stylized(networks, x, y, samples.test_rows.to(x.device), self.max_passes, seed)}


def compare_stylized(
    networks: dict[str, nn.Module], x: Tensor, y: Tensor, rows: Tensor, max_passes: float, seed: int
) -> Row:
    """Return the columns of the networks `standard`, `stylized`, `robust` and `null`; margins at the chosen rows."""
    right = torch.stack([predict(network, x) == y for network in networks.values()]).all(0)
    bias = {name: shape_bias(network, x[right], y[right], seed)[0] for name, network in networks.items()}
    chosen = rows[right[rows]]
    margins = {name: median_margin(network, x[chosen], y[chosen], max_passes) for name, network in networks.items()}
    return {
        **{f"shape_bias_{name}": bias[name] for name in ("stylized", "standard", "robust")},
        "shape_bias_difference": bias["stylized"] - bias["standard"],
        "shape_bias_difference_null": bias["null"] - bias["standard"],
        **{f"margin_{name}": margins[name] / margins["standard"] for name in ("stylized", "robust", "null")},
        "accuracy_stylized": accuracy(networks["stylized"], x, y),
    }
