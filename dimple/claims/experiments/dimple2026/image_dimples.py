"""Dimples of image networks: the depth of the boundary over images and between them."""

from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.probes import Offset
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, settings
from dimple.stats.aggregate import lower_median
from dimple.tangents.local_pca import LocalPCA
from dimple.tensors import broadcast_per_sample, flatten, generator, norm, pairwise_distances


@final
@settings
class ImageDimples(Experiment):
    """A network of images, with the boundary over training images, over test images, and beside them.

    The columns are those of `describe_profiles`.

    Args:
        scene: a built-in scene of images.
        images: training and test images that are measured, as many of each.
        dim: dimension of the tangent spaces, from local principal components.
        neighbors: training images of each estimate.
        limit: the largest depth, in pixels of [0, 1].
        fractions: distances from an image over that to the nearest training image, in ascending order.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    scene: str = "digits"
    images: Count = 60
    dim: Count = 8
    neighbors: Count = 30
    limit: Positive = 4.0
    fractions: tuple[Positive, ...] = (0.25, 0.5, 1.0)
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, "snapshots.count=1", f"data.measured={self.images}"]
        prepared = prepare_scene(self.scene, changes, seed, resources)
        network = train(prepared).networks[-1]
        field = LocalPCA(prepared.samples.train.to(prepared.device), self.dim, self.neighbors)
        return {self.scene: describe_profiles(prepared, network, field, self.limit, self.fractions)}


def describe_profiles(
    prepared: PreparedScene, network: nn.Module, field: TangentField, limit: float, fractions: tuple[float, ...]
) -> Row:
    """Return the depth of the boundary over images that the network has right, and beside them.

    The depth is the distance to the boundary along the off-manifold part of the gradient, negative where the class is
    not that of the image. Beside an image are the points in both senses along the widest tangent direction (`tangent`)
    and along a random direction (`random`).

    Returns:
        For `train` and `test` images `depth_<split>`, the median depth; for each direction and fraction f of the
        distance to the nearest training image `<direction>_<split>_<100 f>`, the median of the depth beside over the
        median depth at the images; `peak_<split>`, the inverse of the tangent one at the second fraction, and
        `peak_random_<split>` that of the random one; `peak_excess`, the peak of training over that of test images.
    """
    samples = prepared.samples
    boundary = Boundary(freeze(network).to(prepared.device))
    probe = Offset(limit=limit, resolution=64, null_draws=1)
    row: Row = {}
    for split, images, labels, rows in (
        ("train", samples.train, samples.train_labels, samples.train_rows),
        ("test", samples.test, samples.test_labels, samples.test_rows),
    ):
        x = images[rows].to(prepared.device)
        y = labels[rows].to(prepared.device)
        is_right = boundary.predict(x) == y
        x = x[is_right]
        y = y[is_right]
        spacing = _nearest_distance(x, samples.train.to(prepared.device))
        middle = lower_median(_depth(probe, boundary, x, y, field))
        row[f"depth_{split}"] = middle
        random = torch.randn(x.shape, generator=generator(prepared.scene.seed, "profile"), dtype=x.dtype).to(x)
        directions = {
            "tangent": field.tangent_basis(x)[:, :, 0].reshape(x.shape),
            "random": random / broadcast_per_sample(norm(random), random),
        }
        for name, direction in directions.items():
            for fraction in fractions:
                step = broadcast_per_sample(fraction * spacing, x) * direction
                beside = torch.cat([x + step, x - step])
                depth = lower_median(_depth(probe, boundary, beside, torch.cat([y, y]), field))
                row[f"{name}_{split}_{round(100 * fraction)}"] = depth / middle
        chosen = round(100 * fractions[min(1, len(fractions) - 1)])
        row[f"peak_{split}"] = _invert(row[f"tangent_{split}_{chosen}"])
        row[f"peak_random_{split}"] = _invert(row[f"random_{split}_{chosen}"])
    return row | {"peak_excess": row["peak_train"] / row["peak_test"]}


def _invert(ratio: float) -> float:
    """Return 1 / ratio, inf where the depth beside the images is not positive: most points are in another class."""
    return 1 / ratio if ratio > 0 else float("inf")


def _depth(probe: Offset, boundary: Boundary, x: Tensor, y: Tensor, field: TangentField) -> NDArray[np.float64]:
    """Return the signed depth at each sample; the limit where there is no boundary within it."""
    offset = probe(boundary, x, y, field).columns["offset"]
    return np.asarray(offset.clamp(-probe.limit, probe.limit).cpu().double().numpy())


def _nearest_distance(x: Tensor, cloud: Tensor) -> Tensor:
    """Return the distance of each sample from the nearest other one of a cloud, `(B,)`."""
    distance = pairwise_distances(flatten(x), flatten(cloud))
    return distance.masked_fill(distance < 1e-6, torch.inf).amin(1)
