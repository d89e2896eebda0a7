"""Arrays as safetensors files in memory."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
