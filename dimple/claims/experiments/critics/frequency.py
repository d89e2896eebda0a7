"""Distances to the boundary by frequency of the images, before and after the order of the frequencies is reversed."""

import dataclasses
from typing import final

import torch
from scipy.fft import dctn, idctn
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.claims.experiments.base import Experiment, Resources, Row
from dimple.claims.experiments.critics.manifold_attacks import rank_correlation
from dimple.claims.experiments.final_network import (
    accuracy,
    final_network,
    predict,
    prepare,
    with_other_seed,
)
from dimple.probes import SubspaceMargin
from dimple.probes.subspaces import Subspace, dct_bands
from dimple.settings import Count, settings
from dimple.tensors import flatten


@final
@settings
class Frequency(Experiment):
    """Margins along the bands of the cosine transform, of networks trained on images and on their reversed spectra.

    Columns: `flip_correlation`, the rank correlation over the bands of the median margins of a network and of one that
    was trained and is measured on images with reversed frequencies; `flip_correlation_null`, with one that was trained
    on the same images from other weights; `energy_correlation`, the rank correlation of the median margin of a band
    with the variance between the class means in it; `range`, the largest median margin over the smallest;
    `accuracy_clean` and `accuracy_flipped`, of the two networks on their test images.

    Args:
        scene: a built-in scene with images.
        size, step: of the bands, as in `dct_bands`.
        max_passes: of each search.
        set: changes of the scene.

    Reference: Ortiz-Jimenez et al. 2020, Hold me tight! Influence of discriminative features on deep network
    boundaries.
    """

    scene: str = "digits"
    size: Count = 2
    step: Count = 1
    max_passes: Count = 15
    set: tuple[str, ...] = ()

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        prepared = prepare(self.scene, self.set, seed, resources)
        samples = prepared.samples
        # Reversed images leave the pixel range.
        flipped = dataclasses.replace(
            samples, train=flip_frequencies(samples.train), test=flip_frequencies(samples.test), bounds=None
        )
        networks = {
            "clean": final_network(prepared),
            "flipped": final_network(dataclasses.replace(prepared, samples=flipped)),
            "other": final_network(with_other_seed(prepared)),
        }
        bands = dct_bands(samples.shape, self.size, self.step)
        rows = samples.test_rows
        y = samples.test_labels[rows].to(resources.device)
        images = {"clean": samples.test[rows], "flipped": flipped.test[rows], "other": samples.test[rows]}
        profiles = {
            name: margin_profile(network, images[name].float().to(resources.device), y, bands, self.max_passes)
            for name, network in networks.items()
        }
        row = compare_profiles(profiles, class_variances(samples.train, samples.train_labels, bands))
        for name, splits in (("clean", samples), ("flipped", flipped)):
            x = splits.test.float()
            labels = splits.test_labels
            row[f"accuracy_{name}"] = accuracy(networks[name], x.to(resources.device), labels.to(resources.device))
        return {"": row}


def flip_frequencies(x: Tensor) -> Tensor:
    """Return images `(N, C, H, W)` with the order of the frequencies of the cosine transform reversed in both axes.

    Example:
        >>> x = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(flip_frequencies(flip_frequencies(x)), x, atol=1e-6)
        True
    """
    spectrum = dctn(x.double().numpy(), axes=(2, 3), norm="ortho")[:, :, ::-1, ::-1]
    return torch.from_numpy(idctn(spectrum, axes=(2, 3), norm="ortho")).to(x)


def margin_profile(
    network: nn.Module, x: Tensor, y: Tensor, bands: dict[str, Subspace], max_passes: float
) -> list[float]:
    """Return the median margin in each band over the images that the network classifies correctly."""
    is_right = predict(network, x) == y
    probe = SubspaceMargin(bands, null_draws=1, max_passes=float(max_passes))
    columns = probe(Boundary(network), x[is_right], y[is_right]).columns
    return [float(columns[f"margin_{name}"].quantile(0.5, interpolation="lower")) for name in bands]


def class_variances(x: Tensor, y: Tensor, bands: dict[str, Subspace]) -> list[float]:
    """Return the variance between the class means within each band."""
    rows = flatten(x).double()
    means = torch.stack([rows[y == number].mean(0) for number in range(int(y.max()) + 1)])
    centered = means - means.mean(0)
    return [float((centered @ band.basis.double()).square().sum()) for band in bands.values()]


def compare_profiles(profiles: dict[str, list[float]], variances: list[float]) -> Row:
    """Return the columns for the margins by band of the networks `clean`, `flipped` and `other`."""
    clean = profiles["clean"]
    return {
        "flip_correlation": rank_correlation(clean, profiles["flipped"]),
        "flip_correlation_null": rank_correlation(clean, profiles["other"]),
        "energy_correlation": rank_correlation(clean, variances),
        "range": max(clean) / min(clean),
    }
