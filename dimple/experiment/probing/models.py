"""The network or the series of checkpoints that a probe request names, ready to be measured."""

from collections.abc import Iterator
from typing import final

import torch
from torch import nn

from dimple.data import Images, load_images
from dimple.errors import UsageError
from dimple.experiment.probing.config import ProbeRequest
from dimple.networks import build_model, frozen, load_weights, matched
from dimple.protocols import Progress
from dimple.runs import Checkpoints
from dimple.tensors import generator
from dimple.training import Standard

DIGITS_TRAINING = Standard(steps=150, lr=3e-3)


@final
class Single:
    """One network as a trajectory of one step."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        yield 0, self.network

    def __len__(self) -> int:
        return 1


def load_trajectory(
    request: ProbeRequest, images: Images, device: torch.device, progress: Progress
) -> Single | Checkpoints:
    """The frozen networks that the request asks for, checked against the images.

    Raises:
        UsageError: if no weights are named for a network that cannot be trained on the spot.
        ModelError: if the network cannot take these images, or has another number of classes.
    """

    def fit(network: nn.Module) -> nn.Module:
        return matched(network, images.shape, len(images.classes), request.model, request.data)

    if request.checkpoints is not None:
        network = fit(build_model(request.model))
        return Checkpoints.glob(request.checkpoints, network, request.state_key)
    network = fit(build_model(request.model, generator(request.seed, "network")))
    if request.weights is not None:
        load_weights(network, request.weights, request.state_key)
    elif request.model == "digits_convnet" and request.data == "digits":
        train_digits(network.to(device), progress)
    elif ":" not in request.model:
        raise UsageError(
            f"--model {request.model} has no weights of its own; name a file with --weights, or a series with "
            "--checkpoints"
        )
    return Single(frozen(network))


def train_digits(network: nn.Module, progress: Progress) -> None:
    """Train on the bundled digits, full batch: a few seconds."""
    training = load_images("digits", "train")
    device = next(network.parameters()).device
    record_at = list(range(0, DIGITS_TRAINING.steps + 1, 10))
    with progress("train", len(record_at)) as advance:
        x, y = training.x.to(device), training.y.to(device)
        DIGITS_TRAINING.fit(network, x, y, record_at, lambda *_: advance())
