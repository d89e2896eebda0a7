"""Training with a pool of adversarial examples for the output of each layer."""

import dataclasses
from typing import Annotated, Literal, TypeAlias, final

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from dimple.attacks.deepfool import deepfool
from dimple.attacks.search import SearchProblem
from dimple.boundary import Boundary
from dimple.errors import SceneError
from dimple.settings import Count, NonNegative, Passes, settings
from dimple.tensors import broadcast_per_sample
from dimple.training.objectives.base import Batch, FirstTraining, Objective, evaluation_mode
from dimple.training.objectives.losses import LossName, mean_loss

PoolLayer: TypeAlias = Literal["input", "all"] | Count


@final
@settings
class HardNegative(Objective):
    """The mean loss of the samples, plus that of adversarial examples for the outputs of chosen layers.

    Each layer has its own pool. In each step a few random entries of a pool are replaced: the outputs of the layer at
    samples of the batch are moved by DeepFool, in l2, to the boundary of the layers above, and keep the right labels;
    where DeepFool does not reach the boundary, the old entry stays.
    As many entries as the batch has samples, drawn at random, then train the layers above. A pool begins with the
    unperturbed outputs at random samples. Outputs in a pool are those of the time when they were made.

    Args:
        layers: `input`, the number of a layer from 1, or `all`: the input and every layer but the last. The paper
            reports gains only with pools for the outputs of layers; `[input]` alone is its control.
        pool_size: entries of each pool.
        refreshed: entries of each pool that a step replaces.
        weight: weight of the mean loss over the pools; that of the samples is 1.
        max_passes: largest number of passes of the search for one entry.
        loss_function: the loss, as of `standard`.

    Reference: Szegedy et al. 2014, section 4.1. Sizes and weights are not given there.
    """

    layers: Annotated[tuple[PoolLayer, ...], MinLen(1)] = ("all",)
    pool_size: Count = 1000
    refreshed: Count = 10
    weight: NonNegative = 1.0
    max_passes: Passes = 20.0
    loss_function: LossName = "cross_entropy"

    def prepare(self, network: nn.Module, data: Batch, train_first: FirstTraining) -> Batch:
        rows = torch.randint(len(data.x), (self.pool_size,), generator=data.generator()).to(data.x.device)
        memory: dict[str, Tensor] = {}
        with evaluation_mode(network), torch.no_grad():
            for layer, (below, _) in self._splits(network).items():
                memory |= {f"{layer}/x": below(data.x[rows]).clone(), f"{layer}/y": data.y[rows].clone()}
        return dataclasses.replace(data, memory=memory)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        stream = batch.generator()
        terms = []
        for layer, (below, above) in self._splits(network).items():
            x = batch.memory[f"{layer}/x"]
            y = batch.memory[f"{layer}/y"]
            with evaluation_mode(network):
                self._refresh(below, Boundary(above, batch.bounds if layer == "input" else None), x, y, batch, stream)
            rows = torch.randint(len(x), (len(batch.x),), generator=stream).to(x.device)
            terms.append(mean_loss(self.loss_function, above(x[rows]), y[rows]))
        return mean_loss(self.loss_function, network(batch.x), batch.y) + self.weight * torch.stack(terms).mean()

    def _refresh(
        self, below: nn.Module, boundary: Boundary, x: Tensor, y: Tensor, batch: Batch, stream: torch.Generator
    ) -> None:
        """Replace entries of one pool by adversarial examples, or by the outputs themselves where they are errors.

        Where the search finds no boundary point, the old entry stays: the output itself is classified correctly.
        """
        count = min(self.refreshed, len(x))
        replaced = torch.randperm(len(x), generator=stream)[:count].to(x.device)
        rows = torch.randint(len(batch.x), (count,), generator=stream).to(x.device)
        with torch.no_grad():
            outputs = below(batch.x[rows])
        predicted = boundary.predict(outputs)
        found = deepfool(SearchProblem(boundary, outputs, predicted), self.max_passes)
        is_right = predicted == batch.y[rows]
        points = found.points.reshape(outputs.shape)
        negatives = torch.where(broadcast_per_sample(is_right, outputs), points, outputs)
        is_negative = found.found | ~is_right
        x[replaced[is_negative]] = negatives[is_negative]
        y[replaced[is_negative]] = batch.y[rows][is_negative]

    def _splits(self, network: nn.Module) -> dict[str, tuple[nn.Module, nn.Module]]:
        """Return the layers below and above each output that has a pool, by its name.

        Raises:
            SceneError: if the network is no sequence of modules, or has no layer of a given number.
        """
        if not isinstance(network, nn.Sequential):
            raise SceneError(
                f"training.objective.kind is hard_negative; it needs a sequence of layers, not {type(network).__name__}"
            )
        starts = [index for index, module in enumerate(network) if any(p.dim() > 1 for p in module.parameters())]
        cuts = {"input": 0} | {str(number): start for number, start in enumerate(starts[1:], start=1)}
        names = [str(layer) for layer in self.layers]
        names = [*cuts] if "all" in names else names
        for name in names:
            if name not in cuts:
                raise SceneError(f"training.objective.layers has {name}; the network has outputs {', '.join(cuts)}")
        return {name: (network[: cuts[name]], network[cuts[name] :]) for name in names}
