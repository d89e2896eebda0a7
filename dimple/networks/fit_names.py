"""Assignment of the tensors of a weights file to the names of a network, under any prefix that their names have."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dimple.errors import ModelError
from dimple.settings import format_value

# Parts of names that wrappers of torch insert: DataParallel, torch.compile, FSDP and activation checkpointing.
WRAPPER_PARTS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
# Last parts of the names of tensors that no forward pass in eval mode reads.
COUNTERS = frozenset({"num_batches_tracked", "n_averaged", "total_ops", "total_params"})
MEAN_PATTERN = re.compile(r"(?:^|[._])(?:means?|mu)$")
STD_PATTERN = re.compile(r"(?:^|[._])(?:stds?|sigma)$")
# Class weights of a loss that a training module keeps beside its network.
LOSS_PATTERN = re.compile(r"(?:^|\.)(?:criterion|loss|\w+_loss|loss_\w+)\.(?:pos_)?weight$")
# The largest mean of a normalization of images in [0, 1]; others are of levels to 255.
MAX_MEAN = 2.0
# A batch normalization with at most this many channels may be that of the images.
MAX_IMAGE_CHANNELS = 4
MAX_LISTED_NAMES = 10


class FittedWeights(NamedTuple):
    """Tensors by the names of a network, and the constants of a normalization of its inputs.

    Attributes:
        tensors: by the full names of the network.
        constants: the mean and the standard deviation of a normalization layer outside the network; None without one.
    """

    tensors: dict[str, Tensor]
    constants: tuple[Tensor, Tensor] | None


def remove_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Return each name without the parts that wrappers insert, and the name that it comes from.

    Example:
        >>> remove_wrappers(["module.0._orig_mod.weight"])
        {'0.weight': 'module.0._orig_mod.weight'}
    """
    names = list(names)
    bare = {".".join(part for part in name.split(".") if part not in WRAPPER_PARTS): name for name in names}
    return bare if len(bare) == len(names) else {name: name for name in names}


def contains_weights(shapes: Mapping[str, tuple[int, ...]], network: nn.Module) -> bool:
    """Return whether all weights of a network are among those of a file, by name and shape, under one prefix.

    Example:
        >>> contains_weights({"net.weight": (2, 3), "net.bias": (2,)}, nn.Linear(3, 2))
        True
        >>> contains_weights({"net.weight": (2, 3, 1, 1), "net.bias": (2,)}, nn.Linear(3, 2))
        False
    """
    stored = {bare: tuple(shapes[name]) for bare, name in remove_wrappers(shapes).items()}
    state = network.state_dict(keep_vars=True)
    required = {
        bare: None if is_lazy(state[name]) else tuple(state[name].shape)
        for bare, name in remove_wrappers(state).items()
        if not _is_counter(bare)
    }
    prefixes = {""} | {name[: dot.end()] for name in stored for dot in re.finditer(r"\.", name)}
    return any(
        all(prefix + name in stored and shape in (None, stored[prefix + name]) for name, shape in required.items())
        for prefix in prefixes
    )


def fit_names(weights: Mapping[str, Tensor], network: nn.Module, location: str, prefix: str = "") -> FittedWeights:
    """Assign the tensors of a file to the names of a network.

    The names may have any one prefix in the file, or lack one that they have in the network. A weight that the network
    shares between several names may have one of them. A weight with weight normalization may be stored as in either
    form of it, or as one tensor. A warning says what is removed, added or left out.

    Args:
        weights: the tensors of the file.
        network: the network.
        location: the name of the file in errors.
        prefix: the prefix in the file, where it holds several networks.

    Raises:
        ModelError: if tensors are missing, surplus, of another shape or kind, not finite, or differ for one weight; if
            several prefixes fit; or if the file has constants of a normalization that cannot be told apart.
    """
    state = network.state_dict(keep_vars=True)
    full_names = remove_wrappers(name for name, value in state.items() if isinstance(value, Tensor))
    fit = _Fit(
        {bare: weights[name] for bare, name in remove_wrappers(weights).items()},
        {bare: state[name] for bare, name in full_names.items()},
        location,
        type(network).__name__,
    )
    found, constants = fit.assign(prefix)
    return FittedWeights({full_names[name]: tensor for name, tensor in found.items()}, constants)


@final
class _Fit:
    """The tensors of a file and those of a network, both by names without wrappers."""

    def __init__(self, stored: dict[str, Tensor], expected: dict[str, Tensor], location: str, title: str) -> None:
        self.stored = stored
        self.expected = expected
        self.required = [name for name in expected if not _is_counter(name)]
        self.location = location
        self.title = title
        groups: dict[int, list[str]] = {}
        for name, tensor in expected.items():
            groups.setdefault(id(tensor), []).append(name)
        # All names of the same tensor of the network.
        self.names = {name: groups[id(tensor)] for name, tensor in expected.items()}

    def assign(self, chosen: str) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor] | None]:
        """Return the tensors by the names of the network, and the constants of a normalization outside it."""
        prefixes = self._fitting_prefixes()
        if not prefixes and (result := self._assign_inside(chosen)) is not None:
            return result
        prefix = self._choose(prefixes, chosen)
        found = {name: match for name in self.expected if (match := self._find(name, prefix)) is not None}
        used = {source for _, sources in found.values() for source in sources}
        # Other copies of the network are those of a teacher, or averages over the training.
        copies = tuple(other for other in prefixes if not prefix.startswith(other))
        left_out = [name for name in self.stored if name not in used and not _is_counter(name)]
        others = {name: self.stored[name] for name in left_out if not name.startswith(copies)}
        surplus = [name for name in others if name.startswith(prefix) and not _is_constant(name)]
        tensors = {name: tensor for name, (tensor, _) in found.items()}
        self._check(tensors, surplus)
        constants = _find_constants(others, self.location)
        if prefix:
            listed = f"; left out: {_list_names(left_out)}" if left_out else ""
            warnings.warn(
                f"{self.title}: {prefix!r} is removed from the names of the weights in their file{listed}", stacklevel=1
            )
        return tensors, constants

    def _fitting_prefixes(self) -> list[str]:
        """Return every prefix of names in the file with which all names of the network are there.

        Those whose tensors have the shapes of the network are preferred.
        """
        prefixes = {""} | {name[: dot.end()] for name in self.stored for dot in re.finditer(r"\.", name)}
        fitting = [
            prefix
            for prefix in sorted(prefixes, key=lambda prefix: (len(prefix), prefix))
            if all(self._find(name, prefix) for name in self.required)
        ]
        shaped = [prefix for prefix in fitting if not self._other_shapes(dict(self._tensors(prefix)))]
        return shaped or fitting

    def _tensors(self, prefix: str) -> Iterator[tuple[str, Tensor]]:
        for name in self.required:
            if (match := self._find(name, prefix)) is not None:
                yield name, match[0]

    def _find(self, name: str, prefix: str) -> tuple[Tensor, list[str]] | None:
        """Return the tensor of a name of the network, and the names in the file that it comes from."""
        matches = (self._find_alias(alias, prefix) for alias in (name, *self.names[name]))
        return next((match for match in matches if match is not None), None)

    def _find_alias(self, name: str, prefix: str) -> tuple[Tensor, list[str]] | None:
        stored = self.stored
        if prefix + name in stored:
            return stored[prefix + name], [prefix + name]
        normalized = _normalized_weight(name)
        weight = prefix + (name if normalized is None else normalized[0])
        pair = next((pair for pair in _weight_norm_names(weight) if all(part in stored for part in pair)), None)
        if normalized is None:
            if pair is None:
                return None
            magnitude, direction = (stored[part] for part in pair)
            return direction * (magnitude / _norm_along(direction, magnitude)), list(pair)
        if pair is not None:
            return stored[pair[normalized[1]]], [pair[normalized[1]]]
        is_normalized = any(set(names) <= self.expected.keys() for names in _weight_norm_names(normalized[0]))
        if weight not in stored or not is_normalized:
            return None
        direction = stored[weight]
        return (direction if normalized[1] == 1 else _norm_along(direction, self.expected[name])), [weight]

    def _assign_inside(self, chosen: str) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor] | None] | None:
        """Return the tensors of a part of the network, where the rest are constants of a normalization; else None."""
        outer_prefixes = {name[: dot.end()] for name in self.required for dot in re.finditer(r"\.", name)}
        for outer in sorted(outer_prefixes):
            inside = {name.removeprefix(outer): self.expected[name] for name in self.expected if name.startswith(outer)}
            if all(name.startswith(outer) or _is_constant(name) for name in self.required):
                fit = _Fit(self.stored, inside, self.location, self.title)
                if fit._fitting_prefixes():
                    warnings.warn(f"{self.title}: {outer!r} is added to the names of the weights", stacklevel=1)
                    found, constants = fit.assign(chosen)
                    return {outer + name: tensor for name, tensor in found.items()}, constants
        return None

    def _choose(self, prefixes: Sequence[str], chosen: str) -> str:
        if chosen or not prefixes:
            return chosen
        first, *others = prefixes
        tensors = dict(self._tensors(first))
        if any(not torch.equal(tensors[name], tensor) for other in others for name, tensor in self._tensors(other)):
            listed = ", ".join(format_value(prefix.rstrip("."))[1:-1] for prefix in prefixes if prefix)
            raise ModelError(
                f"{self.location}: holds {self.title} with different weights under {len(prefixes)} prefixes; choose "
                f"--state-dict-key: {listed}"
            )
        return first

    def _check(self, found: Mapping[str, Tensor], surplus: Sequence[str]) -> None:
        """Raise a ModelError for tensors that are missing, surplus, of another shape or kind, or not finite."""
        missing = [name for name in self.required if name not in found]
        problems = [("missing", sorted(missing)), ("surplus", sorted(surplus))]
        problems.append(("of another shape", self._other_shapes(found)))
        listed = [f"{len(names)} {problem}: {_list_names(names)}" for problem, names in problems if names]
        if listed:
            raise ModelError(
                f"{self.location}: does not fit {self.title}: {'; '.join(listed)}; name the model that these weights "
                "were trained as"
            )
        for name, tensor in found.items():
            expected = self.expected[name]
            if tensor.is_floating_point() != expected.is_floating_point():
                raise ModelError(f"{self.location}: {name} is {tensor.dtype}; the network has {expected.dtype}")
            # The infinite numbers of a mask are in the network too.
            if not bool(torch.isfinite(tensor).all()) and (is_lazy(expected) or not torch.equal(tensor, expected)):
                raise ModelError(
                    f"{self.location}: {name} holds nan or inf; use weights from before the training diverged"
                )
            if expected.is_floating_point() and bool((tensor.isfinite() & ~tensor.to(expected.dtype).isfinite()).any()):
                raise ModelError(
                    f"{self.location}: {name} holds {float(tensor.abs().max()):.3g}, more than {expected.dtype} can; "
                    "use weights from before the training diverged"
                )
            for alias in self.names[name]:
                if not torch.equal(found[alias], tensor):
                    raise ModelError(
                        f"{self.location}: {name} and {alias} are different, and one weight in the network; name the "
                        "model that these weights were trained as"
                    )

    def _other_shapes(self, found: Mapping[str, Tensor]) -> list[str]:
        return [
            f"{name} {tuple(tensor.shape)} for {tuple(self.expected[name].shape)}"
            for name, tensor in found.items()
            if not is_lazy(self.expected[name]) and tensor.shape != self.expected[name].shape
        ]


def _weight_norm_names(name: str) -> list[tuple[str, str]]:
    """Return the names of magnitude and direction of a weight in both forms of weight normalization."""
    parent, dot, leaf = name.rpartition(".")
    new = f"{parent}{dot}parametrizations.{leaf}.original"
    return [(f"{name}_g", f"{name}_v"), (f"{new}0", f"{new}1")]


def _normalized_weight(name: str) -> tuple[str, int] | None:
    """Return the weight of which a name is the magnitude (0) or the direction (1), None for other names."""
    if match := re.fullmatch(r"(.*\.)?parametrizations\.(\w+)\.original([01])", name):
        return f"{match[1] or ''}{match[2]}", int(match[3])
    return (name[:-2], "gv".index(name[-1])) if name[-2:] in ("_g", "_v") else None


def _norm_along(direction: Tensor, magnitude: Tensor) -> Tensor:
    """Return the norm of a direction over the axes along which the magnitude has length 1, in its shape."""
    axes = [axis for axis in range(magnitude.dim()) if magnitude.shape[axis] == 1]
    result: Tensor = torch.linalg.vector_norm(direction, dim=axes or None, keepdim=True)
    return result.reshape(magnitude.shape)


def _find_constants(tensors: Mapping[str, Tensor], location: str) -> tuple[Tensor, Tensor] | None:
    """Return mean and standard deviation of a normalization of the images among the tensors outside the network."""
    means = _distinct(tensor for name, tensor in tensors.items() if MEAN_PATTERN.search(name))
    stds = _distinct(tensor for name, tensor in tensors.items() if STD_PATTERN.search(name))
    constants = [name for name in tensors if _is_constant(name)]
    statistics = [name for name in _scalings(tensors) if not _is_constant(name) and not name.endswith("running_var")]
    if not constants and not statistics:
        return None
    if statistics or len(means) != 1 or len(stds) != 1:
        raise ModelError(
            f"{location}: holds a normalization of the images outside the network, "
            f"{_list_names(constants + statistics)}; name a model that contains it"
        )
    mean = means[0].double().flatten()
    std = stds[0].double().flatten()
    if mean.numel() != std.numel() or not bool((std > 0).all()) or float(mean.abs().max()) > MAX_MEAN:
        raise ModelError(
            f"{location}: holds the normalization mean {mean.tolist()}, std {std.tolist()}, which is none of images in "
            "[0, 1]; name a model that contains it"
        )
    return mean, std


def _scalings(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors of layers that have, at most, some numbers for each channel of an image."""
    layers: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not LOSS_PATTERN.search(name):
            parent = name.rpartition(".")[0]
            layers.setdefault(parent or name, []).append(name)
    # Single numbers are temperatures and metrics, except in a numbered layer of a sequence.
    return [
        name
        for parent, names in layers.items()
        if all(tensors[name].numel() <= MAX_IMAGE_CHANNELS for name in names)
        if parent.rpartition(".")[2].isdigit() or any(tensors[name].dim() > 0 for name in names)
        for name in names
    ]


def _distinct(tensors: Iterable[Tensor]) -> list[Tensor]:
    result: list[Tensor] = []
    for tensor in tensors:
        if not any(tensor.shape == other.shape and torch.equal(tensor, other) for other in result):
            result.append(tensor)
    return result


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] in COUNTERS


def _is_constant(name: str) -> bool:
    is_statistic = name.rpartition(".")[2].startswith("running_")
    return not is_statistic and bool(MEAN_PATTERN.search(name) or STD_PATTERN.search(name))


def _list_names(names: Sequence[str]) -> str:
    shown = ", ".join(format_value(name)[1:-1] for name in names[:MAX_LISTED_NAMES])
    return shown + (f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else "")
