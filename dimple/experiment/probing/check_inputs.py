"""Refusal of what `probe` and `slice_network` cannot work with, before torch is loaded and before data are read."""

from pathlib import Path

from dimple.errors import Mistakes, UsageError
from dimple.experiment.probing.config import UNTRAINED, ProbeConfig
from dimple.locations import (
    dataset_path,
    list_weights,
    require_device_name,
    require_free_folder,
    require_model_name,
    require_run,
    require_shape,
    require_weights_file,
)
from dimple.names import DIGITS, DIGITS_MODEL, DIGITS_SHAPE


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
            dataset_path(config.data)
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
    elif config.weights not in (None, UNTRAINED):
        require_weights_file(config.weights)


def _require_match(config: ProbeConfig) -> None:
    """Refuse a network that takes no digits where the data are these, and one without weights."""
    if config.data == DIGITS:
        require_shape(config.model, DIGITS_SHAPE, DIGITS)
    is_trained_here = (config.model, config.data) == (DIGITS_MODEL, DIGITS)
    if config.weights is None and config.checkpoints is None and not is_trained_here:
        raise UsageError(
            f"--model {config.model} has no weights of its own; name a file with --weights, a series with "
            f"--checkpoints, or give --weights {UNTRAINED} to measure the network as it is built"
        )
