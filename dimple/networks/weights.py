"""Reader of weights files, safetensors or torch, that never executes code in them."""

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dimple.errors import ModelError
from dimple.networks.weights_format import detect_weights_format, find_first_global
from dimple.networks.wrappers import unwrap
from dimple.settings import format_value

# Of a file, and of all its tensors together.
MAX_BYTES = 2**32
# Of the containers around a state dict.
MAX_DEPTH = 8
MAX_CONTAINERS = 100_000
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
# Of names in the state dicts of DataParallel and torch.compile.
WRAPPER_PREFIXES = ("module.", "_orig_mod.")
# Name of a Python object in the error messages of torch's restricted unpickler.
_GLOBAL_PATTERN = re.compile(r"(?:GLOBAL|class|function) ([A-Za-z_][\w.]*\.[\w.<>]+)")

log = logging.getLogger(__name__)


def read_weights(path: Path | str, state_dict_key: str | None = None) -> dict[str, Tensor]:
    """Read the named tensors of a weights file, to the CPU.

    The format is detected from the content of the file, not from its name. A torch file is read without its code: only
    containers and tensors are built. In it the one state dict is found at any depth, and the prefixes that
    `DataParallel` and `torch.compile` add to every name are removed.

    Args:
        path: a .safetensors file, or a file written by `torch.save`.
        state_dict_key: path of the state dict, if the file holds several: `model`, or `checkpoint.ema`.

    Raises:
        ModelError: if the file is missing, damaged or unsafe, if it holds no state dict, or if it holds several and
            `state_dict_key` does not name one of them.
    """
    path = Path(path)
    return parse_weights(read_file(path), str(path), state_dict_key)


def read_file(path: Path) -> bytes:
    """Read the full file at once, so that later checks apply to the bytes that are parsed.

    Raises:
        ModelError: if it is missing, not a regular file, not readable, or larger than 4 GiB.
    """
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
            raise ModelError(f"{path}: {kind}; name a readable weights file, .safetensors or .pt")
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path}: has {path.stat().st_size} bytes; weights files have at most {MAX_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); name a readable weights file") from None


def parse_weights(content: bytes, location: str, state_dict_key: str | None = None) -> dict[str, Tensor]:
    """Parse the tensors of a weights file from its bytes; see `read_weights`.

    Args:
        content: the full file.
        location: name of the file in error messages.
        state_dict_key: path of the state dict, if the file holds several.
    """
    loaded = (
        _parse_torch(content, location)
        if detect_weights_format(content, location) == "torch"
        else _parse_safetensors(content, location)
    )
    candidates = dict(_find_state_dicts(loaded, location))
    name = _choose_state_dict(list(candidates), location, state_dict_key)
    weights = _remove_prefixes(candidates[name])
    if weights.keys() != candidates[name].keys():
        log.info("%s: the prefix of every name, as of %r, was removed", location, next(iter(candidates[name])))
    total = 0
    for tensor_name, tensor in weights.items():
        _check_tensor(tensor_name, tensor, location)
        total += tensor.numel() * tensor.element_size()
    if total > MAX_BYTES:
        raise ModelError(f"{location}: its tensors have {total} bytes together; the limit is {MAX_BYTES}")
    return {name: tensor.detach().contiguous() for name, tensor in weights.items()}


def load_weights(module: nn.Module, path: Path | str, state_dict_key: str | None = None) -> None:
    """Load the weights of a file into `module`, in place, or into the network that a wrapper of this package contains.

    Batch counters, which only training reads, may be missing. On any other difference nothing is changed.

    Raises:
        ModelError: as `read_weights`; also, with at most ten names, if tensors are missing or surplus, have another
            shape or kind of number, or are not finite.
    """
    network = unwrap(module)
    weights = read_weights(path, state_dict_key)
    state = {name: tensor for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    # The network's own names may have such a prefix; it is removed on both sides before they are compared.
    expected = _remove_prefixes(state)
    required = {name for name in expected if not name.endswith("num_batches_tracked")}
    problems = _summarize_names("missing", sorted(required - weights.keys()))
    problems += _summarize_names(
        "surplus", sorted(format_value(name)[1:-1] for name in weights.keys() - expected.keys())
    )
    common = [name for name in expected if name in weights]
    different = [name for name in common if weights[name].shape != expected[name].shape]
    shapes = [f"{name} {tuple(weights[name].shape)} for {tuple(expected[name].shape)}" for name in different]
    problems += _summarize_names("of another shape", shapes)
    if problems:
        raise ModelError(
            f"{path}: does not fit {type(network).__name__}: {'; '.join(problems)}; name the model that these weights "
            "were trained as"
        )
    for name in common:
        if weights[name].is_floating_point() != expected[name].is_floating_point():
            raise ModelError(f"{path}: {name} is {weights[name].dtype}; the network has {expected[name].dtype}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise ModelError(f"{path}: {name} holds nan or inf; use weights from before the training diverged")
    filled = {**expected, **weights}
    network.load_state_dict({name: filled[bare] for name, bare in zip(state, expected, strict=True)}, strict=False)


def _summarize_names(problem: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return [f"{len(names)} {problem}: {', '.join(names[:10])}{more}"] if names else []


def _parse_safetensors(content: bytes, location: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{location}: is a damaged safetensors file ({error}); get it from its source again") from None


def _parse_torch(content: bytes, location: str) -> Any:
    """Load the file by torch's restricted unpickler; every error becomes a ModelError."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        match = _GLOBAL_PATTERN.search(str(error))
        global_name = match[1] if match else find_first_global(content)
        if global_name:
            raise ModelError(
                f"{location}: imports the Python object {global_name}, which could run code, and was not opened; "
                "save model.state_dict() instead, or a safetensors file"
            ) from None
        raise ModelError(
            f"{location}: is a damaged or unsafe torch file ({type(error).__name__}); get it from its source again"
        ) from None


def _find_state_dicts(root: Any, location: str) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield every state dict in the loaded structure with its path; without recursion, since nesting may be endless."""
    stack: list[tuple[str, Any, int]] = [("", root, 0)]
    visited = 0
    while stack:
        path, value, depth = stack.pop()
        visited += 1
        if visited > MAX_CONTAINERS or depth > MAX_DEPTH:
            raise ModelError(f"{location}: is nested too deep or too large for a weights file; save model.state_dict()")
        if isinstance(value, Mapping) and _is_state_dict(value):
            yield path, value
        elif isinstance(value, Mapping | list | tuple):
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
    return all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items()) and any(
        item.is_floating_point() or item.is_complex() for item in value.values()
    )


def _choose_state_dict(names: list[str], location: str, state_dict_key: str | None) -> str:
    """Return the path of the state dict that `state_dict_key` names, or of the only one."""
    if not names:
        raise ModelError(f"{location}: holds no state dict (names with tensors); save model.state_dict()")
    choices = ", ".join(format_value(name)[1:-1] for name in names[:10])
    if state_dict_key is None:
        if len(names) > 1:
            raise ModelError(f"{location}: holds {len(names)} state dicts; choose --state-dict-key: {choices}")
        return names[0]
    matches = [name for name in names if name == state_dict_key or name.startswith(f"{state_dict_key}[")]
    if len(matches) != 1:
        hint = f"choose one of {choices}" if choices else "omit it, because the file is a state dict itself"
        raise ModelError(
            f"{location}: --state-dict-key {format_value(state_dict_key)} does not name one state dict; {hint}"
        )
    return matches[0]


def _remove_prefixes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors in the same order, without the prefixes that wrappers add to all names."""
    result = dict(weights)
    while prefix := next((p for p in WRAPPER_PREFIXES if result and all(name.startswith(p) for name in result)), None):
        result = {name.removeprefix(prefix): tensor for name, tensor in result.items()}
    return result


def _check_tensor(name: str, tensor: Tensor, location: str) -> None:
    """Raise a ModelError unless the tensor is dense, of a supported dtype, and not larger than its storage.

    A stride of zero could expand a few bytes to terabytes.
    """
    name = f"{location}: {format_value(name)}"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise ModelError(f"{name} is sparse, quantized or without data; save dense tensors")
    if tensor.dtype not in SUPPORTED_DTYPES:
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in SUPPORTED_DTYPES)
        raise ModelError(f"{name} is {tensor.dtype}; weights have one of the dtypes {kinds}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ModelError(f"{name} is a tensor larger than its storage, {tuple(tensor.shape)}; save contiguous tensors")
