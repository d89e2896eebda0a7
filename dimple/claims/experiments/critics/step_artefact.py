"""Ratios of on-manifold to free distances from steps of fixed length, and reconstruction errors of an autoencoder."""

import math
from typing import final

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.boundary.boundary import compute_logit_margin
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.final_network import final_network, predict, prepare
from dimple.probes import OnOff
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, settings
from dimple.tangents import AutoencoderJacobian
from dimple.tangents.autoencoder import Autoencoder
from dimple.tangents.base import EstimatedTangentField
from dimple.tensors import generator, norm
from dimple.training.objectives import Adversarial, Batch

# The length of the first steps in median free distances, as in the reproduction on CIFAR-10: .06 and .6 to a median of
# .19 to .2.
FREE_STEP = 0.3
ON_STEP = 3.0
MAX_STEPS = 200


@final
@settings
class StepArtefact(Experiment):
    """On-manifold distances over free ones, found by steps of fixed length until the class changes, or refined.

    The tangent spaces are those of an autoencoder, as in the reproduction.

    Columns: `greedy_ratio` with steps as long as in the reproduction, and `greedy_ratio_fine` with a quarter of that;
    `greedy_change`, the larger of the two over the smaller; `refined_ratio`, of nearest boundary points, and
    `refined_change`, the same of the ratios with a fourth of the passes and with all; `reconstruction`, the distance of
    an image from its reconstruction over its distance to the boundary; `reconstruction_pca`, the distance of the
    image's neighbors from the plane of their principal directions over the same. All are medians over the images that
    are classified correctly.

    Args:
        scene: a built-in scene with images and estimated tangent spaces.
        latent: the dimension of the code.
        autoencoder_steps: of its training.
        images: that are measured.
        max_passes: of a refined search.
        set: changes of the scene.

    Reference: Karner 2023, a reproduction of Shamir, Melamed and BenShmuel 2021.
    """

    scene: str = "digits"
    latent: Count = 8
    autoencoder_steps: Count = 1000
    images: Count = 50
    max_passes: Positive = 60.0
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        prepared = prepare(self.scene, [*self.set, f"data.measured={self.images}"], seed, resources)
        network = final_network(prepared)
        samples = prepared.samples
        train = samples.train.float().to(resources.device)
        fitted = Autoencoder(latent=self.latent, steps=self.autoencoder_steps).fit(
            train, generator(seed, "autoencoder")
        )
        # A tolerance only decides which estimates count as reliable.
        field = AutoencoderJacobian(*fitted, tolerance=1.0)
        x = samples.test[samples.test_rows].float().to(resources.device)
        y = samples.test_labels[samples.test_rows].to(resources.device)
        return {"": compare_searches(network, x, y, field, prepared.tangents, self.max_passes)}


def compare_searches(
    network: nn.Module, x: Tensor, y: Tensor, field: EstimatedTangentField, pca: TangentField | None, max_passes: float
) -> Row:
    """Return the columns for the images that the network classifies correctly.

    Args:
        network: the network.
        x: `(B, *shape)`.
        y: `(B,)`.
        field: the tangent spaces of the autoencoder.
        pca: those of local principal directions; None for nan in their column.
        max_passes: of the refined search.
    """
    is_right = predict(network, x) == y
    x = x[is_right]
    y = y[is_right]
    estimate = field.estimate(x)
    boundary = Boundary(network)
    refined = []
    for passes in (max_passes / 4, max_passes):
        columns = OnOff(null_draws=1, max_passes=passes)(boundary, x, y, field).columns
        refined.append(_median(columns["margin_on"]) / _median(columns["margin_unbounded"]))
    free = columns["margin_unbounded"]
    greedy = []
    for fraction in (1.0, 0.25):
        step = fraction * _median(free)
        on = greedy_distance(network, x, y, ON_STEP * step, estimate.basis)
        greedy.append(_median(on) / _median(greedy_distance(network, x, y, FREE_STEP * step)))
    plane = torch.full_like(free, math.nan)
    if isinstance(pca, EstimatedTangentField):
        plane = pca.estimate(x).plane_distance.to(free)
    return {
        "greedy_ratio": greedy[0],
        "greedy_ratio_fine": greedy[1],
        "greedy_change": max(greedy[0] / greedy[1], greedy[1] / greedy[0]),
        "refined_ratio": refined[1],
        "refined_change": max(refined[0] / refined[1], refined[1] / refined[0]),
        "reconstruction": _median(estimate.radius / free),
        "reconstruction_pca": _median(plane / free),
    }


def greedy_distance(network: nn.Module, x: Tensor, y: Tensor, step_size: float, basis: Tensor | None = None) -> Tensor:
    """Return the length of the path end at which the class first changes, by steps of fixed length, `(B,)`.

    Args:
        network: the network.
        x: `(B, *shape)` samples of their class.
        y: `(B,)`.
        step_size: the l2 norm of each step along the gradient of the logit margin.
        basis: `(B, n, d)` orthonormal columns that the steps stay in; None for all directions.
    """
    objective = Adversarial(
        norm="l2", eps=MAX_STEPS * step_size, steps=1, step_size=step_size, restrict="none" if basis is None else "on"
    )
    batch = Batch(x, y, torch.Generator, basis)
    delta = torch.zeros_like(x)
    distance = torch.full((len(x),), math.inf, dtype=x.dtype, device=x.device)
    for _ in range(MAX_STEPS):
        moved = objective.perturb(network, batch, lambda scores: -compute_logit_margin(scores, y), delta)
        delta = (moved - x).detach()
        has_changed = (predict(network, x + delta) != y) & torch.isinf(distance)
        distance = torch.where(has_changed, norm(delta), distance)
        if not bool(torch.isinf(distance).any()):
            break
    return distance


def _median(values: Tensor) -> float:
    return float(values.quantile(0.5, interpolation="lower"))
