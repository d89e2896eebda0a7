"""Training on the adversarial samples of a first network, labeled with the class that it takes them for."""

import copy
import dataclasses
from typing import Literal, final

import torch
from torch import Tensor, nn

from dimple.errors import SceneError
from dimple.settings import Flag, Repeats, settings
from dimple.tensors import chunks
from dimple.training.objectives.base import Batch, FirstTraining, Objective, count_classes, evaluation_mode
from dimple.training.objectives.losses import LOSSES, mean_loss
from dimple.training.objectives.perturbed import PerturbedObjective
from dimple.training.objectives.standard import Standard
from dimple.training.schedules import Stop

# Samples that are perturbed at once.
CHUNK_SIZE = 512


@final
@settings
class Mislabeled(PerturbedObjective):
    """Cross-entropy on samples whose labels are only right for a first network.

    The first network has the architecture of the second and other initial weights, and is trained on the given samples.
    Each sample is then moved by projected gradient descent of the first network's loss for a target class, and the
    target becomes its label. The second network is trained on nothing else.

    Args:
        norm: norm of the perturbation, `l2` or `linf`.
        eps: largest norm.
        steps: gradient steps of the search for the perturbation.
        step_size: norm of each of them; null for eps if it is the only one, and for 2.5 eps / steps otherwise.
        random_start: whether the search starts at a random point of the ball.
        restrict: `on` or `off` the tangent space of the data, or `none`.
        targets: `random` classes, drawn from all with equal probability, the own one included, so that labels and
            samples are independent; or the `next` class, `(y + 1) mod K`.
        start: what is perturbed: the `data`; or uniform `noise` in the bounds, or in the bounding box of the data. With
            `errors` nothing is: the control that trains on the samples that the first network gets wrong, unperturbed,
            with the labels that it gives them.
        first: objective of the first network.
        first_stop: the end of its training; null for that of the second.

    Reference: Ilyas et al. 2019, section 3.2 (`data`); Wallace 2019, in the discussion of that paper (`errors`); Kumano
    et al. 2024 (`noise`).
    """

    steps: Repeats = 100
    random_start: Flag = False
    targets: Literal["random", "next"] = "random"
    start: Literal["data", "noise", "errors"] = "data"
    first: Objective = Standard()
    first_stop: Stop | None = None

    def __post_init__(self) -> None:
        if self.start == "noise" and (self.targets, self.restrict) != ("random", "none"):
            raise SceneError("start is noise, which has no class and no tangent space; it needs targets random")

    @property
    def needs_tangents(self) -> bool:
        return self.restrict != "none" or self.first.needs_tangents

    def prepare(self, network: nn.Module, data: Batch, train_first: FirstTraining) -> Batch:
        stream = data.generator()
        first = train_first(redraw_weights(network, stream), self.first, self.first_stop)
        with evaluation_mode(first):
            x, y = self._errors(first, data) if self.start == "errors" else self._perturbed(first, data, stream)
        return dataclasses.replace(data, x=x, y=y, basis=None)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        return mean_loss("cross_entropy", network(batch.x), batch.y)

    def _errors(self, first: nn.Module, data: Batch) -> tuple[Tensor, Tensor]:
        """Return the samples that the first network gets wrong, with its predictions."""
        with torch.no_grad():
            predicted = torch.cat([first(data.x[part]).argmax(1) for part in chunks(len(data.x), CHUNK_SIZE)])
        wrong = predicted != data.y
        if not bool(wrong.any()):
            raise SceneError(
                f"training.objective.start is errors, and the first network makes none on {len(data.x)} samples; "
                "end its training earlier by first_stop"
            )
        return data.x[wrong], predicted[wrong]

    def _perturbed(self, first: nn.Module, data: Batch, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return the samples or the noise, moved to their targets, and the targets."""
        count = count_classes(first, data.x)
        x = data.x
        if self.start == "noise":
            box = None if data.bounds is None else data.bounds.for_samples(x)
            low, high = (x.amin(0), x.amax(0)) if box is None else (box.low, box.high)
            x = low + (high - low) * torch.rand(x.shape, generator=stream, dtype=x.dtype).to(x)
        targets = (data.y + 1) % count
        if self.targets == "random":
            targets = torch.randint(count, data.y.shape, generator=stream).to(data.y)
        moved = dataclasses.replace(data, x=x, y=targets, generator=lambda: stream)
        return torch.cat([self._approach(first, moved.select(part)) for part in chunks(len(x), CHUNK_SIZE)]), targets

    def _approach(self, first: nn.Module, batch: Batch) -> Tensor:
        """Return the samples moved to where the first network's loss for their targets is small."""
        return self.perturb(first, batch, lambda scores: -LOSSES["cross_entropy"](scores, batch.y)).detach()


def redraw_weights(network: nn.Module, stream: torch.Generator) -> nn.Module:
    """Return a copy with other initial weights of the same distribution, by permutations.

    The units of a layer have independent, identically distributed weights at the start. So the weights from one input
    may be given to the units in any order: each input of each layer gets its own. Biases keep theirs.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> other = redraw_weights(network, torch.Generator())
        >>> bool((other[0].weight.sort(0).values == network[0].weight.sort(0).values).all())
        True
    """
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                order = torch.rand(parameter.shape, generator=stream).argsort(0).to(parameter.device)
                parameter.copy_(parameter.gather(0, order))
    return other
