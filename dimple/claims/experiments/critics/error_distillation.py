"""Training on images whose labels are wrong: adversarial ones of a first network, or just its errors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import final

from torch import Tensor, nn

from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import accuracy, change_scene, final_network, prepare
from dimple.experiment.simulation.controls import permute_labels
from dimple.settings import Count, Positive, settings


@final
@settings
class ErrorDistillation(Experiment):
    """A network trained on nothing but wrongly labeled images, and tested on clean ones with the true labels.

    Columns: `accuracy_random` and `accuracy_next`, trained on images that a first network takes for a random or for
    the next class; `accuracy_errors`, trained on the images that a first network, stopped early, gets wrong, with its
    predictions; `accuracy_permuted`, trained on the clean images with their labels permuted; and the differences
    `random_minus_next` and `errors_minus_next`.

    Args:
        scene: a built-in scene with images.
        eps: the largest l2 norm of the perturbations, in input units.
        steps: of the search for them.
        first_epochs: after which the first network is stopped that makes the errors.
        set: changes of the scene.

    Reference: Ilyas et al. 2019, section 3.2; Wallace 2019, in the discussion of that paper.
    """

    scene: str = "digits"
    eps: Positive = 1.5
    steps: Count = 20
    first_epochs: Count = 1
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        perturbed = f"kind: mislabeled, norm: l2, eps: {self.eps}, steps: {self.steps}"
        objectives = {
            "random": f"{{{perturbed}, targets: random}}",
            "next": f"{{{perturbed}, targets: next}}",
            "errors": f"{{kind: mislabeled, start: errors, first_stop: {{epochs: {self.first_epochs}}}}}",
        }
        clean = prepare(self.scene, self.set, seed, resources)
        networks = {
            name: final_network(change_scene(clean, self.scene, [*self.set, f"training.objective={objective}"]))
            for name, objective in objectives.items()
        }
        permuted = replace(clean.samples, train_labels=permute_labels(clean.samples.train_labels, seed))
        networks["permuted"] = final_network(replace(clean, samples=permuted))
        x = clean.samples.test.float()
        y = clean.samples.test_labels
        return {"": compare_arms(networks, x.to(resources.device), y.to(resources.device))}


def compare_arms(networks: Mapping[str, nn.Module], x: Tensor, y: Tensor) -> Row:
    """Return the accuracy of each network on clean images, and the differences that are judged."""
    row = {f"accuracy_{name}": accuracy(network, x, y) for name, network in networks.items()}
    for name in ("random", "errors"):
        row[f"{name}_minus_next"] = row[f"accuracy_{name}"] - row["accuracy_next"]
    return row
