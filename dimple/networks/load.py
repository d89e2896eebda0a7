"""Networks by name: built-in models, and the user's own as `package.module:factory`."""

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dimple.errors import ModelError, UsageError, describe_cause
from dimple.locations import require_model_name, require_shape
from dimple.networks.architecture import Architecture
from dimple.networks.convnet import ConvNet
from dimple.networks.resnet import ResNet
from dimple.networks.weights import load_weights
from dimple.networks.wrappers import NormalizedModel, add_second_logit, freeze, remove_compilation
from dimple.settings import format_value
from dimple.tensors import generator as make_generator
from dimple.tensors import run_eagerly

IMAGENET_MEAN = (0.485, 0.456, 0.406)


@final
@dataclasses.dataclass(frozen=True)
class BuiltinModel:
    """A built-in network.

    Attributes:
        architecture: the settings of the network.
        shape: of one input, (C, H, W).
        classes: number of scores.
        mean, std: of each channel, for networks that were trained on normalized images; else empty.
    """

    architecture: Architecture
    shape: tuple[int, int, int]
    classes: int = 10
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def _resnet_model(depth: int) -> BuiltinModel:
    # Published checkpoints of this family were trained with the ImageNet statistics.
    return BuiltinModel(ResNet(depth), (3, 32, 32), mean=IMAGENET_MEAN, std=(0.229, 0.224, 0.225))


MODELS: dict[str, BuiltinModel] = {
    # Its certified weights were trained with one deviation for all channels: an l2 ball of pixels stays a ball.
    "cifar_convnet": BuiltinModel(ConvNet(), (3, 32, 32), mean=IMAGENET_MEAN, std=(0.225, 0.225, 0.225)),
    "digits_convnet": BuiltinModel(ConvNet(), (1, 8, 8)),
    "mnist_convnet": BuiltinModel(ConvNet(), (1, 28, 28)),
    "resnet20": _resnet_model(20),
    "resnet32": _resnet_model(32),
    "resnet44": _resnet_model(44),
    "resnet56": _resnet_model(56),
    "resnet110": _resnet_model(110),
}


# The names of the user's own networks that this process has imported, since it was told to.
IMPORTED_MODELS: set[str] = set()


def build_model(name: str, generator: torch.Generator | None = None) -> nn.Module:
    """Build an untrained network for images in [0, 1]; normalization of the images, if any, is part of it.

    Args:
        name: a key of `MODELS`, or `package.module:factory`, the user's own code, which is imported and run. The
            factory is an `nn.Module`, or a function without arguments that returns one. The working folder is searched
            too.
        generator: of the weights of a network of `MODELS`; without it they are the same in every call.

    Raises:
        UsageError: if the name is unknown.
        ModelError: if the user's code fails, or does not return a module.

    Example:
        >>> build_model("mnist_convnet")(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    require_model_name(name)
    if ":" in name:
        return _import_model(name)
    model = MODELS[name]
    stream = generator or make_generator(0, "network", name)
    network = model.architecture.build(model.shape, stream, model.classes)
    return NormalizedModel(model.mean, model.std, network) if model.mean else network


def load_model(name: str, weights: Path | str | None = None, state_dict_key: str | None = None) -> nn.Module:
    """Load a network that maps images in [0, 1] to scores, in eval mode and with fixed weights.

    Args:
        name: as for `build_model`.
        weights: a safetensors or torch file; without it the network keeps its initial weights.
        state_dict_key: path of the state dict, if the file holds several.

    Raises:
        UsageError: if the name is unknown.
        ModelError: if the file is unsafe, damaged or for another network.
    """
    network = build_model(name)
    if weights is not None:
        load_weights(network, weights, state_dict_key)
    return freeze(network)


def check_compatible(network: nn.Module, shape: Sequence[int], classes: int, name: str, data: str) -> nn.Module:
    """Return `network` if it maps samples of this shape to one score a class; a single logit becomes two scores.

    The network is run on one sample of zeros, so that a mismatch is found before any work is done.

    Args:
        network: the network.
        shape: of one sample.
        classes: number of classes of the data set.
        name: of the network in error messages.
        data: name of the data in error messages.

    Raises:
        ModelError: if the shapes or the numbers of classes differ.
    """
    size = " x ".join(str(side) for side in shape)
    require_shape(name, shape, data)
    parameters = (tensor for tensor in network.parameters() if tensor.is_floating_point() and not is_lazy(tensor))
    first = next(parameters, torch.zeros(1))
    sample = torch.zeros(1, *shape, dtype=first.dtype, device=first.device)
    try:
        with torch.no_grad(), run_eagerly():
            _initialize_lazy(network, sample)
            scores = freeze(network)(sample)
    except Exception as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{name} fails on a sample of {size} from {data}: {describe_cause(error)}") from error
    output = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if output in ((1,), (1, 1)) and classes == 2:
        return add_second_logit(network)
    if output != (1, classes):
        hint = ", or name all classes in an array `classes` of the file" if data.startswith("npz:") else ""
        raise ModelError(
            f"{name} maps one sample to {output}; {data} has {classes} classes: it must return (1, {classes}){hint}"
        )
    return network


def _initialize_lazy(network: nn.Module, sample: torch.Tensor) -> None:
    """Run a network with lazy layers on one sample in eval mode, which gives their weights shapes."""
    if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        modes = {module: module.training for module in network.modules()}
        network.eval()(sample)
        for module, mode in modes.items():
            module.training = mode


def _import_model(name: str) -> nn.Module:
    """Return the module that the user's `package.module:attribute` is or returns."""
    module_name, _, attribute = name.partition(":")
    with _search_working_folder():
        try:
            value: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"model {format_value(name)}: {error}; install it, or run in the folder that holds it"
            ) from error
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"model {format_value(name)}: importing {module_name} fails: {describe_cause(error)}"
            ) from error
        for part in attribute.split("."):
            value = getattr(value, part, None)
            if value is None:
                raise UsageError(
                    f"model {format_value(name)}: {module_name} has no {attribute!r}; give one of its attributes"
                )
        network = call_factory(name, value)
    IMPORTED_MODELS.add(name)
    return network


def call_factory(name: str, value: Any) -> nn.Module:
    """Return the network that the value of `package.module:attribute` is or returns.

    Raises:
        ModelError: if it fails, or returns something else.
    """
    attribute = name.partition(":")[2]
    try:
        network = value if isinstance(value, nn.Module) else value()
    except (Exception, SystemExit) as error:
        raise ModelError(f"model {format_value(name)}: {attribute}() fails: {describe_cause(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"model {format_value(name)}: {attribute}() returns a {type(network).__name__}; return an nn.Module"
        )
    return remove_compilation(network)


@contextlib.contextmanager
def _search_working_folder() -> Iterator[None]:
    """Append the working folder to the import path, which a console script does not search for the user's modules."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        # The last one: the path may have had the folder before.
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(folder)]
