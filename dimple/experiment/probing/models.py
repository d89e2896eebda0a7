"""Networks to be measured: one network, or a series of its checkpoints, checked against the images."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import final

import torch
from safetensors.numpy import save as save_arrays
from torch import nn

import dimple
from dimple.data import Images, load_images
from dimple.errors import ModelError, RunError, UsageError
from dimple.experiment.probing.config import UNTRAINED, ProbeConfig, read_config
from dimple.experiment.provenance import describe_device
from dimple.experiment.run import Run
from dimple.locations import cache_folder
from dimple.names import DIGITS_MODEL
from dimple.networks import NormalizedModel, build_model, check_compatible, freeze, load_weights
from dimple.networks.load import IMPORTED_MODELS
from dimple.networks.module_network import FACTORIES
from dimple.protocols import Progress
from dimple.runs import Checkpoints
from dimple.runs.atomic_io import write_bytes
from dimple.settings import format_value
from dimple.tensors import generator
from dimple.training import Adam, Stop, Training

DIGITS_TRAINING = Training(optimizer=Adam(lr=3e-3), stop=Stop(steps=150))


@final
class SingleNetwork:
    """One network as a trajectory of one step."""

    steps: Sequence[int] = (0,)

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        yield 0, self._network

    def __len__(self) -> int:
        return 1

    def network(self, step: int) -> nn.Module:
        """Return the network."""
        return self._network


def load_trajectory(
    config: ProbeConfig, images: Images, device: torch.device, progress: Progress
) -> SingleNetwork | Checkpoints:
    """Return the frozen networks that a configuration names, checked against the images.

    Raises:
        UsageError: if a normalization does not fit.
        ModelError: if the network cannot take these images, or has another number of classes.
    """

    def check(network: nn.Module) -> nn.Module:
        network = check_compatible(network, images.shape, len(images.classes), config.model, config.data)
        return network if config.mean is None else normalize(network, config, images.shape[0])

    if config.checkpoints is not None:
        network = check(build_model(config.model))
        return Checkpoints.from_glob(config.checkpoints, network, config.state_dict_key)
    network = check(build_model(config.model, generator(config.seed, "network")))
    if config.weights == UNTRAINED:
        return SingleNetwork(freeze(network))
    if config.weights is not None:
        load_weights(network, config.weights, config.state_dict_key)
    else:
        load_digits_network(network.to(device), progress)
    return SingleNetwork(freeze(network))


def normalize(network: nn.Module, config: ProbeConfig, channels: int) -> nn.Module:
    """Return the network behind the normalization of the configuration."""
    mean = config.mean or ()
    std = config.std or ()
    if isinstance(network, NormalizedModel):
        raise UsageError(f"--mean is given, and --model {config.model} has a normalization of its own; leave it out")
    if len(mean) not in (1, channels):
        raise UsageError(f"--mean has {len(mean)} numbers, and the images have {channels} channels; give one for each")
    return NormalizedModel(mean, std, network)


def read_allowed_config(run: Run) -> tuple[ProbeConfig, dict[str, str]]:
    """Return the configuration of a measurement whose network may be built, and the check sums of network and data.

    Raises:
        RunError: if it is no configuration, or names code of a file that was not allowed.
    """
    config, checksums = read_config(ProbeConfig, run.settings, run.settings_path)
    if ":" in config.model and config.model not in FACTORIES.keys() | IMPORTED_MODELS:
        file = f"{config.model.partition(':')[0]}.py"
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
