"""Built-in architectures whose sizes come from a weights file: depth, widths, channels, classes."""

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dimple.errors import ModelError, SceneError
from dimple.networks.architecture import Architecture, count_features
from dimple.networks.convnet import ConvNet
from dimple.networks.fit_names import remove_wrappers
from dimple.networks.mlp import MLP
from dimple.networks.preact_resnet import STAGE_BLOCKS, PreActResNet
from dimple.networks.resnet import ResNet
from dimple.networks.two_layer import TwoLayer
from dimple.networks.wide_resnet import WideResNet
from dimple.settings import format_value

# Of a layer with weights, in the name of its tensor.
_NUMBER_PATTERN = re.compile(r"(\d+)")


class Sizes(NamedTuple):
    """The sizes of a network, from the shapes of the tensors of a file.

    Attributes:
        settings: fields of the architecture.
        classes: the number of scores.
        channels: of the images; None for vectors.
        features: the number of inputs of a network of vectors; None for images.
        layers: the names of the layers of a fully connected network in order; empty for other networks.
    """

    settings: dict[str, Any]
    classes: int
    channels: int | None = None
    features: int | None = None
    layers: tuple[str, ...] = ()


def build_sized(
    kind: str,
    settings: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    shape: tuple[int, ...] | None,
    generator: torch.Generator,
    location: str,
) -> nn.Module:
    """Build a network of a built-in architecture with the sizes of the tensors of a weights file.

    Args:
        kind: a key of `ARCHITECTURES`.
        settings: of the architecture, which precede those from the file.
        tensors: of the file, by name.
        shape: of one sample; None where it does not matter.
        generator: of the initial weights.
        location: the name of the file in errors.

    Raises:
        ModelError: if the file is not that of such a network, or a setting is unknown.
    """
    named = {bare: tensors[name] for bare, name in remove_wrappers(tensors).items()}
    try:
        sizes = _READERS[kind]({name: tuple(tensor.shape) for name, tensor in named.items()})
        architecture = ARCHITECTURES[kind](**{**sizes.settings, **settings})
        if sizes.layers:
            return _build_mlp(architecture, sizes, shape, generator)
        return architecture.build(_sample_shape(kind, sizes, shape), generator, sizes.classes)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        reason = f": {error}" if isinstance(error, SceneError | TypeError) else ""
        listed = ", ".join(format_value(name)[1:-1] for name in [*named][:5])
        raise ModelError(
            f"{location}: is not a file of the architecture {kind}{reason}; its tensors are {listed}, ...: name the "
            "code of the network, as file.py:OBJECT"
        ) from None


def _sample_shape(kind: str, sizes: Sizes, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    if shape is not None:
        return shape
    if kind in ("convnet", "two_layer"):
        raise SceneError("the size of its samples is not in the file; build it with data, or give build_model a shape")
    return (sizes.channels or 1, 32, 32)


def _build_mlp(
    architecture: Architecture, sizes: Sizes, shape: tuple[int, ...] | None, generator: torch.Generator
) -> nn.Module:
    """Return a fully connected network whose layers have the names of the file, after a flattening of images."""
    assert sizes.features is not None
    if shape is not None and count_features(shape) != sizes.features:
        raise SceneError(f"it takes {sizes.features} values, and a sample has {count_features(shape)}")
    built = architecture.build(sizes.features, generator, sizes.classes)
    names = iter(sizes.layers)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if shape is not None and len(shape) != 1:
        layers["flatten"] = nn.Flatten()
    for number, module in enumerate(built.children()):
        has_weights = isinstance(module, nn.Linear | nn.BatchNorm1d)
        layers[next(names) if has_weights else f"activation{number}"] = module
    return nn.Sequential(layers)


def _read_mlp(shapes: dict[str, tuple[int, ...]]) -> Sizes:
    names = [name.removesuffix(".weight") for name, shape in shapes.items() if name.endswith(".weight") and shape]
    names = sorted(names, key=_natural)
    linear = [name for name in names if len(shapes[f"{name}.weight"]) == 2]
    sides = [shapes[f"{name}.weight"] for name in linear]
    if any(after[1] != before[0] for before, after in itertools.pairwise(sides)):
        raise SceneError("its layers do not follow each other in the order of their names")
    if len({name.rpartition(".")[0] for name in names}) > 1 or any(len(shapes[f"{name}.weight"]) > 2 for name in names):
        raise SceneError("it has other layers than fully connected ones in one sequence")
    norms = len(names) - len(linear)
    if norms not in (0, len(linear) - 1):
        raise SceneError(f"it has {norms} normalizations and {len(linear)} linear layers")
    settings: dict[str, Any] = {"widths": tuple(out for out, _ in sides[:-1]), "norm": "batch" if norms else "none"}
    settings["bias"] = f"{linear[0]}.bias" in shapes
    order = tuple(name.rpartition(".")[2] for name in names)
    return Sizes(settings, sides[-1][0], features=sides[0][1], layers=order)


def _read_convnet(shapes: dict[str, tuple[int, ...]]) -> Sizes:
    weights = [shapes[name] for name in sorted(shapes, key=_natural) if name.endswith(".weight")]
    convolutions = [shape for shape in weights if len(shape) == 4]
    linear = [shape for shape in weights if len(shape) == 2]
    if any(shape[2:] != (4, 4) for shape in convolutions) or len(linear) != 2:
        raise SceneError("it has strided 4 x 4 convolutions and two linear layers")
    has_statistics = any(name.endswith("running_mean") for name in shapes)
    norm = "none" if len(weights) == len(convolutions) + 2 else "batch" if has_statistics else "group"
    channels = tuple(shape[0] for shape in convolutions)
    return Sizes({"channels": channels, "hidden": linear[0][0], "norm": norm}, linear[1][0], convolutions[0][1])


def _read_resnet(shapes: dict[str, tuple[int, ...]]) -> Sizes:
    prefix = _prefix(shapes, "layer1.0.conv1.weight")
    blocks = _count(shapes, f"{prefix}layer1.", ".conv1.weight")
    return Sizes({"depth": 6 * blocks + 2}, shapes[f"{prefix}linear.weight"][0], shapes[f"{prefix}conv1.weight"][1])


def _read_preact_resnet(shapes: dict[str, tuple[int, ...]]) -> Sizes:
    prefix = _prefix(shapes, "layer4.0.conv1.weight")
    blocks = [_count(shapes, f"{prefix}layer{stage}.", ".conv1.weight") for stage in (1, 2, 3, 4)]
    depth = next((depth for depth, counts in STAGE_BLOCKS.items() if list(counts) == blocks), None)
    settings = {"depth": depth, "norm": _norm(shapes)}
    return Sizes(settings, shapes[f"{prefix}linear.weight"][0], shapes[f"{prefix}conv1.weight"][1])


def _read_wide_resnet(shapes: dict[str, tuple[int, ...]]) -> Sizes:
    prefix = _prefix(shapes, "block1.layer.0.conv1.weight")
    blocks = _count(shapes, f"{prefix}block1.layer.", ".conv1.weight")
    width = shapes[f"{prefix}block1.layer.0.conv1.weight"][0] // 16
    settings = {"depth": 6 * blocks + 4, "width": width, "norm": _norm(shapes)}
    return Sizes(settings, shapes[f"{prefix}fc.weight"][0], shapes[f"{prefix}conv1.weight"][1])


def _read_two_layer(shapes: dict[str, tuple[int, ...]]) -> Sizes:
    weights = [name for name in sorted(shapes, key=_natural) if name.endswith(".weight")]
    if len(weights) != 2 or shapes[weights[1]][0] != 1:
        raise SceneError("it has one hidden layer and one logit")
    biases = [name.replace(".weight", ".bias") in shapes for name in weights]
    output = "trained" if biases[0] == biases[1] else "signs"
    return Sizes({"width": shapes[weights[0]][0], "bias": biases[0], "output": output}, 2)


def _prefix(shapes: Mapping[str, Any], ending: str) -> str:
    """Return what stands in front of the shortest name with this ending."""
    return min((name for name in shapes if name.endswith(ending)), key=len).removesuffix(ending)


def _count(shapes: Mapping[str, Any], prefix: str, suffix: str) -> int:
    return sum(1 for name in shapes if re.fullmatch(rf"{re.escape(prefix)}\d+{re.escape(suffix)}", name))


def _norm(shapes: Mapping[str, Any]) -> str:
    return "batch" if any(name.endswith("running_mean") for name in shapes) else "group"


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER_PATTERN.split(name)]


ARCHITECTURES: dict[str, Callable[..., Architecture]] = {
    "convnet": ConvNet,
    "mlp": MLP,
    "preact_resnet": PreActResNet,
    "resnet": ResNet,
    "two_layer": TwoLayer,
    "wide_resnet": WideResNet,
}
_READERS: dict[str, Callable[[dict[str, tuple[int, ...]]], Sizes]] = {
    "convnet": _read_convnet,
    "mlp": _read_mlp,
    "preact_resnet": _read_preact_resnet,
    "resnet": _read_resnet,
    "two_layer": _read_two_layer,
    "wide_resnet": _read_wide_resnet,
}
