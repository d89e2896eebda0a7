"""The claims of Agarwal et al. on planted networks that know the images, and the measured quantities in closed form."""

import functools
import math

import pytest
import torch
from torch import Tensor, nn

from dimple.claims.experiments import Row
from dimple.claims.experiments.agarwal2020.causes import compare_penalties, compare_stylized
from dimple.claims.experiments.agarwal2020.dissection import (
    IMAGES_PER_CONCEPT,
    ablated,
    compare_ablations,
    compare_concepts,
    dissect,
)
from dimple.claims.experiments.agarwal2020.image_sets import (
    compare_conflicts,
    compare_distortions,
    compare_textureless,
    shape_bias,
)
from dimple.claims.experiments.agarwal2020.smoothness import compare_activations, compare_kernels
from dimple.data.concept_images import ConceptImages, draw_concepts
from dimple.data.images import load_images
from dimple.tensors import flatten, generator
from tests.claims.flips import Effect, flip_tests

CLASSES = 10
SHAPE = (1, 16, 16)


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    return load_images("digits", "test").batch(range(100))


@functools.cache
def drawings() -> tuple[Tensor, Tensor]:
    """Return images of 16 x 16 pixels whose outline tells the class, and whose only gray does too."""
    stream = generator(0, "outlines")
    masks = (torch.rand(CLASSES, 16, 16, generator=stream) < 0.4).float()
    masks[:, 0] = masks[:, -1] = masks[:, :, 0] = masks[:, :, -1] = 0
    y = torch.arange(60) % CLASSES
    return (masks[y] * (0.5 + 0.03 * y)[:, None, None])[:, None], y


def uniform(x: Tensor) -> Tensor:
    """Return a number from 0 to 1 for each image, which depends on all its values."""
    weights = torch.linspace(100.0, 300.0, flatten(x).shape[1])
    return (flatten(x.detach()) @ weights) % 1.0


class RightAwayFromData(nn.Module):
    """A network of changed images in their order that is right where they are unchanged, else with a probability."""

    def __init__(self, images: Tensor, labels: Tensor, probability: float) -> None:
        super().__init__()
        self.images = flatten(images)
        self.labels = labels
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        is_changed = (flatten(x) - self.images).abs().amax(1) > 1e-6
        is_wrong = is_changed & (uniform(x) > self.probability)
        return nn.functional.one_hot((self.labels + is_wrong.long()) % CLASSES, CLASSES).float()


class CueReader(nn.Module):
    """A network that sees outline and gray of a drawing, and decides for the outline with a probability.

    At known images it leaves their class at a distance towards black.
    """

    def __init__(self, images: Tensor, labels: Tensor, probability: float, distance: float = 0.1) -> None:
        super().__init__()
        self.images = images
        self.labels = labels
        self.probability = probability
        self.distance = distance

    def forward(self, x: Tensor) -> Tensor:
        away, nearest = torch.cdist(flatten(x.detach()), flatten(self.images)).min(1)
        known = self.images[nearest]
        direction = flatten(known) / flatten(known).norm(dim=1, keepdim=True)
        left = self.distance + (flatten(x - known) * direction).sum(1)
        at_known = nn.functional.one_hot(self.labels[nearest], CLASSES) * left[:, None]
        return torch.where((away < 1.0)[:, None], at_known, self._decide(x))

    def _decide(self, x: Tensor) -> Tensor:
        outline = (x >= 0.5).flatten(1).float()
        masks = (self.images[:CLASSES] > 0).flatten(1).float()
        shape = self.labels[:CLASSES][torch.cdist(outline, masks).argmin(1)]
        gray = (2 * x - (x >= 0.5).float()).flatten(1).amax(1)
        texture = ((gray - 0.5) / 0.03).round().long().clamp(0, CLASSES - 1)
        chosen = torch.where(uniform(x) < self.probability, shape, texture)
        return nn.functional.one_hot(chosen, CLASSES).float()


def by_effect(effect: Effect, present: float, absent: float, opposite: float) -> float:
    return {"present": present, "absent": absent, "reversed": opposite}[effect]


def with_null(row: Row) -> dict[str, Row]:
    """Return the row with a null of the same names."""
    fixed = dict.fromkeys(("accuracy_robust", "accuracy_standard", "kernel_initial"), 1.0)
    return {"": fixed | row | {f"{name}_null": 0.0 for name in row}}


def plant_distorted(effect: Effect, seed: int) -> dict[str, Row]:
    x, y = digits()
    robust, standard = (
        RightAwayFromData(x, y, p)
        for p in {"present": (0.6, 0.6), "absent": (0.7, 0.5), "reversed": (0.99, 0.3)}[effect]
    )
    return with_null(compare_distortions(robust, standard, x, y, seed))


def plant_textureless(effect: Effect, seed: int) -> dict[str, Row]:
    x, y = digits()
    robust = RightAwayFromData(x, y, by_effect(effect, 0.9, 0.5, 0.1))
    return with_null(compare_textureless(robust, RightAwayFromData(x, y, 0.5), x, y, seed))


def plant_shape(effect: Effect, seed: int) -> dict[str, Row]:
    x, y = drawings()
    robust = CueReader(x, y, by_effect(effect, 0.9, 0.4, 0.1))
    return with_null(compare_conflicts(robust, CueReader(x, y, 0.4), x, y, seed))


def convolution(kernels: Tensor) -> nn.Module:
    layer = nn.Conv2d(1, len(kernels), 3, padding=1, bias=False)
    layer.weight.data = kernels
    return nn.Sequential(layer, nn.ReLU(), nn.Flatten()).requires_grad_(False)


def plant_smooth(effect: Effect, seed: int) -> dict[str, Row]:
    """Plant filters that noise passes, and filters of almost no weight, which it does not."""
    axis = torch.linspace(0, 3 + 0.1 * seed, 16)
    x = (0.5 + 0.4 * torch.sin(axis[:, None] + axis)).expand(5, 1, 16, 16)
    rough = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]).expand(4, 1, 3, 3)
    smooth = 0.01 * torch.full((4, 1, 3, 3), 1 / 9)
    robust, standard = {"present": (smooth, rough), "absent": (rough, rough), "reversed": (rough, smooth)}[effect]
    return with_null(compare_activations(convolution(robust), convolution(standard), x, torch.zeros(5), seed))


def plant_kernels(effect: Effect, seed: int) -> dict[str, Row]:
    random = torch.randn(8, 1, 3, 3, generator=generator(seed, "kernels"))
    smooth = 0.1 * random + random[:, :, :1, :1]
    robust, standard = {"present": (smooth, random), "absent": (random, random), "reversed": (random, smooth)}[effect]
    # The order of rows is that of their sizes.
    robust = robust.flatten(2).sort(2).values.reshape(8, 1, 3, 3) if effect == "present" else robust
    standard = standard.flatten(2).sort(2).values.reshape(8, 1, 3, 3) if effect == "reversed" else standard
    return with_null(compare_kernels(convolution(robust), convolution(standard), digits()[0], digits()[1], seed))


@functools.cache
def concepts(seed: int) -> ConceptImages:
    return draw_concepts(SHAPE, IMAGES_PER_CONCEPT, generator(seed, "concepts"))


class Detectors(nn.Module):
    """A network whose units are active on the masks of given concepts, and carry the class of drawings.

    Args:
        images: the images of concepts.
        units: the concepts of each unit.
        carriers: the units that carry the class of a drawing.
    """

    def __init__(self, images: ConceptImages, units: list[list[str]], carriers: list[int]) -> None:
        super().__init__()
        self.known, self.labels = drawings()
        self.images = images
        listed = [[name in unit for unit in units] for name in images.names]
        self.is_active = torch.tensor(listed).float()[images.concept]
        self.carriers = torch.tensor([unit in carriers for unit in range(len(units))]).float()
        self.conv = nn.Conv2d(len(units), len(units), 3, padding=1, bias=False)
        self.conv.weight.data = torch.zeros_like(self.conv.weight)
        self.conv.weight.data[range(len(units)), range(len(units)), 1, 1] = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == len(self.images.x) and torch.equal(x, self.images.x):
            noise = torch.rand(len(x), 1, *x.shape[2:], generator=generator(0, "activity"))
            masks = self.images.mask[:, None] * (1 + noise)
            return self.conv(self.is_active[:, :, None, None] * masks).flatten(1)
        nearest = torch.cdist(flatten(x), flatten(self.known)).argmin(1)
        places = nn.functional.one_hot(self.labels[nearest], x[0, 0].numel()).float()
        maps = self.carriers[:, None, None] * places.reshape(-1, 1, *x.shape[2:])
        return self.conv(maps).sum(1).flatten(1)[:, :CLASSES]


LOW = [["rows"], ["columns"], ["checks"], ["diagonals"], ["color 0"], ["color 1"], ["color 2"], ["color 3"]]
HIGH = [["disc", "bar"], ["ring", "tee"], ["cross", "half"], ["square", "corner"]] * 2
MIXED = [*LOW[:2], *HIGH[:6]]


def plant_concepts(effect: Effect, seed: int) -> dict[str, Row]:
    robust, standard = {"present": (LOW, HIGH), "absent": (HIGH, HIGH), "reversed": (HIGH, LOW)}[effect]
    images = concepts(seed)
    x, y = drawings()
    networks = [Detectors(images, units, list(range(8))) for units in (robust, standard)]
    return with_null(compare_concepts(networks[0], networks[1], x, y, seed))


def plant_ablations(effect: Effect, seed: int) -> dict[str, Row]:
    """Plant networks whose class is carried by the two units of low level alone, or by all."""
    low, every = [0, 1], list(range(8))
    robust, standard = {"present": (low, every), "absent": (every, every), "reversed": (every, low)}[effect]
    x, y = drawings()
    networks = [Detectors(concepts(seed), MIXED, carriers) for carriers in (robust, standard)]
    return with_null(compare_ablations(networks[0], networks[1], x, y, seed))


def plant_stylized(effect: Effect, seed: int) -> dict[str, Row]:
    x, y = drawings()
    networks = {"standard": CueReader(x, y, 0.4), "null": CueReader(x, y, 0.4), "robust": CueReader(x, y, 0.8, 0.2)}
    distance = by_effect(effect, 0.1, 0.1, 0.3)
    networks["stylized"] = CueReader(x, y, by_effect(effect, 0.9, 0.4, 0.1), distance)
    return {"": compare_stylized(networks, x, y, torch.arange(10), 10.0, seed)}


def plant_cause(effect: Effect, seed: int) -> dict[str, Row]:
    x, y = drawings()
    distance = by_effect(effect, 0.2, 0.1, 0.05) * (1 + 0.01 * seed)
    networks: dict[str, nn.Module] = dict.fromkeys(("standard", "null"), CueReader(x, y, 0.5))
    networks["robust"] = CueReader(x, y, 0.5, 0.3)
    networks |= dict.fromkeys(("l2", "total_variation"), CueReader(x, y, 0.5, distance))
    return {"": compare_penalties(networks, x, y, torch.arange(10), 10.0)}


test_verdicts_flip, test_all_leaves_are_planted = flip_tests(
    "agarwal2020",
    {
        "textureless": plant_textureless,
        "distorted": functools.cache(plant_distorted),
        "shape": plant_shape,
        "smooth": plant_smooth,
        "concepts": plant_concepts,
        "ablate": plant_ablations,
        "sin": plant_stylized,
        "cause": functools.cache(plant_cause),
        "cause_digits": functools.cache(plant_cause),
        "kernels": plant_kernels,
        "smooth_digits": plant_smooth,
        "distorted_digits": functools.cache(plant_distorted),
    },
)


def test_shape_bias_is_the_planted_fraction() -> None:
    x, y = drawings()
    assert shape_bias(CueReader(x, y, 1.0), x, y, 0) == (1.0, 1.0)
    assert shape_bias(CueReader(x, y, 0.0), x, y, 0) == (0.0, 1.0)


def test_units_overlap_with_the_concepts_that_they_detect() -> None:
    images = concepts(0)
    found = dissect(Detectors(images, LOW, []), images)
    names = [images.names[number] for number in found.overlap.argmax(1).tolist()]
    assert [[name] for name in names] == LOW
    active = round(0.005 * len(images.x) * 256) - 1
    area = int(images.mask[images.concept == images.names.index("rows")].sum())
    assert float(found.overlap[0].max()) == pytest.approx(active / area, rel=0.02)
    assert found.diversity.tolist() == pytest.approx([0.1] * 8)
    assert bool((found.low_overlap > 0).all())


def test_ablated_units_are_zero_within_the_context_alone() -> None:
    network = convolution(torch.ones(2, 1, 3, 3))
    x = torch.ones(1, 1, 4, 4)
    before = network(x)
    with ablated(network, torch.tensor([True, False])):
        assert float(network(x).reshape(2, -1)[0].abs().max()) == 0
    assert torch.equal(network(x), before)


def test_kernels_are_compared_without_their_scale_and_dead_filters() -> None:
    x, y = digits()
    kernels = torch.randn(4, 1, 3, 3, generator=generator(0, "kernels"))
    row = compare_kernels(convolution(3 * kernels), convolution(kernels), x, y, 0)
    assert row["kernel_raw_ratio"] == pytest.approx(3.0)
    assert row["kernel_ratio"] == pytest.approx(1.0, abs=0.1)
    dead = torch.cat([kernels, torch.zeros(4, 1, 3, 3)])
    assert compare_kernels(convolution(dead), convolution(kernels), x, y, 0)["dead_robust"] == 0.5


def test_errors_without_any_are_equal() -> None:
    x, y = digits()
    perfect = RightAwayFromData(x[:1], y[:1], 1.0)
    row = compare_distortions(perfect, perfect, x[:1], y[:1], 0)
    assert row["relative_error"] == 1.0
    assert not math.isnan(row["no_better"])
