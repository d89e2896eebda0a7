"""The file of a snapshot: the weights of a network with their step and training loss."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from dimple.errors import RunError, printable
from dimple.runs.safetensors_io import read_metadata, to_safetensors
from dimple.runs.schema import MAKE_AGAIN
from dimple.settings import format_value

Loss = float | list[float]


def snapshot_bytes(state: Mapping[str, NDArray[Any]], step: int, loss: Loss) -> bytes:
    """Return the file of a snapshot, with one entry of metadata: more have no fixed order."""
    return to_safetensors(state, {"loss": json.dumps({"step": step, "loss": loss})})


def parse_snapshot(content: bytes, path: Path, step: int) -> tuple[dict[str, NDArray[Any]], Loss]:
    """Return the weights and the loss of a snapshot from the content of its file, which is empty if it is missing.

    Raises:
        RunError: if the file is missing or damaged, is that of another step, or has weights that are not finite.
    """
    try:
        arrays = load_arrays(content)
        entry = json.loads(read_metadata(content)["loss"])
        # Version 0.2 wrote the loss alone.
        stored_step, loss = (entry["step"], entry["loss"]) if isinstance(entry, dict) else (step, entry)
        losses = loss if isinstance(loss, list) else [loss]
        if not losses or not all(type(one) in (int, float) and not math.isinf(one) for one in losses):
            raise ValueError("its loss is no number")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path}: is not a readable snapshot ({error}); {MAKE_AGAIN}") from None
    if stored_step != step:
        raise RunError(f"{path}: is the snapshot of step {format_value(stored_step)}; {MAKE_AGAIN}")
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RunError(f"{path}: {printable(name)[:80]} holds nan or inf; {MAKE_AGAIN}")
        if isinstance(loss, list) and values.shape[:1] != (len(loss),):
            raise RunError(f"{path}: {printable(name)[:80]} has not one row for each of {len(loss)} losses")
    return arrays, loss
