"""Networks to be measured: one network, or a series of its checkpoints, checked against the images."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import torch
from safetensors.numpy import save as save_arrays
from torch import nn

import dimple
from dimple.data import Images, Points, load_images
from dimple.errors import ModelError, RunError, UsageError
from dimple.experiment.probing.config import UNTRAINED, ProbeConfig, read_config
from dimple.experiment.provenance import describe_device
from dimple.experiment.run import Run
from dimple.locations import cache_folder, fetched_weights, has_own_weights, list_weights, require_shape
from dimple.names import DIGITS_MODEL
from dimple.networks import NormalizedModel, build_model, check_compatible, freeze, load_weights
from dimple.networks.load import find_weights_file
from dimple.networks.module_network import FACTORIES
from dimple.networks.wrappers import LogProbabilities, ReversedChannels
from dimple.object_reference import imported_objects, parse_reference
from dimple.protocols import Progress
from dimple.runs import Checkpoints
from dimple.runs.atomic_io import write_bytes
from dimple.settings import format_value
from dimple.tensors import generator
from dimple.training import Adam, Stop, Training

DIGITS_TRAINING = Training(optimizer=Adam(lr=3e-3), stop=Stop(steps=150))


@final
class SingleNetwork:
    """One network as a trajectory of one step; `state_dict` is the place of its weights in their file, or ""."""

    steps: Sequence[int] = (0,)

    def __init__(self, network: nn.Module, state_dict: str = "") -> None:
        self._network = network
        self.state_dict = state_dict

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        yield 0, self._network

    def __len__(self) -> int:
        return 1

    def network(self, step: int) -> nn.Module:
        """Return the network."""
        return self._network


def load_trajectory(
    config: ProbeConfig, samples: Images | Points, device: torch.device, progress: Progress
) -> SingleNetwork | Checkpoints:
    """Return the frozen networks that a configuration names, checked against the samples.

    Raises:
        UsageError: if a normalization does not fit.
        ModelError: if the network cannot take these samples, or has another number of classes.
    """
    file = weights_file(config)
    stream = None if config.checkpoints is not None else generator(config.seed, "network")
    network = build_model(
        config.model,
        stream,
        shape=samples.shape,
        classes=len(samples.classes),
        weights=first_checkpoint(config) or file,
        state_dict_key=config.state_dict_key,
    )
    network = prepare(network, config, samples)
    if config.checkpoints is not None:
        return Checkpoints.from_glob(config.checkpoints, network, config.state_dict_key)
    state_dict = ""
    if file is not None:
        state_dict = load_weights(network, file, config.state_dict_key)
    elif config.weights != UNTRAINED and not has_own_weights(config.model):
        load_digits_network(network.to(device), progress)
    return SingleNetwork(freeze(network), state_dict)


def weights_file(config: ProbeConfig) -> Path | None:
    """Return the weights file of a single network; None for one that is trained here or brings its weights."""
    if config.checkpoints is not None or config.weights == UNTRAINED:
        return None
    return fetched_weights(config.model) if config.weights is None else find_weights_file(config.weights)


def first_checkpoint(config: ProbeConfig) -> str | None:
    """Return one file of a series, whose sizes the network takes."""
    return None if config.checkpoints is None else list_weights(config.checkpoints)[0]


def prepare(network: nn.Module, config: ProbeConfig, samples: Images | Points) -> nn.Module:
    """Return a network as a map from samples to scores: its output, its normalization and its order of channels.

    Raises:
        UsageError: if a normalization or an order of channels does not fit.
        ModelError: if the network cannot take these samples, or has another number of classes.
    """
    shape = samples.shape
    require_shape(config.model, shape, config.data)
    if config.mean is not None:
        network = normalize(network, config, shape)
    if config.channels == "bgr":
        if len(shape) != 3 or shape[0] != 3:
            raise UsageError(f"--channels is bgr, and the samples of --data {config.data} have no three channels")
        network = ReversedChannels(network)
    if config.scores in ("probabilities", "log_probabilities"):
        network = LogProbabilities(network, are_logarithms=config.scores == "log_probabilities")
    return check_compatible(network, shape, len(samples.classes), config.model, config.data)


def normalize(network: nn.Module, config: ProbeConfig, shape: tuple[int, ...]) -> nn.Module:
    """Return the network behind the normalization of the configuration."""
    mean = config.mean or ()
    std = config.std or ()
    source = parse_reference(config.model).source
    is_own = isinstance(network, NormalizedModel)
    if source == "robustbench" or (is_own and source in ("file", "module")):
        raise UsageError(f"--mean is given, and --model {config.model} has a normalization of its own; leave it out")
    if len(mean) not in (1, shape[0]):
        kind = "channels" if len(shape) == 3 else "coordinates"
        raise UsageError(f"--mean has {len(mean)} numbers, and the data have {shape[0]} {kind}; give one for each")
    # That of a built-in network, or of a repository of the hub, is a default.
    inner = network.module if isinstance(network, NormalizedModel) else network
    return NormalizedModel(mean, std, inner, axes=len(shape))


def read_allowed_config(run: Run) -> tuple[ProbeConfig, dict[str, str]]:
    """Return the configuration of a measurement whose network may be built, and the check sums of network and data.

    Raises:
        RunError: if it is no configuration, or names code of a file that was not allowed.
    """
    config, checksums = read_config(ProbeConfig, run.settings, run.settings_path)
    reference = parse_reference(config.model)
    is_code = reference.source in ("file", "module")
    if is_code and f"{reference.module}:{reference.name}" not in FACTORIES and reference.text not in imported_objects:
        file = reference.place if reference.source == "file" else f"{reference.place}.py"
        raise RunError(
            f"{run.path}: measures {format_value(config.model)}, which is code that was not allowed; to trust and run "
            f"it, call dimple.allow_code({file!r}), give --allow-code {file}, or measure again"
        )
    return config, checksums


def load_digits_network(network: nn.Module, progress: Progress) -> None:
    """Give the digits network its weights: those in the user's cache, or else trained ones, which are then kept there.

    The file is that of these initial weights, this training, device and version, so that the numbers are the same.
    """
    device = next(network.parameters()).device
    initial = save_arrays({name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()})
    facts = (repr(DIGITS_TRAINING), describe_device(device), dimple.__version__, torch.__version__)
    key = hashlib.sha256("\n".join(facts).encode() + initial).hexdigest()[:24]
    file = cache_folder() / "networks" / f"{DIGITS_MODEL}-{key}.safetensors"
    with contextlib.suppress(ModelError):
        load_weights(network, file)
        return
    train_digits(network, progress)
    trained = save_arrays({name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()})
    # A cache that cannot be written only costs the next training.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, trained)


def train_digits(network: nn.Module, progress: Progress) -> None:
    """Train a network on the bundled digits, full batch, which takes a few seconds."""
    training = load_images("digits", "train")
    device = next(network.parameters()).device
    record_at = list(range(0, DIGITS_TRAINING.last_step(len(training.x)) + 1, 10))
    with progress("train", len(record_at)) as advance:
        x = training.x.to(device)
        y = training.y.to(device)
        DIGITS_TRAINING.fit(network, x, y, record_at, lambda *_: advance())
