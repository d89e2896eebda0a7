"""Data sets: labeled points on manifolds, and labeled images."""

from dimple.data.image_data import CIFAR10, MNIST, Digits, FashionMNIST, ImageArrays, ImageData, ImageFolder
from dimple.data.images import Images, load_images
from dimple.data.label_base import LabelRule
from dimple.data.labels import LABEL_RULES
from dimple.data.mnist1d import MNIST1D, Signals
from dimple.data.samples import Points, load_samples
from dimple.data.sampling import SAMPLINGS, Sampling
from dimple.data.source import DataSource, DataSplits, hold_out_validation
from dimple.data.synthetic import SyntheticData
from dimple.renamed import missing_attribute

# The data of a scene by the value of `kind`.
DATA_SOURCES: dict[str, type[DataSource]] = {
    "synthetic": SyntheticData,
    "digits": Digits,
    "mnist": MNIST,
    "fashion_mnist": FashionMNIST,
    "cifar10": CIFAR10,
    "mnist1d": MNIST1D,
    "folder": ImageFolder,
    "npz": ImageArrays,
}

__all__ = [
    "CIFAR10",
    "DATA_SOURCES",
    "LABEL_RULES",
    "MNIST",
    "MNIST1D",
    "SAMPLINGS",
    "DataSource",
    "DataSplits",
    "Digits",
    "FashionMNIST",
    "ImageArrays",
    "ImageData",
    "ImageFolder",
    "Images",
    "LabelRule",
    "Points",
    "Sampling",
    "Signals",
    "SyntheticData",
    "hold_out_validation",
    "load_images",
    "load_samples",
]

__getattr__ = missing_attribute(__name__)
