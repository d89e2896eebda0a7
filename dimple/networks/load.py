"""Networks by name: built-in models, the user's own code, and those of other libraries."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dimple.errors import ModelError, UsageError, describe_cause
from dimple.locations import fetched_weights, require_library, require_model_name, require_shape
from dimple.names import SIZED_ARCHITECTURES
from dimple.networks.architecture import Architecture
from dimple.networks.convnet import ConvNet
from dimple.networks.model_libraries import HUB_WEIGHTS, build_library_model, normalized, read_hub_file
from dimple.networks.resnet import ResNet
from dimple.networks.sizes import build_sized
from dimple.networks.weights import load_weights, read_weights
from dimple.networks.wrappers import NormalizedModel, add_second_logit, freeze, remove_compilation
from dimple.object_reference import import_object, parse_reference
from dimple.settings import expand_home, format_value
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


def build_model(
    name: str,
    generator: torch.Generator | None = None,
    *,
    shape: tuple[int, ...] | None = None,
    classes: int | None = None,
    weights: Path | str | None = None,
    state_dict_key: str | None = None,
) -> nn.Module:
    """Build a network for images in [0, 1]; normalization of the images, if any, is part of it.

    Args:
        name: one of

            - a key of `MODELS`;
            - an architecture such as `mlp`, whose sizes come from the weights file, with settings that it does not
              tell: `mlp(activation="tanh")`;
            - `file.py:OBJECT` or `package.module:OBJECT`, the user's own code, which is run: an `nn.Module`, a class or
              a function that returns one, with arguments in parentheses, `nets.py:Net(3, width=64)`. The working
              folder is searched too;
            - `timm:NAME` or `torchvision:NAME`, with arguments of these libraries in parentheses;
            - `hf:OWNER/NAME`, a network of the hub with its safetensors file;
            - `robustbench:NAME`, with the file models/DATASET/THREAT_MODEL/NAME.pt.
        generator: of the weights of a built-in network; without it they are the same in every call.
        shape: of one sample, for networks whose sizes depend on it.
        classes: the number of scores of a network of timm or torchvision.
        weights: the file whose sizes the network takes; its weights are not loaded.
        state_dict_key: path of the state dict in it, if it holds several.

    Raises:
        UsageError: if the name is unknown.
        DeviceError: if its library is not installed.
        ModelError: if the user's code fails or does not return a module, or the file does not fit.

    Example:
        >>> build_model("mnist_convnet")(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    require_model_name(name)
    reference = parse_reference(name)
    if reference.source in ("file", "module"):
        return call_factory(name, import_object(reference), reference.args, reference.kwargs)
    if reference.source != "builtin":
        found = build_library_model(reference, shape, classes)
        if found.mean and not found.has_weights:
            warnings.warn(
                f"{name} takes images as they are; weights that were published under its name were trained on images "
                f"normalized by --mean {_join(found.mean)} --std {_join(found.std)}",
                stacklevel=2,
            )
        return normalized(found)
    stream = generator or make_generator(0, "network", name)
    if reference.name in SIZED_ARCHITECTURES:
        if weights is None:
            raise UsageError(f"model {format_value(name)} takes its sizes from a weights file; name one with --weights")
        tensors = read_weights(weights, state_dict_key)
        return build_sized(reference.name, reference.kwargs, tensors, shape, stream, str(weights))
    model = MODELS[name]
    count = model.classes if weights is None else _count_classes(model, weights, state_dict_key)
    network = model.architecture.build(model.shape, stream, count)
    return NormalizedModel(model.mean, model.std, network) if model.mean else network


def _join(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def _count_classes(model: BuiltinModel, weights: Path | str, state_dict_key: str | None) -> int:
    """Return the number of scores of the last layer in a file, or that of the model where the file has another one."""
    network = model.architecture.build(model.shape, make_generator(0, "classes"), model.classes)
    name, last = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    tensors = read_weights(weights, state_dict_key)
    rows = {
        len(tensor)
        for stored, tensor in tensors.items()
        if f".{stored}".endswith(f".{name}.weight") and tensor.dim() == 2 and tensor.shape[1] == last.in_features
    }
    return rows.pop() if len(rows) == 1 else model.classes


def load_model(name: str, weights: Path | str | None = None, state_dict_key: str | None = None) -> nn.Module:
    """Load a network that maps images in [0, 1] to scores, in eval mode and with fixed weights.

    Args:
        name: as for `build_model`.
        weights: a safetensors or torch file, or `hf:OWNER/NAME` for the safetensors file of a repository of the hub;
            without it the network has the weights that `dimple fetch` got for it, or keeps its initial ones.
        state_dict_key: path of the state dict, if the file holds several.

    Raises:
        UsageError: if the name is unknown.
        ModelError: if the file is unsafe, damaged or for another network.
    """
    file = fetched_weights(name) if weights is None else find_weights_file(weights)
    network = build_model(name, weights=file, state_dict_key=state_dict_key)
    if file is not None:
        load_weights(network, file, state_dict_key)
    return freeze(network)


def find_weights_file(weights: Path | str) -> Path:
    """Return the path of a weights file, or that of `hf:OWNER/NAME` in the cache of the hub, which it is downloaded to.

    Raises:
        ModelError: if the repository has none.
    """
    text = str(weights)
    if not text.startswith("hf:"):
        return expand_home(weights)
    reference = parse_reference(text, "weights")
    require_library(reference)
    return read_hub_file(reference.name, HUB_WEIGHTS)


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


def call_factory(name: str, value: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the network that an object of the user's code is, or returns when it is called.

    Raises:
        ModelError: if it fails, or returns something else.
    """
    attribute = name.partition(":")[2].partition("(")[0]
    given = kwargs or {}
    if isinstance(value, nn.Module) and (args or given):
        raise ModelError(f"model {format_value(name)}: {attribute} is a network already; leave the arguments out")
    try:
        network = value if isinstance(value, nn.Module) else value(*args, **given)
    except (Exception, SystemExit) as error:
        raise ModelError(f"model {format_value(name)}: {attribute}() fails: {describe_cause(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"model {format_value(name)}: {attribute}() returns a {type(network).__name__}; return an nn.Module"
        )
    return remove_compilation(network)
