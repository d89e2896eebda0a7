"""Networks trained on nothing but adversarial samples with wrong labels, judged on the true samples."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.shamir2021.clinging import describe_dimples, half_spacing
from dimple.claims.experiments.trained_scene import prepare_scene, train, train_together
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.settings import Count, Positive, settings
from dimple.tensors import broadcast_per_sample, generator, norm

SCENE = "mislabeled_chessboard"


@final
@settings
class MislabeledChessboard(Experiment):
    """The scene `mislabeled_chessboard` with perturbations below and above the depth of the dimples.

    Columns: those of `measure_accuracies` for the arms `below`, `above`, `free`, as long as above but not restricted to
    the normals of the manifold, and `noise`, the points with the same wrong labels, moved as far as above but in random
    directions; and `depth_first`, the depth of the dimples of a first network, in input units.

    Args:
        below: largest l2 norm of the smaller perturbations.
        above: largest l2 norm of the larger ones.
    """

    version: ClassVar[int] = 1

    below: Positive
    above: Positive

    @property
    def scenes(self) -> tuple[str, ...]:
        return (SCENE,)

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        base = ["snapshots.count=1"]
        changes = {
            "below": [f"training.objective.eps={self.below}"],
            "above": [f"training.objective.eps={self.above}"],
            "free": [f"training.objective.eps={self.above}", "training.objective.restrict=none"],
        }
        arms = {name: prepare_scene(SCENE, [*base, *change], seed, resources) for name, change in changes.items()}
        networks = {name: train(arm).networks[-1] for name, arm in arms.items()}
        first = prepare_scene(SCENE, [*base, "training.objective={kind: standard}"], seed, resources)
        samples = first.samples
        moved = dataclasses.replace(
            samples,
            train=samples.train + self.above * _random_directions(samples.train, seed),
            train_labels=1 - samples.train_labels,
        )
        noise = dataclasses.replace(first, samples=moved)
        trained = train_together([first, noise], [first.initial_network(), noise.initial_network()])
        networks["noise"] = trained[1].networks[-1]
        depth = describe_dimples(first, trained[0])["depth"] * float(half_spacing(first).min())
        return {SCENE: measure_accuracies(first, networks) | {"depth_first": depth}}


def _random_directions(x: Tensor, seed: int) -> Tensor:
    """Return unit vectors in the shape of the samples."""
    gaussian = torch.randn(x.shape, generator=generator(seed, "random directions"), dtype=x.dtype)
    return gaussian / broadcast_per_sample(norm(gaussian), gaussian)


def measure_accuracies(prepared: PreparedScene, networks: Mapping[str, nn.Module]) -> Row:
    """Return `accuracy_<arm>`, the fraction of the true training points whose true label each network gives."""
    samples = prepared.samples
    return {
        f"accuracy_{arm}": _accuracy(network, samples.train, samples.train_labels) for arm, network in networks.items()
    }


def _accuracy(network: nn.Module, x: Tensor, y: Tensor) -> float:
    device = next(network.parameters()).device
    predicted = Boundary(freeze(network)).predict(x.float().to(device)).cpu()
    return float((predicted == y).double().mean())


@final
@settings
class MislabeledImages(Experiment):
    """Images moved to a target class of a first network and labeled with it; accuracy on clean test images.

    Columns: `accuracy_random` for random targets, `accuracy_next` for the next class; `accuracy_labels`, of a network
    trained on the clean images with random labels; `accuracy_noise`, trained on the images moved as far in random
    directions, with random labels; `accuracy_errors`, trained on the clean images that a first network of half an epoch
    gets wrong, with its predictions; `excess_random`, `accuracy_random` less the larger one of `accuracy_labels` and
    `accuracy_noise`, and `excess_errors`, less `accuracy_errors`.

    Args:
        scene: a built-in scene of images.
        eps: largest l2 norm of a perturbation, in pixels of [0, 1].
        steps: gradient steps of its search.
        error_epochs: epochs of the first network whose errors are learned.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    scene: str = "digits"
    eps: Positive = 1.0
    steps: Count = 20
    error_epochs: Count = 1
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        base = [*self.set, "snapshots.count=1"]
        search = f"kind: mislabeled, norm: l2, eps: {self.eps}, steps: {self.steps}"
        objectives = {
            "random": f"{{{search}, targets: random}}",
            "next": f"{{{search}, targets: next}}",
            "errors": f"{{kind: mislabeled, start: errors, first_stop: {{epochs: {self.error_epochs}}}}}",
        }
        networks = {}
        for name, objective in objectives.items():
            prepared = prepare_scene(self.scene, [*base, f"training.objective={objective}"], seed, resources)
            networks[name] = train(prepared).networks[-1]
        clean = prepare_scene(self.scene, [*base, "training.objective={kind: standard}"], seed, resources)
        samples = clean.samples
        labels = torch.randint(
            len(samples.classes), samples.train_labels.shape, generator=generator(seed, "random labels")
        )
        moved = samples.train + self.eps * _random_directions(samples.train, seed)
        if samples.bounds is not None:
            moved = samples.bounds.clamp(moved)
        for name, x in (("labels", samples.train), ("noise", moved)):
            arm = dataclasses.replace(clean, samples=dataclasses.replace(samples, train=x, train_labels=labels))
            networks[name] = train(arm).networks[-1]
        return {self.scene: compare_accuracies(clean, networks)}


def compare_accuracies(prepared: PreparedScene, networks: Mapping[str, nn.Module]) -> Row:
    """Return the accuracy of each network on the clean test images, and the excess of `random` over its controls."""
    samples = prepared.samples
    row = {
        f"accuracy_{arm}": _accuracy(network, samples.test, samples.test_labels) for arm, network in networks.items()
    }
    control = max(row["accuracy_labels"], row["accuracy_noise"])
    return row | {
        "excess_random": row["accuracy_random"] - control,
        "excess_errors": row["accuracy_random"] - row["accuracy_errors"],
    }
