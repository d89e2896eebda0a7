"""The probes that a request asks for, with the geometry of the data that they need."""

import dataclasses
import math
from typing import Any, final

import torch
from torch import Tensor

from dimple.data import load_images
from dimple.errors import DataError, UsageError
from dimple.experiment.probing.config import SUBSPACE, WHOLE, ProbeRequest
from dimple.experiment.probing.sources import Subject
from dimple.probes import PROBES, ExactMargin, Margin, Offset, OnOff, Probe
from dimple.probes.subspaces import Controlled, Subspace, SubspaceMargin, dct_bands, pca_bands, principal_axes
from dimple.protocols import TangentField
from dimple.tangents.local_pca import LocalPCA
from dimple.tensors import generator

# Images travel in small chunks, so that an interrupt costs little; points of a scene all at once; samples that are
# searched exhaustively a few at a time.
IMAGES, POINTS, SLOW = 32, 4096, 4
# So many images tell the principal directions; more would cost more than they change.
PCA_IMAGES = 10_000
# Above so many coordinates the eigenproblem of the principal directions costs more than the searches.
PCA_COORDINATES = 4096


@final
class Questions:
    """What is asked, ready to be put to one network after another.

    Attributes:
        kinds: the names of the probes of samples, in the order of the request.
        probes: these.
        tangents: the directions along the data: exact where the samples lie on a known manifold, else by local PCA
            over the training images; None where no probe asks for them.
        onoff: the on/off split among the probes, if it is there.
    """

    def __init__(self, request: ProbeRequest, subject: Subject, device: torch.device) -> None:
        self.request, self.subject, self.device = request, subject, device
        self.kinds = [kind for kind in dict.fromkeys(request.probes) if kind not in WHOLE]
        self._cloud: Tensor | None = None
        self._axes: Tensor | None = None
        plain = {kind: self._plain(kind) for kind in self.kinds if kind != SUBSPACE}
        self.onoff = next((probe for probe in plain.values() if isinstance(probe, OnOff)), None)
        self.probes: list[Probe] = [self._subspaces() if kind == SUBSPACE else plain[kind] for kind in self.kinds]
        needed = any(probe.needs_tangents for probe in self.probes)
        self.tangents = self._tangents() if needed else None
        if self.onoff is not None and subject.images is not None and self._coordinates <= PCA_COORDINATES:
            controlled = Controlled(self.onoff, self._controls())
            self.probes = [controlled if probe is self.onoff else probe for probe in self.probes]
        self._cloud = self._axes = None

    @property
    def for_pictures(self) -> list[Probe]:
        """The probes that give an image's perturbation and its parts, at the least cost."""
        margins: list[Probe] = [probe for probe in self.probes if isinstance(probe, Margin)]
        return margins if self.onoff is None else [*margins, dataclasses.replace(self.onoff, draws=1)]

    @property
    def chunk(self) -> int:
        """How many samples travel together: all points of a scene at once, but few where every one takes long."""
        if any(isinstance(probe, ExactMargin) for probe in self.probes):
            return SLOW
        return POINTS if self.subject.images is None else IMAGES

    @property
    def search(self) -> Margin:
        """The margin as the request asks for it, whether or not it is among the probes."""
        margin = self._plain("margin")
        assert isinstance(margin, Margin)
        return margin

    def _plain(self, kind: str) -> Probe:
        """A probe of the table, with the request's settings where it has such a field."""
        request, manifold = self.request, self.subject.manifold
        wanted: dict[str, Any] = {"norm": request.norm, "draws": request.draws, "seed": request.seed}
        wanted |= {} if request.budget is None else {"budget": request.budget}
        wanted |= {"method": request.method} if kind == "margin" else {}
        fields = [field.name for field in dataclasses.fields(PROBES[kind])]  # type: ignore[arg-type]
        probe = PROBES[kind](**{name: value for name, value in wanted.items() if name in fields})
        if isinstance(probe, Offset) and manifold is not None:
            return dataclasses.replace(probe, limit=min(probe.limit, manifold.reach))
        return probe

    def _subspaces(self) -> SubspaceMargin:
        request, subject = self.request, self.subject
        if subject.images is None:
            raise UsageError("--probe subspace needs images for its bands; for a run, ask for onoff")
        if request.bands == "dct":
            bands = dct_bands(self._shape)
        else:
            if self._coordinates > PCA_COORDINATES:
                raise UsageError(f"--bands pca is for at most {PCA_COORDINATES} coordinates, not {self._coordinates}")
            bands = pca_bands(self._principal(), min(request.dim, self._coordinates))
        budget = OnOff().budget if request.budget is None else request.budget
        return SubspaceMargin(bands, draws=request.draws, budget=budget, seed=request.seed)

    def _controls(self) -> dict[str, TangentField]:
        """The widest and the narrowest directions of the data, as many as the tangent spaces have."""
        axes, dim = self._principal(), self.request.dim
        return {"pca_top": Subspace(axes[:, :dim]), "pca_bottom": Subspace(axes[:, -dim:])}

    def _tangents(self) -> TangentField:
        if self.subject.manifold is not None:
            return self.subject.manifold
        cloud, neighbours = self._training_images(), self.request.neighbours
        if len(cloud) <= neighbours:
            raise DataError(
                f"{self.request.data}: {len(cloud)} training images cannot give --neighbours {neighbours}; "
                "ask for fewer"
            )
        return LocalPCA(cloud, self.request.dim, neighbours)

    def _principal(self) -> Tensor:
        if self._axes is None:
            cloud = self._training_images()
            stream = generator(self.request.seed, "principal directions")
            chosen = torch.randperm(len(cloud), generator=stream)[:PCA_IMAGES].sort().values
            self._axes = principal_axes(cloud[chosen.to(cloud.device)]).float()
        return self._axes

    def _training_images(self) -> Tensor:
        if self._cloud is None:
            training = load_images(self.request.data, "train")
            self._cloud = training.batch(torch.arange(len(training)))[0].to(self.device)
        return self._cloud

    @property
    def _shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        some = next(iter(self.subject.samples.values()))
        return tuple(some.batch(torch.tensor([0]))[0].shape[1:])

    @property
    def _coordinates(self) -> int:
        return math.prod(self._shape)
