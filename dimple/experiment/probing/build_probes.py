"""Construction of the probes that a configuration names, with the tangent spaces that they need."""

import dataclasses
import functools
import math
from typing import Any, final

import torch
from torch import Tensor

from dimple.errors import DataError, UsageError
from dimple.experiment.probing.config import NETWORK_PROBES, SPECTRA, SPEED, SUBSPACE, TRANSFER, ProbeConfig
from dimple.experiment.probing.sources import Sources
from dimple.experiment.probing.tangent_fields import fit_tangents
from dimple.probes import Margin, Offset, OnOff, Probe
from dimple.probes.base import batch_limit
from dimple.probes.subspaces import OnOffWithControls, Subspace, SubspaceMargin, dct_bands, pca_bands, principal_axes
from dimple.progress import show_progress
from dimple.protocols import TangentField
from dimple.scene.plugins import find_member, not_allowed_message
from dimple.scene.scene import FAMILIES
from dimple.stats.null_bands import DEFAULT_NULL_DRAWS, interval_coverage
from dimple.tangents import intrinsic_dimension
from dimple.tensors import generator

# Images are measured in small chunks, so that an interrupt loses little work.
IMAGE_CHUNK_SIZE = 32
POINT_CHUNK_SIZE = 4096
# Samples that suffice to see whether more search changes the ratios on and off the manifold, and to bound the speed of
# the scores from below.
MAX_CHECKED_SAMPLES = 32
# The principal directions hardly change with more images than this.
MAX_PCA_IMAGES = 10_000
# With more coordinates the eigenproblem of the principal directions would cost more than the searches.
MAX_PCA_COORDINATES = 4096


def find_probe(kind: str) -> tuple[type, dict[str, Any]]:
    """Return the class of a probe, of the table, of an installed package or of code that was allowed, and its settings.

    Raises:
        UsageError: if it is none of these.
    """
    members = FAMILIES[Probe]
    found = find_member(kind, members)
    if found is None:
        raise UsageError(f"--probe is {kind}; {not_allowed_message(kind, members)}")
    return found


def describe_band(config: ProbeConfig) -> str:
    """Return what the bands of a null of fewer draws than usual hold; "" for as many or more, or without a band."""
    kinds = [kind for kind in config.probes if kind not in NETWORK_PROBES]
    if config.null_draws >= DEFAULT_NULL_DRAWS or not any(map(_has_band, kinds)):
        return ""
    return (
        f"the bands of {config.null_draws} random subspaces hold {interval_coverage(config.null_draws):.0%} of further "
        f"ones; --null-draws {DEFAULT_NULL_DRAWS} gives {interval_coverage(DEFAULT_NULL_DRAWS):.0%}"
    )


def _has_band(kind: str) -> bool:
    """Return whether the null of a probe has a band; a probe with fewer draws of its own averages them."""
    if kind == SUBSPACE:
        return True
    fields = dataclasses.fields(find_probe(kind)[0])
    return any(field.name == "null_draws" and field.default == DEFAULT_NULL_DRAWS for field in fields)


@final
class ProbeBuilder:
    """The probes of a configuration, ready to measure one network after another.

    Attributes:
        kinds: names of the probes that measure samples, in the order of the configuration.
        probes: the probes of these names.
        tangents: the tangent spaces of the data: exact where the samples lie on a known manifold, else by local PCA
            over the training images; None where no probe needs them.
        onoff: the probe `onoff`, None where it is not among the probes.
    """

    def __init__(self, config: ProbeConfig, sources: Sources, device: torch.device) -> None:
        self.config = config
        self.sources = sources
        self.device = device
        self.kinds = [kind for kind in dict.fromkeys(config.probes) if kind not in NETWORK_PROBES]
        self._cached_images: Tensor | None = None
        self._cached_axes: Tensor | None = None
        plain = {kind: self._build_probe(kind) for kind in self.kinds if kind != SUBSPACE}
        self.onoff = next((probe for probe in plain.values() if isinstance(probe, OnOff)), None)
        self.probes: list[Probe] = [
            self._build_subspace_margin() if kind == SUBSPACE else plain[kind] for kind in self.kinds
        ]
        needs_tangents = any(probe.needs_tangents for probe in self.probes)
        self.tangents = self._build_tangent_field() if needs_tangents else None
        if (
            self.onoff is not None
            and sources.image_dataset is not None
            and self._coordinate_count <= MAX_PCA_COORDINATES
        ):
            controlled = OnOffWithControls(self.onoff, self._pca_controls())
            self.probes = [controlled if probe is self.onoff else probe for probe in self.probes]
        self._cached_images = self._cached_axes = None

    @property
    def image_probes(self) -> list[Probe]:
        """The probes that give the perturbation of an image and its two parts, with a single random subspace."""
        margins: list[Probe] = [probe for probe in self.probes if isinstance(probe, Margin)]
        return margins if self.onoff is None else [*margins, dataclasses.replace(self.onoff, null_draws=1)]

    @property
    def refined_probes(self) -> list[Probe]:
        """The probes whose nulls are searches, with four times the passes, and the margins whose points they use."""
        kinds = (OnOff, OnOffWithControls, SubspaceMargin)
        if not any(isinstance(probe, kinds) for probe in self.probes):
            return []
        known = [probe for probe in self.probes if isinstance(probe, (Margin, *kinds))]
        return [probe if isinstance(probe, Margin) else probe.refined() for probe in known]

    @property
    def gradient_users(self) -> list[str]:
        """The names of the probes that need a gradient of the scores."""
        users = [kind for kind, probe in zip(self.kinds, self.probes, strict=True) if probe.needs_gradient]
        return users + [kind for kind in self.config.probes if kind in (SPECTRA, SPEED, TRANSFER)]

    @property
    def chunk_size(self) -> int:
        """The number of samples that are measured together."""
        size = POINT_CHUNK_SIZE if self.sources.image_dataset is None else IMAGE_CHUNK_SIZE
        return batch_limit(self.probes, size)

    @property
    def margin_probe(self) -> Margin:
        """The probe `margin` with the settings of the configuration, also where it is not among the probes."""
        margin = self._build_probe("margin")
        assert isinstance(margin, Margin)
        return margin

    def _build_probe(self, kind: str) -> Probe:
        """Build a probe of the table, with those settings of the configuration that it has a field for."""
        config = self.config
        manifold = self.sources.manifold
        values: dict[str, Any] = {"norm": config.norm, "null_draws": config.null_draws, "seed": config.seed}
        values |= {
            name: value
            for name in ("max_passes", "eps", "nodes", "seconds", "certificate")
            if (value := getattr(config, name)) is not None
        }
        methods = {"margin": config.method, "certified": config.certificate}
        values |= {"method": methods[kind]} if kind in methods else {}
        cls, own = find_probe(kind)
        fields = [field.name for field in dataclasses.fields(cls)]
        unknown = [name for name in own if name not in fields]
        if unknown:
            raise UsageError(f"--probe {kind}: there is no setting {unknown[0]}; it has {', '.join(fields) or 'none'}")
        probe: Probe = cls(**{name: value for name, value in values.items() if name in fields} | own)
        if isinstance(probe, Offset) and manifold is not None:
            return dataclasses.replace(probe, limit=min(probe.limit, manifold.reach))
        return probe

    def _build_subspace_margin(self) -> SubspaceMargin:
        config = self.config
        if self.sources.image_dataset is None:
            raise UsageError("--probe subspace needs images; for a run, choose --probe onoff")
        if config.subspaces == "dct":
            bands = dct_bands(self._sample_shape)
        else:
            if self._coordinate_count > MAX_PCA_COORDINATES:
                raise UsageError(
                    f"--subspaces pca takes at most {MAX_PCA_COORDINATES} coordinates, not {self._coordinate_count}; "
                    "choose --subspaces dct"
                )
            bands = pca_bands(self._principal_axes(), min(self.dim, self._coordinate_count))
        max_passes = OnOff().max_passes if config.max_passes is None else config.max_passes
        return SubspaceMargin(bands, null_draws=config.null_draws, max_passes=max_passes, seed=config.seed)

    def _pca_controls(self) -> dict[str, TangentField]:
        """Return the widest and the narrowest directions of the data, as many as the tangent spaces have dimensions."""
        axes = self._principal_axes()
        dim = self.dim
        return {"pca_top": Subspace(axes[:, :dim]), "pca_bottom": Subspace(axes[:, -dim:])}

    def _build_tangent_field(self) -> TangentField:
        if self.sources.tangents is not None:
            return self.sources.tangents
        cloud = self._load_training_images()
        if (self.config.tangents, self.dim) != (ProbeConfig.tangents, ProbeConfig.dim):
            chosen = f"{self.config.tangents}, {self.dim} dimensions"
            self.sources.facts.append(("tangent spaces", chosen + (" (TwoNN)" if self.config.dim != self.dim else "")))
        training = self.sources.training_samples()
        neighbors = self.config.neighbors
        if self.config.tangents == "local_pca" and len(cloud) <= neighbors:
            raise DataError(
                f"{self.config.data}: --neighbors is {neighbors}, and there are {len(cloud)} training images; "
                "give a smaller number"
            )
        labels = training.batch(torch.arange(len(training)))[1].to(self.device)
        return fit_tangents(
            self.config.tangents, cloud, labels,
            dim=self.dim, neighbors=neighbors, seed=self.config.seed, progress=show_progress,
        )  # fmt: skip

    @functools.cached_property
    def dim(self) -> int:
        """The dimension of the estimated tangent spaces, given or estimated from the training images."""
        is_default = self.config.dim == ProbeConfig.dim
        if self.config.dim != "auto" and not (is_default and self.config.dim >= self._coordinate_count):
            return self.config.dim
        cloud = self._load_training_images()
        estimate = intrinsic_dimension(cloud)["two_nn"]
        return max(1, min(round(estimate), self.config.neighbors - 1, self._coordinate_count - 1))

    def _principal_axes(self) -> Tensor:
        if self._cached_axes is None:
            cloud = self._load_training_images()
            stream = generator(self.config.seed, "principal directions")
            rows = torch.randperm(len(cloud), generator=stream)[:MAX_PCA_IMAGES].sort().values
            self._cached_axes = principal_axes(cloud[rows.to(cloud.device)]).float()
        return self._cached_axes

    def _load_training_images(self) -> Tensor:
        if self._cached_images is None:
            training = self.sources.training_samples()
            self._cached_images = training.batch(torch.arange(len(training)))[0].to(self.device)
        return self._cached_images

    @property
    def _sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        samples = next(iter(self.sources.samples.values()))
        return tuple(samples.batch(torch.tensor([0]))[0].shape[1:])

    @property
    def _coordinate_count(self) -> int:
        return math.prod(self._sample_shape)
