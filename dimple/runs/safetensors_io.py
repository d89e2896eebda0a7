"""Arrays as safetensors files in memory."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays


def to_safetensors(arrays: Mapping[str, NDArray[Any]], metadata: dict[str, str] | None = None) -> bytes:
    """Return the arrays as a safetensors file.

    Args:
        arrays: by name; the file has them in an order of its own.
        metadata: at most one entry, since several have no fixed order.
    """
    # safetensors writes the bytes in memory order, so the arrays must be in C order.
    return save_arrays({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata)


def read_metadata(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file, which safetensors itself reads only from a path.

    Raises:
        ValueError, KeyError: if it is no such file, or has none.

    Example:
        >>> read_metadata(to_safetensors({"w": np.zeros(2)}, {"loss": "0.5"}))
        {'loss': '0.5'}
    """
    return dict(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"])


def pack_entry(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> bytes:
    """Return arrays, their order, and what else belongs to them, as JSON has it, as a safetensors file."""
    return to_safetensors(arrays, {"about": json.dumps({"order": list(arrays), **about})})


def unpack_entry(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays in their order, and what else belongs to them.

    Raises:
        SafetensorError, ValueError, KeyError: if the file is damaged, or is none of `pack_entry`.

    Example:
        >>> unpack_entry(pack_entry({"b": np.zeros(1), "a": np.ones(1)}, {"unit": "m"}))
        ({'b': array([0.]), 'a': array([1.])}, {'order': ['b', 'a'], 'unit': 'm'})
    """
    arrays = load_arrays(content)
    about = json.loads(read_metadata(content)["about"])
    return {name: np.array(arrays[name]) for name in about["order"]}, about
