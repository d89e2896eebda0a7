"""Refusal of what `probe` and `slice_network` cannot work with, before torch is loaded and before data are read."""

from pathlib import Path

from dimple.errors import Mistakes, UsageError
from dimple.experiment.probing.config import UNTRAINED, ProbeConfig
from dimple.locations import (
    dataset_path,
    has_own_weights,
    list_weights,
    require_device_name,
    require_free_folder,
    require_label_column,
    require_library,
    require_model_name,
    require_run,
    require_shape,
    require_weights_file,
)
from dimple.names import DIGITS, DIGITS_MODEL, DIGITS_SHAPE, FETCHED_MODELS, HUB, SIZED_ARCHITECTURES
from dimple.object_reference import parse_reference


def check_inputs(config: ProbeConfig, out: Path | str, device: str, force: bool) -> None:
    """Refuse models, data, weights, runs and folders that are not there, all of them at once.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: with one sentence for each mistake.
    """
    mistakes = Mistakes()
    with mistakes.collect():
        check_names(config, device)
    with mistakes.collect():
        require_free_folder(out, force)
    mistakes.raise_all()


def check_names(config: ProbeConfig, device: str) -> None:
    """Refuse models, data, weights, runs and devices that are not there, all of them at once.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: with one sentence for each mistake.
    """
    mistakes = Mistakes()
    if config.run is not None:
        with mistakes.collect():
            require_run(config.run)
    else:
        with mistakes.collect():
            require_model_name(config.model)
        with mistakes.collect():
            kind, path = dataset_path(config.data)
            if kind == "points" and path is not None:
                require_label_column(path, config.label)
            elif config.label is not None and kind != HUB:
                raise UsageError(f"--label names a column of points:FILE; leave it out for --data {config.data}")
        if not mistakes:
            with mistakes.collect():
                _require_match(config)
        with mistakes.collect():
            _require_weight_files(config)
    with mistakes.collect():
        require_device_name(device)
    mistakes.raise_all()


def _require_weight_files(config: ProbeConfig) -> None:
    if config.checkpoints is not None:
        list_weights(config.checkpoints)
    elif config.weights not in (None, UNTRAINED) and not config.weights.startswith(f"{HUB}:"):
        require_weights_file(config.weights)
    elif config.weights is not None and config.weights.startswith(f"{HUB}:"):
        require_library(parse_reference(config.weights, "weights"))


def _require_match(config: ProbeConfig) -> None:
    """Refuse a network that takes no digits where the data are these, and one without weights."""
    if config.data == DIGITS:
        require_shape(config.model, DIGITS_SHAPE, DIGITS)
    is_trained_here = (config.model, config.data) == (DIGITS_MODEL, DIGITS)
    name = parse_reference(config.model).name
    if name in SIZED_ARCHITECTURES and config.weights in (None, UNTRAINED) and config.checkpoints is None:
        raise UsageError(f"--model {config.model} takes its sizes from a weights file; name one with --weights")
    is_given = config.weights is not None or config.checkpoints is not None
    if not is_given and not is_trained_here and not has_own_weights(config.model):
        fetched = f", get them by dimple fetch {config.model}" if config.model in FETCHED_MODELS else ""
        raise UsageError(
            f"--model {config.model} has no weights of its own; name a file with --weights, a series with "
            f"--checkpoints{fetched}, or give --weights {UNTRAINED} to measure the network as it is built"
        )
