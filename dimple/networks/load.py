"""Networks by name: the ones that ship, and the user's own as `package.module:factory`."""

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from dimple.errors import ModelError, UsageError
from dimple.networks.convnet import convnet
from dimple.networks.resnet import ResNet
from dimple.networks.weights import load_weights
from dimple.networks.wrappers import Normalised, frozen, two_class
from dimple.settings import nearest, shown
from dimple.tensors import generator as seeded

IMAGENET_MEAN = (0.485, 0.456, 0.406)


@final
@dataclasses.dataclass(frozen=True)
class Model:
    """A network that ships.

    Attributes:
        architecture: makes it, with weights that are then drawn anew.
        shape: the shape of one input, (C, H, W).
        classes: how many scores it gives.
        mean, std: of each channel, for the networks that were trained on normalised images; else empty.
    """

    architecture: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    classes: int = 10
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def _resnet(depth: int) -> Model:
    # The ImageNet statistics, with which the shared checkpoints of this family were trained.
    return Model(partial(ResNet, depth), (3, 32, 32), mean=IMAGENET_MEAN, std=(0.229, 0.224, 0.225))


MODELS: dict[str, Model] = {
    # One deviation for all channels, as its certified weights were trained: an l2 ball of pixels stays a ball.
    "cifar_convnet": Model(partial(convnet, 3, 32), (3, 32, 32), mean=IMAGENET_MEAN, std=(0.225, 0.225, 0.225)),
    "digits_convnet": Model(partial(convnet, 1, 8), (1, 8, 8)),
    "mnist_convnet": Model(partial(convnet, 1, 28), (1, 28, 28)),
    "resnet20": _resnet(20),
    "resnet32": _resnet(32),
    "resnet44": _resnet(44),
    "resnet56": _resnet(56),
    "resnet110": _resnet(110),
}


def build_model(name: str, generator: torch.Generator | None = None) -> nn.Module:
    """An untrained network for images in [0, 1]; where its kind was trained on normalised images, it normalises.

    Args:
        name: a key of `MODELS`, or `package.module:factory`: the user's own code, which is imported and run. What it
            names is an `nn.Module`, or a function that makes one without arguments. The working folder is searched too.
        generator: draws the weights of a network of `MODELS`; without it they are the same at every call.

    Raises:
        UsageError: if nothing has this name.
        ModelError: if the user's code fails, or makes no module.

    Example:
        >>> build_model("mnist_convnet")(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    if ":" in name:
        return _imported(name)
    if name not in MODELS:
        near = nearest(name, MODELS)
        hint = f"did you mean {near!r}?" if near else f"choose {', '.join(MODELS)}"
        raise UsageError(f"model {shown(name)} is unknown; {hint} (your own code is package.module:factory)")
    model = MODELS[name]
    network = _drawn(model.architecture, generator or seeded(0, "network", name))
    return Normalised(model.mean, model.std, network) if model.mean else network


def load_model(name: str, weights: Path | str | None = None, key: str | None = None) -> nn.Module:
    """A network to be measured: images in [0, 1] to scores, in eval mode, its weights fixed.

    Args:
        name: as for `build_model`.
        weights: a safetensors or torch file; without it the network keeps the weights that it was built with.
        key: which state dict, where the file holds several.

    Raises:
        UsageError: if the name is unknown.
        ModelError: if the file is unsafe, damaged or made for another network.
    """
    network = build_model(name)
    if weights is not None:
        load_weights(network, weights, key)
    return frozen(network)


def matched(network: nn.Module, shape: Sequence[int], classes: int, name: str, data: str) -> nn.Module:
    """`network` if it turns samples of this shape into one score a class; a single logit is seen as two scores.

    One sample of zeros is tried, so that a mismatch is known before any work is done.

    Args:
        shape: of one sample.
        classes: how many the data set has.
        name: what errors call the network.
        data: what errors call the data.

    Raises:
        ModelError: if the shapes or the numbers of classes differ.
    """
    size = " x ".join(str(side) for side in shape)
    wanted = MODELS[name].shape if name in MODELS else tuple(shape)
    if wanted != tuple(shape):
        fitting = [other for other, model in MODELS.items() if model.shape == tuple(shape)]
        way_out = f"choose {' or '.join(fitting)}" if fitting else "write your own package.module:factory"
        raise ModelError(f"{name} takes {' x '.join(map(str, wanted))} images, {data} has {size}; {way_out}")
    first = next((tensor for tensor in network.parameters() if tensor.is_floating_point()), torch.zeros(1))
    sample = torch.zeros(1, *shape, dtype=first.dtype, device=first.device)
    try:
        with torch.no_grad():
            scores = frozen(network)(sample)
    except Exception as error:
        raise ModelError(f"{name} fails on a sample of {size} from {data}: {_cause(error)}") from error
    found = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if found in ((1,), (1, 1)) and classes == 2:
        return two_class(network)
    if found != (1, classes):
        raise ModelError(
            f"{name} turns one sample into {found}; {data} has {classes} classes: it must give (1, {classes})"
        )
    return network


def _drawn(architecture: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """The architecture with PyTorch's usual random weights, drawn from `generator` and no global stream."""
    with torch.device("meta"):
        network = architecture()
    network = network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            # Kaiming's rule with slope sqrt(5) is the uniform rule of nn.Linear: +-1 / sqrt(fan_in).
            nn.init.kaiming_uniform_(module.weight, a=5**0.5, generator=generator)
            if module.bias is not None:
                bound = module.weight[0].numel() ** -0.5
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    return network


def _imported(name: str) -> nn.Module:
    """What the user's `package.module:attribute` is or makes."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"model {shown(name)} is incomplete; write package.module:factory")
    with _working_folder():
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise UsageError(f"model {shown(name)}: {error}; install it, or run in the folder that holds it") from error
        except (Exception, SystemExit) as error:
            raise ModelError(f"model {shown(name)}: importing {module_name} fails: {_cause(error)}") from error
        for part in attribute.split("."):
            found = getattr(found, part, None)
            if found is None:
                raise UsageError(f"model {shown(name)}: {module_name} has no {attribute!r}; name what it has")
        try:
            network = found if isinstance(found, nn.Module) else found()
        except (Exception, SystemExit) as error:
            raise ModelError(f"model {shown(name)}: {attribute}() fails: {_cause(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"model {shown(name)}: {attribute}() gives a {type(network).__name__}; return an nn.Module")
    return network


@contextlib.contextmanager
def _working_folder() -> Iterator[None]:
    """Make the user's own files importable, after all that is installed; a console script lacks their folder."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _cause(error: BaseException) -> str:
    """The kind of an error and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
