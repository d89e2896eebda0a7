"""Robust and standard networks from the same initial weights, compared on distorted images, cues, and inside."""

from collections.abc import Callable
from typing import Literal, final

from torch import Tensor, nn

from dimple.claims.experiments.agarwal2020.dissection import compare_ablations, compare_concepts
from dimple.claims.experiments.agarwal2020.image_sets import compare_conflicts, compare_distortions, compare_textureless
from dimple.claims.experiments.agarwal2020.smoothness import compare_activations, compare_kernels
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import (
    accuracy,
    change_scene,
    final_network,
    prepare,
    with_other_seed,
)
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import copy_module
from dimple.settings import Count, Positive, settings

Measure = Literal["ablations", "activations", "concepts", "conflicts", "distortions", "kernels", "textureless"]
# Compares a robust network, a standard one, at images with their classes, and a seed.
COMPARISONS: dict[str, Callable[[nn.Module, nn.Module, Tensor, Tensor, int], Row]] = {
    "ablations": compare_ablations,
    "activations": compare_activations,
    "concepts": compare_concepts,
    "conflicts": compare_conflicts,
    "distortions": compare_distortions,
    "kernels": compare_kernels,
    "textureless": compare_textureless,
}


@final
@settings
class RobustTwins(Experiment):
    """An adversarially trained network beside a standard one from the same weights, one part an architecture.

    A second standard network, from the same weights by other batches, stands in the place of the robust one in all
    columns with `_null`. All columns are those of the functions in `COMPARISONS`, and `accuracy_robust`,
    `accuracy_standard` of all test images, and with `kernels` also `kernel_initial`, the `kernel_ratio` of the robust
    network to the initial one.

    Args:
        scene: a built-in scene with images.
        networks: the architectures as a scene file has them.
        measures: the comparisons.
        eps: the l2 radius of the adversarial training, in input units.
        steps: gradient steps of each perturbation.
        images: the number of test images.
        set: changes of the scene.

    Reference: Agarwal, Chen and Nguyen 2020, The shape and simplicity biases of adversarially robust CNNs.
    """

    scene: str = "digits"
    networks: tuple[str, ...] = ("{kind: convnet}",)
    measures: tuple[Measure, ...] = ("activations", "distortions", "kernels")
    eps: Positive = 0.6
    steps: Count = 5
    images: Count = 350
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        samples = prepare(self.scene, self.set, seed, resources)
        x = samples.samples.test[: self.images].float().to(resources.device)
        y = samples.samples.test_labels[: self.images].to(resources.device)
        rows = {}
        for network in self.networks:
            start, robust, standard, control = self._train(samples, network)
            row = {
                "accuracy_robust": accuracy(robust, x, y),
                "accuracy_standard": accuracy(standard, x, y),
            }
            for suffix, other in (("", robust), ("_null", control)):
                for measure in self.measures:
                    compared = COMPARISONS[measure](other, standard, x, y, seed)
                    row |= {name + suffix: value for name, value in compared.items()}
            if "kernels" in self.measures:
                row["kernel_initial"] = compare_kernels(robust, start, x, y, seed)["kernel_ratio"]
            rows[network] = row
        return rows

    def _train(self, samples: PreparedScene, network: str) -> tuple[nn.Module, ...]:
        """Return the initial, the robust, the standard and the second standard network of an architecture."""
        changes = [*self.set, f"network={network}"]
        adversarial = f"training.objective={{kind: adversarial, norm: l2, eps: {self.eps}, steps: {self.steps}}}"
        standard = change_scene(samples, self.scene, changes)
        robust = change_scene(samples, self.scene, [*changes, adversarial])
        control = with_other_seed(standard)
        start = standard.initial_network()
        trained = (final_network(prepared, copy_module(start)) for prepared in (robust, standard, control))
        return start, *trained
