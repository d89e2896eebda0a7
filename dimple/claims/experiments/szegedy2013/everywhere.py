"""Small adversarial changes of every image: of networks that others trained, and of networks that are trained here."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal, final

from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import train_network
from dimple.data import Images, load_images
from dimple.data.source import choose_balanced_rows
from dimple.networks import freeze, load_model
from dimple.probes import Margin
from dimple.settings import Count, settings
from dimple.tensors import Box, generator

# Published networks by the data set of their images and by file: the built-in model, and the place in the file.
CHECKPOINTS: dict[str, dict[str, tuple[str, str | None]]] = {
    "mnist": {
        "mnist_pgd.pth": ("mnist_convnet", None),
        "mnist_fgsm.pth": ("mnist_convnet", None),
        "mnist_certified_linf01.pth": ("mnist_convnet", None),
    },
    "cifar10": {
        "resnet20-12fca82f.th": ("resnet20", None),
        "resnet32-d509ac18.th": ("resnet32", None),
        "cifar10_small_certified_l2.pth": ("cifar_convnet", "state_dict[0]"),
    },
}
# Networks that are trained on digits, as changes of the scene.
TRAINED = {
    "linear": ["network={kind: mlp, widths: []}"],
    "mlp": ["network={kind: mlp, widths: [100, 100]}"],
    "sigmoid": ["network={kind: mlp, widths: [100, 100], activation: sigmoid}"],
    "convnet": ["network={kind: convnet}"],
    "adversarial": ["training.objective={kind: adversarial, norm: l2, eps: 0.5, steps: 3}"],
}
MAX_PASSES = 100.0


@final
@settings
class AttackEverywhere(Experiment):
    """Networks, published or trained on digits, and the closest boundary points of test images.

    Columns: `attackable`, the fraction of images for which a point of another class is found within the range of
    pixels, the smallest over the networks; `rms`, the mean root mean square of the changes over the pixels, the largest
    over the networks; `rms_largest_change`, the largest of all changes; `networks`, their number.

    Args:
        dataset: of the images; `mnist` and `cifar10` take published networks from the data set `checkpoints`.
        images: test images, chosen anew for each seed.
        epochs: of the training on digits.
    """

    dataset: Literal["digits", "mnist", "cifar10"] = "digits"
    images: Count = 64
    epochs: Count = 10

    version: ClassVar[int] = 1

    @property
    def datasets(self) -> tuple[str, ...]:
        return () if self.dataset == "digits" else (self.dataset, "checkpoints")

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        if self.dataset == "digits":
            end = f"training.epochs={self.epochs}"
            trained = [train_network("digits", [*changes, end], seed, resources) for changes in TRAINED.values()]
            networks = dict(zip(TRAINED, (network for network, _ in trained), strict=True))
        else:
            folder = Path(resources.locate("checkpoints").partition(":")[2])
            networks = {
                file: load_model(model, folder / file, key).to(resources.device)
                for file, (model, key) in CHECKPOINTS[self.dataset].items()
                if (folder / file).exists()
            }
        images = _load_test_images(resources.locate(self.dataset))
        rows = choose_balanced_rows(images.y, self.images, generator(seed, "attacked images"))
        return {"": describe_attacks(networks, images.batch(rows)[0].to(resources.device), Box(0.0, 1.0))}


@functools.cache
def _load_test_images(spec: str) -> Images:
    return load_images(spec, "test")


def describe_attacks(networks: Mapping[str, nn.Module], x: Tensor, bounds: Box) -> Row:
    """Return the columns of networks by name over images."""
    attackable = []
    means = []
    largest = []
    for network in networks.values():
        boundary = Boundary(freeze(network), bounds)
        found = Margin(max_passes=MAX_PASSES).search(boundary, x, boundary.predict(x))
        rms = found.distance[found.found].double() / math.sqrt(x[0].numel())
        attackable.append(float(found.found.double().mean()))
        means.append(float(rms.mean()) if len(rms) else math.inf)
        largest.append(float(rms.max()) if len(rms) else math.inf)
    return {
        "attackable": min(attackable, default=math.nan),
        "rms": max(means, default=math.nan),
        "rms_largest_change": max(largest, default=math.nan),
        "networks": float(len(networks)),
    }
