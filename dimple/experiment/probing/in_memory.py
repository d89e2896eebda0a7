"""Measurement of a network in memory: one call for any model, samples of any kind and all probes."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from dimple.boundary import Boundary
from dimple.boundary.classifier import Normalization, parameter_dtype, prepare_classifier
from dimple.errors import ShapeError, UsageError, warn
from dimple.experiment.probing.config import tangents_problem
from dimple.experiment.probing.measured_run import MeasurementTask, measure_into_run, measure_task
from dimple.experiment.probing.measurement import Measurement
from dimple.experiment.probing.tangent_fields import fit_tangents
from dimple.experiment.provenance import probe_names
from dimple.names import TANGENTS
from dimple.probes import Probe
from dimple.progress import show_progress
from dimple.protocols import Progress, TangentField
from dimple.scene.scene import FAMILIES
from dimple.settings import field_types, suggest_word
from dimple.tensors import BoundsLike, Box, as_box, flatten, generator, pairwise_distances, resolve_device

# Samples that are compared with as many of the reference, and the fewest that say something.
MAX_COMPARED = 1000
MIN_COMPARED = 8
# Samples and reference of one distribution differ less in their distances to the nearest one, and in their spread.
MAX_DISTANCE_RATIO = 4.0
MAX_SPREAD_RATIO = 4.0


def measure(
    model: Callable[[Tensor], Any],
    x: Any,
    y: Any = None,
    probes: Sequence[str | Probe] = ("margin",),
    *,
    bounds: BoundsLike,
    preprocessing: Normalization | None = None,
    output: str | int | None = None,
    reference: Any = None,
    tangents: TangentField | str | None = None,
    batch_size: int = 256,
    seed: int = 0,
    device: str | torch.device | None = None,
    out: Path | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Measurement:
    """Measure the decision boundary of a model at samples.

    The model is tried on a few samples first, and measured in eval mode; its training mode comes back at the end. The
    samples never change.

    Args:
        model: any `nn.Module` or function that maps samples `(B, *shape)` to scores `(B, K)`, or to one logit `(B,)`.
        x: samples `(B, *shape)`: a tensor, an array or a list of real numbers; or a `torch.utils.data.Dataset` of
            samples with labels.
        y: labels `(B,)`: whole numbers from 0 to K - 1, or -1 for unlabeled samples (with two classes, labels
            -1 and 1 alone are refused). None takes the predictions.
        probes: names of probes, which stand for probes with their defaults, or probes such as `Margin(norm="linf")`. A
            name takes the norm of the objects, if these have one in common.
        bounds: the valid range of the coordinates: two numbers such as `(0, 1)`, or two arrays that broadcast to one
            sample, such as `(3, 1, 1)` for a range of each channel; None for the full space.
        preprocessing: mean and standard deviation, numbers or one for each channel; the model is applied to
            `(x - mean) / std`, so that bounds and distances are in the units of `x`.
        output: name or index of the scores in an output that is a dict, an object or a tuple.
        reference: training samples `(N, *shape)`, from which tangent spaces are estimated, and from which a margin of
            more than 40 passes is searched too; for class_pca a pair of these and their labels `(N,)`.
        tangents: a tangent field, or one of the names local_pca, class_pca, global_pca and autoencoder; for probes that
            separate on- and off-manifold directions.
        batch_size: the number of samples that are processed together; it is halved where the memory does not suffice.
        seed: seed of the probes that are given by name.
        device: the device of the measurement; None takes that of the model.
        out: a folder for a run with tables and a report, which every command opens. An interrupted measurement of the
            same model and samples continues there.
        force: replace a run that is already in the folder.
        progress: how progress is shown; None shows a bar in a terminal and in a notebook, and nothing elsewhere.

    Returns:
        One row for each sample.

    Raises:
        UsageError: if an argument is unknown or missing.
        ShapeError: if samples, labels or bounds do not fit the model.
        ModelError: if the model is not a deterministic function of one sample.
        RunError: if the folder cannot be written or holds another run.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2, bias=False)).eval()
        >>> _ = network[0].weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> measure(network, [[0.5, 0.5], [-0.25, 0.5]], [0, 1], bounds=(-1, 1))["margin"].values
        tensor([0.5000, 0.2500])
    """
    arguments = check_arguments(
        x, y, probes, bounds=bounds, preprocessing=preprocessing, output=output, reference=reference,
        tangents=tangents, batch_size=batch_size, seed=seed,
        device=_device_of(model) if device is None else device, progress=progress,
    )  # fmt: skip
    show = show_progress if progress is None else progress
    with arguments.task(model) as task:
        return measure_task(task, show) if out is None else measure_into_run(task, out, force, show)


@final
@dataclasses.dataclass(frozen=True)
class MeasurementArguments:
    """The arguments of a measurement besides the model, checked: samples on the device, probes and tangent spaces."""

    x: Tensor
    y: Tensor
    probes: list[Probe]
    bounds: Box | None
    reference: Tensor | None
    tangents: TangentField | None
    preprocessing: Normalization | None
    output: str | int | None
    batch_size: int

    @contextlib.contextmanager
    def task(self, model: Callable[[Tensor], Any]) -> Iterator[MeasurementTask]:
        """Try a model, and yield its measurement; the model is in eval mode within the context.

        Raises:
            UsageError: if the model is on another device.
            ShapeError: if the labels do not fit its scores.
            ModelError: if it is not a deterministic function of one sample.
        """
        place = self.x.device
        if isinstance(model, nn.Module) and _device_of(model) != place:
            raise UsageError(f"device is {place}, and the model is on {_device_of(model)}; move one of them")
        users = [name for name, one in zip(probe_names(self.probes), self.probes, strict=True) if one.needs_gradient]
        with torch.inference_mode(False), torch.autocast(place.type, enabled=False):
            # A network in double precision is measured in double precision.
            samples = self.x.to(torch.promote_types(self.x.dtype, parameter_dtype(model) or self.x.dtype))
            context = prepare_classifier(
                model, samples, output=self.output, preprocessing=self.preprocessing, gradient_users=users
            )
            with context as classifier:
                reference = None if self.reference is None else self.reference.to(samples)
                boundary = Boundary(classifier, self.bounds, reference)
                _require_classes(self.y, boundary.scores(samples[:1]).shape[1])
                yield MeasurementTask(boundary, samples, self.y, self.probes, self.tangents, self.batch_size)


def check_arguments(
    x: Any,
    y: Any,
    probes: Sequence[str | Probe],
    *,
    bounds: BoundsLike,
    preprocessing: Normalization | None = None,
    output: str | int | None = None,
    reference: Any = None,
    tangents: TangentField | str | None = None,
    batch_size: int = 256,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> MeasurementArguments:
    """Return the arguments of `measure` after all checks that need no model.

    Raises:
        UsageError: if an argument is unknown or missing.
        ShapeError: if samples, labels or bounds do not fit each other.
    """
    x, y = _read_dataset(x, y, "x")
    reference = _read_dataset(reference, None, "reference") if isinstance(reference, Dataset) else reference
    built = build_probes(probes, seed)
    place = resolve_device(str(device))
    with torch.inference_mode(False):
        box = as_box(bounds)
        samples = _as_samples(x, "x", box).to(place)
        labels = _as_labels(y, len(samples)).to(place)
        cloud, cloud_labels = _as_reference(reference, samples, box)
        field = _tangent_field(built, tangents, cloud, cloud_labels, seed, progress or show_progress)
    return MeasurementArguments(samples, labels, built, box, cloud, field, preprocessing, output, batch_size)


def _read_dataset(x: Any, y: Any, name: str) -> tuple[Any, Any]:
    """Return the samples and the labels of a data set of torch; anything else comes back as it is."""
    if not isinstance(x, Dataset):
        return x, y
    if y is not None:
        raise UsageError(f"y is given, and {name} is a data set with labels of its own; leave it out")
    items = list(x) if isinstance(x, IterableDataset) else [x[row] for row in range(len(x))]  # type: ignore[arg-type]
    if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        raise ShapeError(f"{name} is a data set whose items are no pairs of a sample and its label; give tensors")
    try:
        samples = torch.stack([torch.as_tensor(sample) for sample, _ in items])
        labels = torch.tensor([int(label) for _, label in items])
    except (RuntimeError, TypeError, ValueError) as error:
        raise ShapeError(
            f"{name} is a data set whose samples cannot be stacked ({str(error).splitlines()[0][:200]}); give it a "
            "transform to tensors of one shape"
        ) from None
    return samples, labels


def build_probes(probes: Any, seed: int = 0) -> list[Probe]:
    """Return probes, where a name stands for the probe with its defaults, the seed, and the norm of the objects.

    Raises:
        UsageError: naming an unknown probe and the closest known one.
    """
    choices = f"choose from {', '.join(FAMILIES[Probe])}, or give an object"
    listed = list(probes) if isinstance(probes, Iterable) and not isinstance(probes, str) else [probes]
    norms = {probe.norm for probe in listed if isinstance(probe, Probe) and hasattr(probe, "norm")}
    shared: dict[str, Any] = {"seed": seed} | ({"norm": norms.pop()} if len(norms) == 1 else {})
    built = [_build_probe(probe, shared, choices) for probe in listed]
    if not built:
        raise UsageError(f"probes is empty; {choices}")
    for probe in built:
        if sum(type(other) is type(probe) for other in built) > 1:
            raise UsageError(f"probes lists {type(probe).__name__} twice; their columns have the same names")
    return built


def _build_probe(probe: str | Probe, shared: dict[str, Any], choices: str) -> Probe:
    if isinstance(probe, Probe):
        return probe
    if probe not in FAMILIES[Probe]:
        raise UsageError(f"probes contains {probe!r}; {suggest_word(str(probe), FAMILIES[Probe], choices)}")
    cls: type[Any] = FAMILIES[Probe][probe]
    built: Probe = cls(**{name: value for name, value in shared.items() if name in field_types(cls)})
    return built


def _as_samples(x: Any, name: str, box: Box | None) -> Tensor:
    """Return samples as a float tensor, after a check of their type and range."""
    samples = _copy_as_tensor(x, name, "samples")
    samples = samples.float() if isinstance(x, list | tuple) else samples
    if not samples.dtype.is_floating_point:
        raise ShapeError(
            f"{name} has the type {samples.dtype}; give real numbers in the units of bounds, such as x / 255 for "
            "bounds=(0, 1), or x.astype(float) for bounds=(0, 255)"
        )
    samples = samples if samples.dtype == torch.float64 else samples.float()
    if samples.dim() < 2 or len(samples) == 0:
        raise ShapeError(f"{name} has the shape {tuple(samples.shape)}; samples are (B, *shape), at least one")
    if not bool(torch.isfinite(samples).all()):
        row = int(torch.nonzero(~torch.isfinite(flatten(samples)).all(1))[0])
        raise ShapeError(f"{name}[{row}] contains nan or inf; leave such samples out")
    if box is not None:
        _require_inside(samples, name, box)
    return samples


def _copy_as_tensor(values: Any, name: str, entries: str) -> Tensor:
    """Return a tensor, an array or nested lists of numbers as a tensor of its own."""
    if isinstance(values, Tensor):
        # The copy of a tensor that was made in inference mode can take part in a gradient.
        if values.layout != torch.strided or values.is_meta:
            raise ShapeError(
                f"{name} is a {values.layout} tensor on {values.device}; {entries} are dense: give numbers"
            )
        return values.detach().clone()
    if isinstance(values, np.ma.MaskedArray):
        raise ShapeError(f"{name} is a masked array, whose masked {entries} would be read; give its filled() values")
    try:
        array = np.asarray(values)
    except (RuntimeError, TypeError, ValueError):
        raise ShapeError(f"{name} is a list of {entries} of different shapes or types; give one array") from None
    if array.dtype.kind not in "biuf":
        raise ShapeError(f"{name} is an array of type {array.dtype}; {entries} are real numbers")
    # torch has neither the other order of bytes nor more than double precision.
    dtype = np.dtype(np.float64) if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return torch.from_numpy(array.astype(dtype, order="C"))


def _require_inside(x: Tensor, name: str, box: Box) -> None:
    limits = box.for_samples(x)
    outside = (x < limits.low) | (x > limits.high)
    if bool(outside.any()):
        place = torch.nonzero(outside)[0].tolist()
        value = float(x[tuple(place)])
        low, high = (
            float(torch.as_tensor(bound).expand(x.shape[1:])[tuple(place[1:])]) for bound in (limits.low, limits.high)
        )
        raise ShapeError(
            f"{name}{place} is {value:.6g}, outside bounds {low:g} to {high:g}; give the bounds of the data, "
            "or preprocessing=(mean, std) if the samples were normalized for the model"
        )


def _as_labels(y: Any, count: int) -> Tensor:
    if y is None:
        return torch.full((count,), -1)
    labels = _copy_as_tensor(y, "y", "labels").cpu()
    if labels.dim() == 0:
        raise ShapeError("y is a single label: give samples (B, *shape) with a batch axis, such as x[None], and y (B,)")
    if labels.shape != (count,):
        raise ShapeError(f"y has the shape {tuple(labels.shape)} for {count} samples; labels are (B,)")
    if labels.dtype.is_floating_point and not bool((labels == labels.round()).all()):
        row = int(torch.nonzero(labels != labels.round())[0])
        raise ShapeError(f"y[{row}] is {float(labels[row]):g}; labels are whole numbers")
    return labels.long()


def _require_classes(labels: Tensor, classes: int) -> None:
    # Beside 1 alone, -1 is the other one of two classes; with more classes it is an unlabeled sample.
    if classes == 2 and labels.unique().tolist() == [-1, 1]:
        raise ShapeError(
            "y has the labels -1 and 1; class numbers count from 0: give (y + 1) // 2. Where -1 means unlabeled, leave "
            "these samples out"
        )
    wrong = (labels < -1) | (labels >= classes)
    if bool(wrong.any()):
        row = int(torch.nonzero(wrong)[0])
        raise ShapeError(
            f"y[{row}] is {int(labels[row])}; the classifier has the classes 0 to {classes - 1}, and -1 means unlabeled"
        )


def _as_reference(reference: Any, samples: Tensor, box: Box | None) -> tuple[Tensor | None, Tensor | None]:
    """Return reference samples and their labels, where they are given."""
    if reference is None:
        return None, None
    has_labels = isinstance(reference, tuple) and len(reference) == 2
    cloud = _as_samples(reference[0] if has_labels else reference, "reference", box).to(samples)
    if cloud.shape[1:] != samples.shape[1:]:
        raise ShapeError(f"reference has samples {tuple(cloud.shape[1:])}, and x has {tuple(samples.shape[1:])}")
    _warn_of_other_data(samples, cloud)
    return cloud, _as_labels(reference[1], len(cloud)).to(cloud.device) if has_labels else None


def _tangent_field(
    probes: Sequence[Probe],
    tangents: TangentField | str | None,
    cloud: Tensor | None,
    labels: Tensor | None,
    seed: int,
    progress: Progress,
) -> TangentField | None:
    needing = [type(probe).__name__ for probe in probes if probe.needs_tangents]
    if tangents is None:
        if needing:
            raise UsageError(
                f"{needing[0]} needs tangent spaces: give tangents=, a manifold or a name such as 'local_pca' with "
                "reference= (training samples)"
            )
        return None
    if not isinstance(tangents, str):
        if not hasattr(tangents, "tangent_basis"):
            raise UsageError(f"tangents is {tangents!r}; choose from {', '.join(TANGENTS)}, or give an object")
        return tangents
    if problem := tangents_problem(tangents):
        raise UsageError(f"tangents {problem}, or give an object")
    if cloud is None:
        raise UsageError(
            f"tangents {tangents!r} are estimated from data: give reference=, training samples (N, *shape)"
        )
    if labels is None and tangents == "class_pca":
        raise UsageError("tangents 'class_pca' are estimated class by class: give reference=(samples, labels)")
    labels = torch.zeros(len(cloud), dtype=torch.long, device=cloud.device) if labels is None else labels
    return fit_tangents(tangents, cloud, labels, dim=None, seed=seed, progress=progress)


def _warn_of_other_data(samples: Tensor, reference: Tensor) -> None:
    """Warn where samples and reference cannot be drawn from one distribution, by their distances and their spread."""
    x, cloud = (
        flatten(points[torch.randperm(len(points), generator=generator(0, "compared samples"))[:MAX_COMPARED]]).double()
        for points in (samples, reference)
    )
    if len(cloud) < MIN_COMPARED:
        return
    within = pairwise_distances(cloud, cloud).fill_diagonal_(torch.inf).amin(1).median()
    between = pairwise_distances(x, cloud).amin(1).median()
    spreads = [float((points - points.mean(0)).norm(dim=1).median()) for points in (x, cloud)]
    is_other_scale = len(x) >= MIN_COMPARED and max(spreads) > MAX_SPREAD_RATIO * min(spreads)
    if is_other_scale or between > MAX_DISTANCE_RATIO * within > 0:
        warn(
            f"x and reference look like different data: a sample of x is {between:.3g} from its nearest reference "
            f"sample, where reference samples are {within:.3g} from theirs, and the spread of x is {spreads[0]:.3g}, "
            f"that of reference {spreads[1]:.3g} (medians); give training samples of the same data in the same units"
        )


def _device_of(model: Any) -> torch.device:
    if not isinstance(model, nn.Module):
        return torch.device("cpu")
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")
