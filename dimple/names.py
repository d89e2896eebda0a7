"""Names that a user can choose from, without the classes behind them: reading this module loads no torch.

Tests keep the tables equal to those of the classes.
"""

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

# The networks of `--model`, each with the shape of its images, (C, H, W).
MODELS = {
    "cifar_convnet": (3, 32, 32),
    "digits_convnet": (1, 8, 8),
    "mnist_convnet": (1, 28, 28),
    "resnet20": (3, 32, 32),
    "resnet32": (3, 32, 32),
    "resnet44": (3, 32, 32),
    "resnet56": (3, 32, 32),
    "resnet110": (3, 32, 32),
}
# The networks of scenes whose sizes `--model` takes from the weights file, and those that take none.
SIZED_ARCHITECTURES = ("convnet", "mlp", "preact_resnet", "resnet", "two_layer", "wide_resnet")


class Library(NamedTuple):
    """A library of networks: how one is named, the package that is needed, and the extra that installs it."""

    form: str
    package: str
    extra: str


# The libraries whose networks `--model` takes as `LIBRARY:NAME`.
LIBRARIES = {
    "timm": Library("timm:NAME, such as timm:resnet18", "timm", "vision"),
    "torchvision": Library("torchvision:NAME, such as torchvision:resnet18", "torchvision", "vision"),
    "hf": Library("hf:OWNER/NAME, such as hf:timm/resnet18.a1_in1k", "huggingface_hub", "hub"),
    "robustbench": Library("robustbench:NAME, such as robustbench:Wong2020Fast", "robustbench", "robustbench"),
}
# The network and the data set of a command that names none.
DIGITS_MODEL = "digits_convnet"
DIGITS = "digits"
DIGITS_SHAPE = (1, 8, 8)
# The probes that a scene file can name too, and those of `dimple probe` alone.
SAMPLE_PROBES = ("certified", "curvature", "curve", "exact", "margin", "offset", "onoff", "robust")
# The group of entry points by which installed packages add probes.
PROBE_PLUGINS = "dimple.probes"
# The search methods of the margin.
TANGENTS = ("autoencoder", "class_pca", "global_pca", "local_pca")
METHODS = ("bisection", "closest", "deepfool", "fab", "lbfgs", "pgd")
# The data sets that are read from a path, `NAME:PATH`, and those of them that `dimple fetch` gets.
DATASETS = ("cifar10", "fashion_mnist", "folder", "mnist", "npz", "points")
FETCHED_DATASETS = ("cifar10", "fashion_mnist", "mnist")
# The networks whose weights `dimple fetch` gets.
FETCHED_MODELS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
# The data sets of the hub, `hf:OWNER/NAME`, and the package that reads them.
HUB = "hf"
HUB_DATA_PACKAGE = "datasets"
# Settings of a measurement that a run replaces, so that they cannot be given with it.
MODEL_FIELDS = (
    "model", "data", "label", "weights", "checkpoints", "state_dict_key", "mean", "std", "channels", "scores",
)  # fmt: skip
# The suffixes of weights files.
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".ckpt", ".bin")


@functools.cache
def installed_plugins(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages add to a group such as `dimple.probes`, by name; none of it is loaded."""
    return {entry.name: entry for entry in entry_points(group=group)}
