"""Weights files, safetensors or torch, read without running anything that is in them."""

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
from dimple.networks.weights_format import container, first_global
from dimple.networks.wrappers import inner
from dimple.settings import shown

LARGEST = 2**32
DEEPEST = 8
MOST_CONTAINERS = 100_000
DTYPES = (
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
PREFIXES = ("module.", "_orig_mod.")
_GLOBAL = re.compile(r"(?:GLOBAL|class|function) ([A-Za-z_][\w.]*\.[\w.<>]+)")

log = logging.getLogger(__name__)


def read_weights(path: Path | str, key: str | None = None) -> dict[str, Tensor]:
    """The named tensors of a weights file, on the CPU.

    The content decides how the file is read, not its name. A torch file is read without its code: only containers and
    tensors are built. Inside it the one state dict is looked for, however it is nested; the prefixes that
    `DataParallel` and `torch.compile` put before every name are dropped.

    Args:
        path: a .safetensors file, or what `torch.save` wrote.
        key: which state dict, where the file holds several: `model`, or `checkpoint.ema`.

    Raises:
        ModelError: if the file is missing, damaged, unsafe, or holds no state dict, or several and no `key`.
    """
    path = Path(path)
    return parse_weights(read_file(path), str(path), key)


def read_file(path: Path) -> bytes:
    """The whole file at once, so that what is checked is what is read.

    Raises:
        ModelError: if it is missing, no regular file, unreadable, or larger than 4 GiB.
    """
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
            raise ModelError(f"{path}: {kind}; name a readable weights file, .safetensors or .pt")
        if path.stat().st_size > LARGEST:
            raise ModelError(f"{path}: has {path.stat().st_size} bytes; weights files have at most {LARGEST}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); name a readable weights file") from None


def parse_weights(content: bytes, place: str, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file from its bytes; see `read_weights`.

    Args:
        place: what errors call the file.
    """
    loaded = _torch(content, place) if container(content, place) == "torch" else _safetensors(content, place)
    candidates = dict(_state_dicts(loaded, place))
    name = _choice(list(candidates), place, key)
    weights = _unprefixed(candidates[name])
    if weights.keys() != candidates[name].keys():
        log.info("%s: the prefix of every name, as of %r, was dropped", place, next(iter(candidates[name])))
    total = 0
    for tensor_name, tensor in weights.items():
        _check_tensor(tensor_name, tensor, place)
        total += tensor.numel() * tensor.element_size()
    if total > LARGEST:
        raise ModelError(f"{place}: its tensors have {total} bytes together; the limit is {LARGEST}")
    return {name: tensor.detach().contiguous() for name, tensor in weights.items()}


def load_weights(module: nn.Module, path: Path | str, key: str | None = None) -> None:
    """Put the weights of a file into `module`, in place; wrappers of `dimple.networks.wrappers` are looked through.

    Counters of batches, which only training reads, may be absent. Where anything else differs, nothing is changed.

    Raises:
        ModelError: as `read_weights`, or naming at most ten tensors that are missing, surplus, of another shape or
            kind of number, or not finite.
    """
    network, weights = inner(module), read_weights(path, key)
    state = {name: tensor for name, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    # A network may have such a prefix in its own names; without it on both sides, they can be compared.
    expected = _unprefixed(state)
    required = {name for name in expected if not name.endswith("num_batches_tracked")}
    problems = _named("missing", sorted(required - weights.keys()))
    problems += _named("surplus", sorted(shown(name)[1:-1] for name in weights.keys() - expected.keys()))
    common = [name for name in expected if name in weights]
    different = [name for name in common if weights[name].shape != expected[name].shape]
    shapes = [f"{name} {tuple(weights[name].shape)} for {tuple(expected[name].shape)}" for name in different]
    problems += _named("of another shape", shapes)
    if problems:
        raise ModelError(
            f"{path}: does not fit {type(network).__name__}: {'; '.join(problems)}; name the model that these weights "
            "were trained as"
        )
    for name in common:
        if weights[name].is_floating_point() != expected[name].is_floating_point():
            raise ModelError(f"{path}: {name} is {weights[name].dtype}; the network has {expected[name].dtype}")
        if not bool(torch.isfinite(weights[name]).all()):
            raise ModelError(f"{path}: {name} holds nan or inf; take one from before the training diverged")
    filled = {**expected, **weights}
    network.load_state_dict({name: filled[bare] for name, bare in zip(state, expected, strict=True)}, strict=False)


def _named(what: str, names: list[str]) -> list[str]:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return [f"{len(names)} {what}: {', '.join(names[:10])}{more}"] if names else []


def _safetensors(content: bytes, place: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{place}: is a damaged safetensors file ({error}); get it from its source again") from None


def _torch(content: bytes, place: str) -> Any:
    """What torch's restricted unpickler makes of the file; its many kinds of error become one."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        found = _GLOBAL.search(str(error))
        named = found[1] if found else first_global(content)
        if named:
            raise ModelError(
                f"{place}: asks for the Python object {named}, which could run code, and was not opened; "
                "save model.state_dict() instead, or a safetensors file"
            ) from None
        raise ModelError(
            f"{place}: is a damaged or unsafe torch file ({type(error).__name__}); get it from its source again"
        ) from None


def _state_dicts(root: Any, place: str) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Every state dict in the loaded structure, by its path; a loop, since a file may be nested without end."""
    stack: list[tuple[str, Any, int]] = [("", root, 0)]
    visited = 0
    while stack:
        path, value, depth = stack.pop()
        visited += 1
        if visited > MOST_CONTAINERS or depth > DEEPEST:
            raise ModelError(f"{place}: is nested too deep or too large for a weights file; save model.state_dict()")
        if isinstance(value, Mapping) and _is_state_dict(value):
            yield path, value
        elif isinstance(value, Mapping | list | tuple):
            stack += [(path + step, item, depth + 1) for step, item in reversed(_inside(value, root is value))]


def _inside(value: Any, is_root: bool) -> list[tuple[str, Any]]:
    """The containers within a container, and the step of the path to each."""
    if isinstance(value, Mapping):
        # Integer keys number the parameters of an optimiser, whose moments are no weights.
        dot = "" if is_root else "."
        steps = [(f"{dot}{name}", item) for name, item in value.items() if isinstance(name, str)]
    else:
        steps = [(f"[{index}]", item) for index, item in enumerate(value)]
    return [(step, item) for step, item in steps if isinstance(item, Mapping | list | tuple)]


def _is_state_dict(value: Mapping[Any, Any]) -> bool:
    """Names to tensors, at least one of which could be a weight; the states of random generators have none."""
    return all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items()) and any(
        item.is_floating_point() or item.is_complex() for item in value.values()
    )


def _choice(names: list[str], place: str, key: str | None) -> str:
    """The path of the one state dict that is meant."""
    if not names:
        raise ModelError(f"{place}: holds no state dict (names with tensors); save model.state_dict()")
    listed = ", ".join(shown(name)[1:-1] for name in names[:10])
    if key is None:
        if len(names) > 1:
            raise ModelError(f"{place}: holds {len(names)} state dicts; choose --state-key: {listed}")
        return names[0]
    meant = [name for name in names if name == key or name.startswith(f"{key}[")]
    if len(meant) != 1:
        way_out = f"choose one of {listed}" if listed else "leave it out, since the file is one itself"
        raise ModelError(f"{place}: --state-key {shown(key)} names no one state dict; {way_out}")
    return meant[0]


def _unprefixed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, in the same order, without the prefixes that wrappers put before every one of their names."""
    result = dict(weights)
    while prefix := next((p for p in PREFIXES if result and all(name.startswith(p) for name in result)), None):
        result = {name.removeprefix(prefix): tensor for name, tensor in result.items()}
    return result


def _check_tensor(name: str, tensor: Tensor, place: str) -> None:
    """Dense numbers that really are in the file: a stride of zero makes terabytes of a few bytes."""
    where = f"{place}: {shown(name)}"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise ModelError(f"{where} is sparse, quantised or empty of data; save dense tensors")
    if tensor.dtype not in DTYPES:
        kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ModelError(f"{where} is {tensor.dtype}; weights are one of {kinds}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ModelError(f"{where} is a tensor larger than its storage, {tuple(tensor.shape)}; save contiguous tensors")
