"""The network or the series of checkpoints that a probe request names, ready to be measured."""

from collections.abc import Iterator
from typing import final

import torch
from torch import nn

from dimple.data import Images, load_images
from dimple.errors import ModelError, UsageError
from dimple.experiment.request import ProbeRequest
from dimple.networks import build_model, frozen, load_weights
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
    if request.checkpoints is not None:
        series = Checkpoints.glob(request.checkpoints, request.model)
        require_fit(next(iter(series))[1], images, request)
        return series
    network = build_model(request.model)
    require_fit(frozen(network), images, request)
    if request.weights is not None:
        load_weights(network, request.weights)
    elif request.model == "digits_convnet" and request.data == "digits":
        network = train_digits(request, device, progress)
    elif ":" not in request.model:
        raise UsageError(
            f"--model {request.model} has no weights of its own; name a file with --weights, or a series with "
            "--checkpoints"
        )
    return Single(frozen(network))


def require_fit(network: nn.Module, images: Images, request: ProbeRequest) -> None:
    """Refuse a network that cannot answer for these images, before any work is done."""
    x, _ = images.batch(torch.arange(1))
    try:
        with torch.no_grad():
            scores = network(x)
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        shape = " x ".join(map(str, x.shape[1:]))
        raise ModelError(
            f"--model {request.model} cannot take the images of --data {request.data}, {shape} ({reason}); "
            "choose a network for this data"
        ) from None
    if scores.shape != (1, len(images.classes)):
        raise ModelError(
            f"--model {request.model} gives scores of shape {tuple(scores.shape[1:])}; --data {request.data} has "
            f"{len(images.classes)} classes"
        )


def train_digits(request: ProbeRequest, device: torch.device, progress: Progress) -> nn.Module:
    """The small convolutional network, trained on the bundled digits: full batch, a few seconds."""
    training = load_images("digits", "train")
    x, y = training.batch(torch.arange(len(training)))
    torch_state = torch.get_rng_state()
    torch.random.set_rng_state(generator(request.seed, "digits network").get_state())
    network = build_model(request.model).to(device)
    torch.random.set_rng_state(torch_state)
    record_at = list(range(0, DIGITS_TRAINING.steps + 1, 10))
    with progress("train", len(record_at)) as advance:
        DIGITS_TRAINING.fit(network, x.to(device), y.to(device), record_at, lambda *_: advance())
    return network
