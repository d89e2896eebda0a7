"""Names that a user can choose from, without the classes behind them: reading this module loads no torch.

Tests keep the tables equal to those of the classes.
"""

import functools
from importlib.metadata import EntryPoint, entry_points

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
# The network and the data set of a command that names none.
DIGITS_MODEL = "digits_convnet"
DIGITS = "digits"
DIGITS_SHAPE = (1, 8, 8)
# The probes that a scene file can name too, and those of `dimple probe` alone.
SAMPLE_PROBES = ("certified", "curvature", "exact", "margin", "offset", "onoff", "robust")
# The group of entry points by which installed packages add probes.
PROBE_PLUGINS = "dimple.probes"
# The search methods of the margin.
TANGENTS = ("autoencoder", "class_pca", "global_pca", "local_pca")
METHODS = ("bisection", "closest", "deepfool", "fab", "lbfgs", "pgd")
# The data sets of images that are read from a path: `NAME:PATH`.
DATASETS = ("cifar10", "fashion_mnist", "folder", "mnist", "npz")
# The suffixes of weights files.
WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".th", ".ckpt", ".bin")


@functools.cache
def installed_plugins(group: str) -> dict[str, EntryPoint]:
    """Return what installed packages add to a group such as `dimple.probes`, by name; none of it is loaded."""
    return {entry.name: entry for entry in entry_points(group=group)}
