"""Margins and gradients of image networks along estimated tangent spaces of the data, against chance."""

import math
from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.shamir2021.gradient_energy import relative_energy
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.probes import Margin
from dimple.probes.null_comparison import MarginNullComparison
from dimple.probes.subspaces import Subspace, principal_axes
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median
from dimple.stats.null_bands import DEFAULT_NULL_DRAWS, prediction_interval
from dimple.tangents.autoencoder import Autoencoder
from dimple.tangents.decoder_jacobian import AutoencoderJacobian
from dimple.tangents.global_pca import ClassPCA
from dimple.tangents.local_pca import LocalPCA
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator

# Images that are searched together.
CHUNK_SIZE = 64


@final
@settings
class ImageTangents(Experiment):
    """A network of images with estimates of their tangent spaces, measured at test images that it has right.

    Columns: those of `compare_margins` for the tangent spaces `local` (local principal components), `class` (those of
    one class), `autoencoder` and, where the data have them, `exact`; for the controls `bottom` (the directions of
    smallest variance), `untrained` (an autoencoder before training) and `decoder` (the trained encoder with an
    untrained decoder, a random manifold); and for `noise`, local principal components at images of noise. And the
    energy of the gradient over chance, `energy_<dim>`, along local principal components of several dimensions, and
    `energy_random` along a random subspace.

    Args:
        scene: a built-in scene of images.
        images: test images that are measured.
        dim: dimension of the tangent spaces.
        neighbors: training images of each local estimate.
        energy_dims: dimensions of the local estimates for the energy.
        autoencoder_steps: updates of the autoencoder.
        null_draws: random subspaces.
        max_passes: passes of one search.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    scene: str = "digits"
    images: Count = 40
    dim: Count = 8
    neighbors: Count = 30
    energy_dims: tuple[Count, ...] = (2, 4, 8, 16)
    autoencoder_steps: Count = 1000
    null_draws: Count = DEFAULT_NULL_DRAWS
    max_passes: Positive = 10.0
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, "snapshots.count=1", f"data.measured={self.images}"]
        prepared = prepare_scene(self.scene, changes, seed, resources)
        boundary, x, y = choose_right_images(prepared, train(prepared).networks[-1])
        samples = prepared.samples
        cloud = samples.train.float().to(prepared.device)
        fields = self.fit_fields(cloud, samples.train_labels.to(prepared.device), seed)
        if samples.tangents is not None:
            fields = {"exact": samples.tangents, **fields}
        row = compare_margins(boundary, x, y, fields, self.null_draws, self.max_passes, seed)
        noise = torch.rand(x.shape, generator=generator(seed, "noise images"), dtype=x.dtype).to(x)
        at_noise = {"noise": fields["local"]}
        found = compare_margins(
            boundary, noise, boundary.predict(noise), at_noise, self.null_draws, self.max_passes, seed
        )
        row |= {name: value for name, value in found.items() if name.startswith("on_noise")}
        row |= {
            f"energy_{dim}": relative_energy(boundary, x, LocalPCA(cloud, dim, max(self.neighbors, 2 * dim)))
            for dim in self.energy_dims
        }
        return {self.scene: row | {"energy_random": relative_energy(boundary, x, RandomSubspace(self.dim, seed, 0))}}

    def fit_fields(self, cloud: Tensor, labels: Tensor, seed: int) -> dict[str, TangentField]:
        """Return the tangent spaces and their controls by name."""
        settings_of_both = Autoencoder(latent=self.dim, steps=self.autoencoder_steps)
        encoder, decoder = settings_of_both.fit(cloud, generator(seed, "autoencoder"))
        untrained = Autoencoder(latent=self.dim, steps=1, lr=1e-12).fit(cloud, generator(seed, "untrained"))
        return {
            "local": LocalPCA(cloud, self.dim, self.neighbors),
            "class": ClassPCA(cloud, labels, self.dim),
            "autoencoder": AutoencoderJacobian(encoder, decoder, math.inf),
            "bottom": Subspace(principal_axes(cloud)[:, -self.dim :]),
            "untrained": AutoencoderJacobian(*untrained, math.inf),
            "decoder": AutoencoderJacobian(encoder, untrained[1], math.inf),
        }


def choose_right_images(prepared: PreparedScene, network: nn.Module) -> tuple[Boundary, Tensor, Tensor]:
    """Return the boundary of a network and the measured test images, with labels, that it has right."""
    samples = prepared.samples
    boundary = Boundary(freeze(network).to(prepared.device), samples.bounds)
    x = samples.test[samples.test_rows].float().to(prepared.device)
    y = samples.test_labels[samples.test_rows].to(prepared.device)
    is_right = boundary.predict(x) == y
    return boundary, x[is_right], y[is_right]


def compare_margins(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    fields: Mapping[str, TangentField],
    null_draws: int,
    max_passes: float,
    seed: int,
) -> Row:
    """Return the margins along several tangent spaces of one dimension, against random subspaces of that dimension.

    All statistics are medians over the samples, and the band that of the medians of the draws.

    Returns:
        `margin`, the free one; for each space `on_<name>`, the margin along it over the free one, and
        `on_<name>_over_band`, over the upper end of the 95 % band of random subspaces; `on_null`, the median of the
        random ones over the free one; `off`, the margin off the first space over the free one, and `off_null`, that off
        random subspaces; `images`, the number of samples.
    """
    margins: dict[str, list[Tensor]] = {}
    for part in torch.arange(len(x), device=x.device).split(CHUNK_SIZE):
        comparison = MarginNullComparison(boundary, x[part], y[part], Margin(max_passes=max_passes), null_draws, seed)
        bases = {name: field.tangent_basis(x[part]) for name, field in fields.items()}
        constraints = {f"on_{name}": SubspaceConstraint(basis) for name, basis in bases.items()}
        constraints["off"] = SubspaceConstraint(next(iter(bases.values())), orthogonal=True)
        columns, draws = comparison.compare_with_null(constraints)
        for name in constraints:
            margins.setdefault(name, []).append(columns[f"margin_{name}"].abs())
            margins.setdefault(f"{name}_draws", []).append(draws[f"margin_{name}_draws"].abs())
        margins.setdefault("free", []).append(comparison.distance)
    found = {name: torch.cat(parts).cpu() for name, parts in margins.items()}
    free = lower_median(found["free"].numpy())
    names = [name for name in found if f"{name}_draws" in found]
    nulls = {name: torch.tensor([lower_median(draw.numpy()) for draw in found[f"{name}_draws"].T]) for name in names}
    row: Row = {"margin": free, "images": float(len(x))}
    for name in names:
        value = lower_median(found[name].numpy())
        row[name] = value / free
        row[f"{name}_over_band"] = value / float(prediction_interval(nulls[name])[1])
    row["on_null"] = lower_median(nulls[names[0]].numpy()) / free
    row["off_null"] = lower_median(nulls["off"].numpy()) / free
    return row
