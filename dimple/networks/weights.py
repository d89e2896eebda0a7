"""Reader of weights files, safetensors or torch, that never executes code in them."""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.locations import require_weights_file
from dimple.networks.fit_names import MEAN_PATTERN, STD_PATTERN, contains_weights, fit_names, remove_wrappers
from dimple.networks.torch_file import (
    FREE_BYTES,
    MAX_GROWTH,
    ParsedFile,
    StoredTensor,
    UnknownNameError,
    parse_legacy_torch,
    parse_torch_zip,
)
from dimple.networks.weights_format import DOWNLOAD_AGAIN_HINT, describe_conversion, detect_weights_format
from dimple.networks.wrappers import NormalizedModel, unwrap
from dimple.settings import expand_home, format_value

# Of a file, and of all its tensors together.
MAX_BYTES = 2**32
# Of the containers around a state dict.
MAX_DEPTH = 8
# Of a state dict, and of one of its names.
MAX_TENSORS = 20_000
MAX_NAME_LENGTH = 1000
# Of the description of the tensors at the start of a safetensors file.
MAX_HEADER_BYTES = 2**22
SUPPORTED_DTYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
# The keys under which programs keep the weights of a network, and averages of them over the training.
USUAL_KEY_PATTERN = re.compile(r"(model|net|network|module|params|weights)|((model|net|network)[_.])?state_dict")
AVERAGE_KEY_PATTERN = re.compile(r"(?i)(^|[^a-z])(\w*ema|ema\w*|swa\w*|averaged?\w*|shadow\w*)($|[^a-z])")
# The last part of the name of what is not a tensor in a state dict.
EXTRA_STATE = "_extra_state"


def read_weights(path: Path | str, state_dict_key: str | None = None) -> dict[str, Tensor]:
    """Read the named tensors of a weights file, to the CPU.

    The format is detected from the content of the file, not from its name. A torch file is read without its code: only
    containers and tensors are built. In it the one state dict is found at any depth, and what `DataParallel`,
    `torch.compile` and other wrappers of torch insert into the names is removed.

    Args:
        path: a .safetensors file, or a file written by `torch.save`.
        state_dict_key: path of the state dict, if the file holds several: `model`, or `checkpoint.ema`; also with a
            prefix of names in it, such as `state_dict.teacher`, without which only the names with it are returned.

    Raises:
        ModelError: if the file is missing, damaged or unsafe, if it holds no state dict, or if it holds several and
            `state_dict_key` does not name one of them.
    """
    weights, _, prefix, _ = _read_state_dict(expand_home(path), state_dict_key, None)
    return {
        bare.removeprefix(prefix): weights[name]
        for bare, name in remove_wrappers(weights).items()
        if bare.startswith(prefix)
    }


def read_file(path: Path) -> bytes:
    """Read the full file at once, so that later checks apply to the bytes that are parsed.

    Raises:
        ModelError: if it is missing, not a regular file, not readable, or larger than 4 GiB.
    """
    try:
        require_weights_file(path)
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: has {path.stat().st_size} bytes; weights files have at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); name a readable weights file") from None


class _StateDict(NamedTuple):
    """A state dict of a file.

    Attributes:
        tensors: the tensors by their names in the file.
        path: its place in the file; empty for a file that is a state dict itself.
        prefix: the prefix of names that `state_dict_key` ends with.
        constants: the places of a mean and a standard deviation elsewhere in the file; empty without them.
    """

    tensors: dict[str, Tensor]
    path: str
    prefix: str
    constants: str


def _read_state_dict(path: Path, state_dict_key: str | None, network: nn.Module | None) -> _StateDict:
    """Return a state dict of a file.

    Of several state dicts the one that has all names of the network is taken.
    """
    location = str(path)
    content = read_file(path)
    if detect_weights_format(content, location) == "torch":
        file = _parse_torch(content, location)
    else:
        file = ParsedFile(_parse_safetensors(content, location))
    candidates = dict(_find_state_dicts(file.root, location))
    if not candidates and file.script_class:
        raise _needs_conversion(location, file.script_class)
    if state_dict_key is None and len(candidates) > 1:
        state_dict_key = _prefer_state_dict(candidates, location, network)
    path_in_file, prefix = _choose_state_dict(candidates, location, state_dict_key)
    chosen = {name: tensor for name, tensor in candidates[path_in_file].items() if not name.endswith(EXTRA_STATE)}
    if len(chosen) > MAX_TENSORS or max(map(len, chosen), default=0) > MAX_NAME_LENGTH:
        raise ModelError(
            f"{location}: has {len(chosen)} tensors, or names of more than {MAX_NAME_LENGTH} letters; weights files "
            f"have at most {MAX_TENSORS} tensors"
        )
    total = 0
    for name, tensor in chosen.items():
        _check_tensor(name, tensor, location)
        total += tensor.nbytes
    # The tensors of a file may share numbers, as tied weights do, but not grow without limit.
    if total > min(MAX_BYTES, MAX_GROWTH * len(content) + FREE_BYTES):
        raise ModelError(
            f"{location}: its tensors have {total} bytes together, and the file {len(content)}; save contiguous tensors"
        )
    constants = _find_constants_beside(file.root, path_in_file, location)
    return _StateDict(_load(chosen, file, location), path_in_file, prefix, constants)


def _load(tensors: Mapping[str, Tensor | StoredTensor], file: ParsedFile, location: str) -> dict[str, Tensor]:
    """Return the tensors with their numbers, which those of a torch file do not have yet."""
    buffers: dict[str, bytearray] = {}
    try:
        return {
            name: file.load(tensor, buffers) if isinstance(tensor, StoredTensor) else tensor
            for name, tensor in tensors.items()
        }
    except (ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{location}: is a damaged or unsafe torch file ({error}); {DOWNLOAD_AGAIN_HINT}") from None


def load_weights(module: nn.Module, path: Path | str, state_dict_key: str | None = None) -> str:
    """Load the weights of a file into `module`, in place, or into the network that a wrapper of this package contains.

    The names in the file may have another prefix than in the network, a shared weight one of its names, and a weight
    with weight normalization another form; a warning says what is removed or left out. Batch counters, which only
    training reads, may be missing. Mean and standard deviation of a normalization layer in front of the network go into
    the `NormalizedModel` around it. On any other difference nothing is changed.

    Args:
        module: the network.
        path: the weights file.
        state_dict_key: path of the state dict, if the file holds several, and prefix of the network in it.

    Returns:
        The path of the state dict in the file; empty for a file that is a state dict itself.

    Raises:
        ModelError: as `read_weights`; also, with at most ten names, if tensors are missing or surplus, have another
            shape or kind of number, or are not finite, or if there is a normalization layer and no `NormalizedModel`.
    """
    network = unwrap(module)
    file = _read_state_dict(expand_home(path), state_dict_key, network)
    fitted = fit_names(file.tensors, network, str(path), file.prefix)
    normalized = next((part for part in module.modules() if isinstance(part, NormalizedModel)), None)
    if file.constants and fitted.constants is None and normalized is None:
        warnings.warn(
            f"{path}: holds {file.constants} beside the weights, which are not applied; if the network was trained on "
            "images that were normalized with them, give them as --mean and --std",
            stacklevel=1,
        )
    if fitted.constants is not None:
        mean, std = (tuple(round(value, 6) for value in values.tolist()) for values in fitted.constants)
        if normalized is None or len(mean) not in (1, normalized.mean.numel()):
            raise ModelError(
                f"{path}: holds a normalization of the images in front of {type(network).__name__}; give it as --mean "
                f"{','.join(map(str, mean))} --std {','.join(map(str, std))}, or name a model that contains it, such "
                f"as dimple.networks.NormalizedModel({mean}, {std}, network)"
            )
        warnings.warn(
            f"{type(network).__name__}: the images are normalized by mean {mean} and std {std} of the weights file",
            stacklevel=1,
        )
        normalized.set_constants(*fitted.constants)
    network.load_state_dict(fitted.tensors, strict=False)
    return file.path


def _parse_safetensors(content: bytes, location: str) -> dict[str, Tensor]:
    if (length := int.from_bytes(content[:8], "little")) > MAX_HEADER_BYTES:
        raise ModelError(
            f"{location}: is a damaged safetensors file, or has a header of {length} bytes, which has at most "
            f"{MAX_HEADER_BYTES} for {MAX_TENSORS} tensors; {DOWNLOAD_AGAIN_HINT}"
        )
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{location}: is a damaged safetensors file ({error}); {DOWNLOAD_AGAIN_HINT}") from None


def _parse_torch(content: bytes, location: str) -> ParsedFile:
    """Parse the pickle of a torch file, of which no code runs; every error becomes a ModelError."""
    try:
        if content.startswith(b"PK"):
            return parse_torch_zip(zipfile.ZipFile(io.BytesIO(content)))
        return parse_legacy_torch(content)
    except UnknownNameError as error:
        raise _needs_conversion(location, error.name) from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{location}: is a damaged or unsafe torch file ({error}); {DOWNLOAD_AGAIN_HINT}") from None


def _needs_conversion(location: str, name: str) -> ModelError:
    """Return the error of a file whose weights cannot be read without an object of Python."""
    return ModelError(
        f"{location}: imports the Python object {name}, which could run code, and was not opened; if you "
        f"trust the file, convert it: {describe_conversion(location)}"
    )


def _find_state_dicts(root: Any, location: str) -> Iterator[tuple[str, Mapping[str, Tensor | StoredTensor]]]:
    """Yield every state dict in the loaded structure with its first path."""
    return ((path, value) for path, value in _find_mappings(root, location) if _is_state_dict(value))


def _find_constants_beside(root: Any, chosen: str, location: str) -> str:
    """Return the places of a mean and a standard deviation that are no part of the chosen state dict, or nothing."""
    for path, value in _find_mappings(root, location):
        names = [name for name in value if isinstance(name, str)] if path != chosen else []
        means = [name for name in names if MEAN_PATTERN.search(name)]
        stds = [name for name in names if STD_PATTERN.search(name)]
        if means and stds:
            dot = "." if path else ""
            return " and ".join(format_value(f"{path}{dot}{name}") for name in (means[0], stds[0]))
    return ""


def _find_mappings(root: Any, location: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield every mapping outside a state dict with its first path, without recursion, as nesting may be endless.

    Each container is visited once, since a short file may hold the same one in very many places.
    """
    stack: list[tuple[str, Any, int]] = [("", root, 0)]
    visited: set[int] = set()
    while stack:
        path, value, depth = stack.pop()
        if id(value) in visited:
            continue
        visited.add(id(value))
        if depth > MAX_DEPTH:
            raise ModelError(f"{location}: is nested too deep for a weights file; save model.state_dict()")
        if isinstance(value, Mapping):
            yield path, value
        if isinstance(value, list | tuple) or (isinstance(value, Mapping) and not _is_state_dict(value)):
            stack += [
                (path + step, item, depth + 1) for step, item in reversed(_child_containers(value, root is value))
            ]


def _child_containers(value: Any, is_root: bool) -> list[tuple[str, Any]]:
    """Return the containers directly inside a container, each with its step of the path."""
    if isinstance(value, Mapping):
        # Integer keys are the parameter numbers of an optimizer, whose moments are not weights.
        dot = "" if is_root else "."
        steps = [(f"{dot}{name}", item) for name, item in value.items() if isinstance(name, str)]
    else:
        steps = [(f"[{index}]", item) for index, item in enumerate(value)]
    return [(step, item) for step, item in steps if isinstance(item, Mapping | list | tuple)]


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    """Return whether all keys are names and all values tensors, of which one at least may be a weight.

    The integer tensors of random generator states are not weights.
    """
    tensors = [item for item in value.values() if isinstance(item, Tensor | StoredTensor)]
    return (
        all(isinstance(name, str) for name in value)
        and all(isinstance(item, Tensor | StoredTensor) or name.endswith(EXTRA_STATE) for name, item in value.items())
        and any(item.dim() > 0 and (item.dtype.is_floating_point or item.dtype.is_complex) for item in tensors)
    )


def _prefer_state_dict(
    candidates: Mapping[str, Mapping[str, Tensor | StoredTensor]], location: str, network: nn.Module | None
) -> str | None:
    """Return the path of the one of several state dicts that is the network itself; None where this is in doubt.

    It has all names of the network, and where several have them, the usual key of weights, while the others are the
    averages that are kept beside them.
    """
    shapes = {path: {name: tuple(one.shape) for name, one in found.items()} for path, found in candidates.items()}
    fitting = [] if network is None else [path for path in candidates if contains_weights(shapes[path], network)]
    paths = fitting or list(candidates)
    usual = [path for path in paths if USUAL_KEY_PATTERN.fullmatch(path)]
    averages = [path for path in paths if AVERAGE_KEY_PATTERN.search(path)]
    if len(paths) > 1 and len(usual) == 1 and len(averages) == len(paths) - 1:
        paths = usual
    if len(paths) != 1:
        return None
    others = ", ".join(format_value(path)[1:-1] for path in candidates if path != paths[0])
    chosen = format_value(paths[0])
    warnings.warn(f"{location}: {chosen} is taken; --state-dict-key chooses from the others: {others}", stacklevel=1)
    return paths[0]


def _choose_state_dict(
    candidates: Mapping[str, Mapping[str, Tensor | StoredTensor]], location: str, state_dict_key: str | None
) -> tuple[str, str]:
    """Return the path of the state dict that `state_dict_key` names, or of the only one, and a prefix of its names."""
    if not candidates:
        raise ModelError(f"{location}: holds no state dict (names with tensors); save model.state_dict()")
    choices = ", ".join(format_value(name)[1:-1] for name in list(candidates)[:10])
    if state_dict_key is None:
        if len(candidates) > 1:
            raise ModelError(f"{location}: holds {len(candidates)} state dicts; choose --state-dict-key: {choices}")
        return next(iter(candidates)), ""
    matches = [name for name in candidates if name == state_dict_key or name.startswith(f"{state_dict_key}[")]
    if len(matches) == 1:
        return matches[0], ""
    for path, weights in candidates.items():
        # The path of the only state dict may be left out.
        is_inside = len(candidates) == 1 or state_dict_key.startswith(f"{path}.")
        (prefix,) = remove_wrappers([state_dict_key.removeprefix(f"{path}.").rstrip(".")])
        if is_inside and any(name.startswith(f"{prefix}.") for name in remove_wrappers(weights)):
            return path, f"{prefix}."
    hint = f"choose one of {choices}" if choices else "omit it, because the file is a state dict itself"
    raise ModelError(
        f"{location}: --state-dict-key {format_value(state_dict_key)} does not name one state dict; {hint}"
    )


def _check_tensor(name: str, tensor: Tensor | StoredTensor, location: str) -> None:
    """Raise a ModelError unless the tensor is dense, of a supported dtype, and not larger than its storage.

    A stride of zero could expand a few bytes to terabytes.
    """
    name = f"{location}: {format_value(name)}"
    if isinstance(tensor, StoredTensor) and tensor.storage is None:
        raise ModelError(f"{name} is sparse, nested, quantized or without data; save dense tensors")
    if tensor.dtype not in SUPPORTED_DTYPES:
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in SUPPORTED_DTYPES)
        raise ModelError(f"{name} is {tensor.dtype}; weights have one of the dtypes {kinds}")
    if isinstance(tensor, StoredTensor) and not tensor.is_within_storage:
        shape = format_value(tuple(tensor.shape))
        raise ModelError(f"{name} is a tensor larger than its storage, {shape}; save contiguous tensors")
