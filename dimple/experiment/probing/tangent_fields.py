"""Tangent spaces by the name of their estimate; autoencoders are kept in the cache."""

import contextlib
import hashlib
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from dimple.errors import ModelError, UsageError
from dimple.experiment.probing.config import AUTOENCODER, tangents_problem
from dimple.locations import cache_folder
from dimple.protocols import Progress, TangentField
from dimple.runs.atomic_io import write_bytes
from dimple.settings import expand_home
from dimple.tangents import AutoencoderJacobian
from dimple.tangents.autoencoder import read_autoencoder
from dimple.tangents.estimators import TANGENT_ESTIMATORS, AutoencoderEstimator
from dimple.tensors import flatten, generator


def fit_tangents(
    name: str, cloud: Tensor, labels: Tensor, *, dim: int | None, neighbors: int = 50, seed: int, progress: Progress
) -> TangentField:
    """Return the tangent spaces of samples `(N, *shape)` with classes `(N,)`.

    Args:
        name: `local_pca`, `class_pca`, `global_pca`, `autoencoder`, which is trained and kept in the cache, or
            `autoencoder:FILE`, such a file.
        cloud, labels: training samples.
        dim: the dimension; None for the widest eigengap.
        neighbors: the number of samples of each local estimate.
        seed: of the autoencoder.
        progress: shows its training.

    Raises:
        UsageError: if the name is none of these, or an autoencoder is one of other samples.
        ModelError: if the file is not readable.
        ShapeError: if there are too few samples.
    """
    if problem := tangents_problem(name):
        raise UsageError(f"tangents {problem}")
    kind, _, file = name.partition(":")
    if kind == AUTOENCODER:
        estimator = AutoencoderEstimator(dim=dim, seed=seed)
        networks = read_autoencoder(expand_home(file)) if file else _load_autoencoder(estimator, cloud, progress)
        encoder, decoder = (network.to(cloud) for network in networks)
        unflatten = decoder[-1]
        if not isinstance(unflatten, nn.Unflatten) or torch.Size(unflatten.unflattened_size) != cloud.shape[1:]:
            raise UsageError(f"tangents is {name!r}, which is an autoencoder of samples of another shape")
        return AutoencoderJacobian(encoder, decoder, math.inf)
    settings = {"dim": dim} | ({"neighbors": neighbors} if kind == "local_pca" else {})
    return TANGENT_ESTIMATORS[kind](**settings).fit(cloud, labels)


def _load_autoencoder(
    estimator: AutoencoderEstimator, cloud: Tensor, progress: Progress
) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the autoencoder of the samples: that in the user's cache, or else a trained one, which is then kept."""
    autoencoder = estimator.autoencoder(cloud)
    facts = (repr(autoencoder), repr(estimator.seed), str(cloud.device.type), str(cloud.dtype), torch.__version__)
    samples = flatten(cloud).cpu().contiguous().numpy().tobytes()
    key = hashlib.sha256("\n".join(facts).encode() + samples).hexdigest()[:24]
    file: Path = cache_folder() / "autoencoders" / f"{key}.safetensors"
    with contextlib.suppress(ModelError):
        return read_autoencoder(file)
    networks = autoencoder.fit(cloud, generator(estimator.seed, "autoencoder"), progress)
    # A cache that cannot be written only costs the next training.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, autoencoder.to_bytes(*networks))
    return networks
