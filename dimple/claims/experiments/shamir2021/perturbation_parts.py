"""The parts of adversarial perturbations along the data and off it: what they change, and how they look."""

from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.trained_scene import prepare_scene, train_together
from dimple.experiment.simulation.prepared_scene import PreparedScene
from dimple.networks.wrappers import freeze
from dimple.probes import Margin
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, settings
from dimple.tangents.decomposition import decompose
from dimple.tangents.local_pca import LocalPCA
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import broadcast_per_sample, generator, norm


@final
@settings
class PerturbationParts(Experiment):
    """Shortest perturbations of test images, in parts by the tangent spaces of local principal components.

    The columns are those of `describe_parts`; a second network with other initial weights judges the parts.

    Args:
        scene: a built-in scene of images.
        images: test images that are measured.
        dim: dimension of the tangent spaces.
        neighbors: training images of each estimate.
        amplification: length of the amplified parts over that of the perturbation.
        set: changes of the scene.
    """

    version: ClassVar[int] = 1

    scene: str = "digits"
    images: Count = 100
    dim: Count = 8
    neighbors: Count = 30
    amplification: Positive = 3.0
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        changes = [*self.set, "snapshots.count=1", f"data.measured={self.images}"]
        arms = [prepare_scene(self.scene, changes, seed, resources)]
        arms.append(prepare_scene(self.scene, changes, seed + 1000, resources))
        first, second = (one.networks[-1] for one in train_together(arms, [arm.initial_network() for arm in arms]))
        field = LocalPCA(arms[0].samples.train, self.dim, self.neighbors)
        return {self.scene: describe_parts(arms[0], first, second, field, self.amplification)}


def describe_parts(
    prepared: PreparedScene, first: nn.Module, second: nn.Module, field: TangentField, amplification: float
) -> Row:
    """Return what the parts of the first network's perturbations do, and how they look.

    The parts are `on`, along the tangent space; `off`, the rest; `random`, that along a random subspace of the same
    dimension; and `tangent_noise`, Gaussian noise along the tangent space.

    Returns:
        For each part `flip_<part>`, the fraction of the images that it alone flips in the first network, at its own
        length or, for the last two, at that of the part `on`; `evidence_<part>`, the fraction that the second network
        takes for the adversarial class, when the part has `amplification` times the length of the perturbation;
        `low_<part>`, the fraction of its squared length at frequencies of the lower half of the discrete cosine
        transform; `evidence_excess` and `low_excess`, `on` less `off`; `on_fraction`, of the squared length of the
        perturbation; and `images`, the number of images that both networks have right.
    """
    samples = prepared.samples
    x = samples.test[samples.test_rows]
    y = samples.test_labels[samples.test_rows]
    boundaries = [Boundary(freeze(network).cpu(), samples.bounds) for network in (first, second)]
    is_right = (boundaries[0].predict(x) == y) & (boundaries[1].predict(x) == y)
    x = x[is_right]
    y = y[is_right]
    found = Margin()(boundaries[0], x, y)
    target = found.columns["adversarial_class"]
    step = found.details["boundary_point"] - x
    parts = decompose(step, field, x)
    along_random = decompose(step, RandomSubspace(field.tangent_basis(x[:1]).shape[2], prepared.scene.seed, 0), x)
    gaussian = torch.randn(x.shape, generator=generator(prepared.scene.seed, "tangent noise"), dtype=x.dtype)
    length = norm(step)
    vectors = {
        "on": parts.tangent,
        "off": parts.normal,
        "random": _scale(along_random.tangent, norm(parts.tangent)),
        "tangent_noise": _scale(decompose(gaussian, field, x).tangent, norm(parts.tangent)),
    }
    row: Row = {"images": float(len(x)), "on_fraction": float(parts.tangent_fraction.mean())}
    for name, vector in vectors.items():
        flipped = boundaries[0].predict(x + 1.001 * vector) != y
        amplified = boundaries[1].predict(x + _scale(vector, amplification * length)) == target
        row[f"flip_{name}"] = float(flipped.double().mean())
        row[f"evidence_{name}"] = float(amplified.double().mean())
        row[f"low_{name}"] = float(low_frequency_fraction(vector.double().numpy()).mean())
    row["evidence_excess"] = row["evidence_on"] - row["evidence_off"]
    row["low_excess"] = row["low_on"] - row["low_off"]
    return row


def _scale(vectors: Tensor, length: Tensor) -> Tensor:
    """Return the vectors with other lengths `(B,)`."""
    return vectors * broadcast_per_sample(length / norm(vectors).clamp(min=1e-12), vectors)


def low_frequency_fraction(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of the squared length of images `(B, C, H, W)` at low frequencies, `(B,)`.

    These are the entries of the discrete cosine transform with u / H + v / W < 1 / 2, u and v the row and the column,
    about an eighth of all, which is the fraction of white noise.

    Example:
        >>> low_frequency_fraction(np.ones((1, 1, 8, 8)))
        array([1.])
    """
    height, width = images.shape[-2:]
    power = dctn(images, axes=(-2, -1), norm="ortho") ** 2
    is_low = np.arange(height)[:, None] / height + np.arange(width) / width < 0.5
    fraction: NDArray[np.float64] = power[..., is_low].sum((-2, -1)) / power.sum((-3, -2, -1))
    return fraction
