"""The concepts that the units of convolutions detect, and what is lost without these units."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional

from dimple.claims.experiments.agarwal2020.image_sets import both_right
from dimple.claims.experiments.agarwal2020.smoothness import activations, convolutions
from dimple.claims.experiments.base import Row
from dimple.claims.experiments.final_network import accuracy
from dimple.data.concept_images import ConceptImages, draw_concepts
from dimple.tensors import generator

# The settings of the authors: a unit is active at its top half percent of pixels, and detects a concept where the
# overlap with its mask is above .04; the diversity is that of its ten strongest images.
ACTIVE_FRACTION = 0.005
MIN_OVERLAP = 0.04
STRONGEST = 10
IMAGES_PER_CONCEPT = 20
# The fraction of the units of a layer that are ablated, and the draws of random ones.
ABLATED_FRACTION = 0.25
RANDOM_DRAWS = 5


@final
@dataclasses.dataclass(frozen=True)
class Dissection:
    """The overlap of the units of all convolutions with concepts.

    Attributes:
        overlap: `(U, K)`, by unit and concept, from 0 to 1.
        diversity: `(U,)`, the number of concepts among the strongest images of a unit over their number.
        layers: `(U,)`, the number of the convolution of a unit.
        is_low: `(K,)` bool, whether a concept is of low level.
    """

    overlap: Tensor
    diversity: Tensor
    layers: Tensor
    is_low: Tensor

    @property
    def low_overlap(self) -> Tensor:
        """The largest overlap with a concept of low level minus that with one of high level, `(U,)`."""
        return self.overlap[:, self.is_low].amax(1) - self.overlap[:, ~self.is_low].amax(1)


def dissect(network: nn.Module, images: ConceptImages) -> Dissection:
    """Return the overlap of each unit's most active pixels with the mask of each concept.

    Reference: Bau et al. 2017, Network dissection, section 2.
    """
    count = len(images.names)
    overlaps = []
    diversities = []
    layers = []
    for layer, output in enumerate(activations(network, images.x).values()):
        maps = functional.interpolate(output, size=images.x.shape[2:], mode="bilinear", align_corners=False)
        threshold = _upper_quantiles(maps)
        is_active = maps > threshold[:, None, None]
        is_inside = is_active & images.mask[:, None].to(maps.device)
        by_concept = torch.zeros(count, len(threshold), device=maps.device)
        inside = by_concept.index_add(0, images.concept.to(maps.device), is_inside.sum((2, 3)).float())
        area = torch.zeros(count).index_add(0, images.concept, images.mask.sum((1, 2)).float()).to(maps)
        union = area[:, None] + is_active.sum((0, 2, 3)) - inside
        overlaps.append((inside / union).T)
        strongest = maps.amax((2, 3)).topk(STRONGEST, dim=0).indices
        concepts = images.concept.to(maps.device)[strongest]
        diversities.append(torch.tensor([len(set(column.tolist())) for column in concepts.T]) / STRONGEST)
        layers.append(torch.full((len(threshold),), layer))
    is_low = torch.tensor([level == "low" for level in images.levels])
    return Dissection(torch.cat(overlaps).cpu(), torch.cat(diversities), torch.cat(layers), is_low)


def _upper_quantiles(maps: Tensor) -> Tensor:
    """Return the value that the most active pixels of each unit `(B, U, H, W)` exceed, `(U,)`."""
    values = maps.transpose(0, 1).flatten(1)
    rank = max(1, round(ACTIVE_FRACTION * values.shape[1]))
    return values.topk(rank, dim=1).values[:, -1]


def compare_concepts(robust: nn.Module, standard: nn.Module, x: Tensor, _y: Tensor, seed: int) -> Row:
    """Return the number and the level of the concepts that units detect, on as many concepts of either level.

    Columns, each with `_robust` and `_standard`: `concepts`, detected by a unit in the mean; `low_fraction`, of the
    detected ones that are of low level; `diversity`, of the ten strongest images of a unit; and `low_difference`,
    robust minus standard, `concepts_ratio` and `diversity_ratio`, robust over standard.
    """
    channels, height, width = x.shape[1:]
    images = draw_concepts((channels, height, width), IMAGES_PER_CONCEPT, generator(seed, "concepts"))
    images = dataclasses.replace(images, x=images.x.to(x))
    row = {}
    for name, network in (("robust", robust), ("standard", standard)):
        found = dissect(network, images)
        detected = found.overlap >= MIN_OVERLAP
        row[f"concepts_{name}"] = float(detected.sum(1).double().mean())
        low = float(detected[:, found.is_low].sum())
        row[f"low_fraction_{name}"] = low / float(detected.sum()) if bool(detected.any()) else float("nan")
        row[f"diversity_{name}"] = float(found.diversity.double().mean())
    return row | {
        "low_difference": row["low_fraction_robust"] - row["low_fraction_standard"],
        "concepts_ratio": _ratio(row["concepts_robust"], row["concepts_standard"]),
        "diversity_ratio": _ratio(row["diversity_robust"], row["diversity_standard"]),
    }


def _ratio(a: float, b: float) -> float:
    return a / b if b else float("nan")


def compare_ablations(robust: nn.Module, standard: nn.Module, x: Tensor, y: Tensor, seed: int) -> Row:
    """Return the accuracy that is lost without the units of low level, over the images that both have right.

    In the last convolution the quarter of the units with most overlap with concepts of low level over that with
    concepts of high level are set to zero, or all others are.

    Columns, each with `_robust` and `_standard`: `lost`, without these units; `lost_random`, without as many random
    ones; `left`, the accuracy with these units alone; and `excess_difference`, lost minus lost_random of the robust
    network minus that of the standard one.
    """
    channels, height, width = x.shape[1:]
    images = draw_concepts((channels, height, width), IMAGES_PER_CONCEPT, generator(seed, "concepts"))
    images = dataclasses.replace(images, x=images.x.to(x))
    x, y = both_right(robust, standard, x, y)
    stream = generator(seed, "ablated units")
    row = {}
    for name, network in (("robust", robust), ("standard", standard)):
        found = dissect(network, images)
        scores = found.low_overlap[found.layers == found.layers.max()]
        count = max(1, round(ABLATED_FRACTION * len(scores)))
        low = torch.zeros(len(scores), dtype=torch.bool)
        low[scores.topk(count).indices] = True
        random = [low[torch.randperm(len(low), generator=stream)] for _ in range(RANDOM_DRAWS)]
        row[f"lost_{name}"] = 1 - _accuracy_without(network, low, x, y)
        row[f"lost_random_{name}"] = sum(1 - _accuracy_without(network, units, x, y) for units in random) / RANDOM_DRAWS
        row[f"left_{name}"] = _accuracy_without(network, ~low, x, y)
    excess = {name: row[f"lost_{name}"] - row[f"lost_random_{name}"] for name in ("robust", "standard")}
    return row | {"excess_difference": excess["robust"] - excess["standard"]}


def _accuracy_without(network: nn.Module, units: Tensor, x: Tensor, y: Tensor) -> float:
    with ablated(network, units):
        return accuracy(network, x, y)


@contextlib.contextmanager
def ablated(network: nn.Module, units: Tensor) -> Iterator[None]:
    """Set units `(C,)` bool of the last convolution of a network to zero within the context."""
    _, last = convolutions(network)[-1]
    hook = last.register_forward_hook(lambda _module, _inputs, output: output * ~units.to(output.device)[:, None, None])
    try:
        yield
    finally:
        hook.remove()
