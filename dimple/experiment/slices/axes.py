"""Position of a slice: its origin, its axes and its box, by each way of choosing them, and their description."""

import dataclasses
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary import AffineSlice, Boundary
from dimple.errors import SceneError, UsageError
from dimple.experiment.probing.sources import Sources
from dimple.experiment.slices.config import SliceConfig, SliceDirection
from dimple.probes import Margin
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import flatten, generator

# The widest directions of the training data hardly change with more images than this.
MAX_PCA_SAMPLES = 2000
# Half the side of the box around a single image, in distances of the image from the boundary.
BOX_RADIUS_FACTOR = 3.0
# Padding of the box around several images, as a fraction of their extent.
PADDING_FRACTION = 1 / 3


@final
@dataclasses.dataclass(frozen=True)
class SliceDomain:
    """A slice with the part of it that is shown, a square or a cube.

    Attributes:
        low, high: corners of the box, in coordinates of the slice.
        controls: random slices through the same first sample, shown in the same box.
        description: the axes in words.
    """

    affine_slice: AffineSlice
    low: tuple[float, ...]
    high: tuple[float, ...]
    controls: tuple[AffineSlice, ...]
    description: str


def choose_slice_domain(config: SliceConfig, sources: Sources, boundary: Boundary, x: Tensor) -> SliceDomain:
    """Return the slice that a configuration describes, with its box and its random slices.

    Args:
        boundary: of the last network of the series, whose gradients give the axes.
        x: `(B, *shape)`, the images that the configuration names.

    Raises:
        UsageError: if the images give no slice of this dimension.
    """
    y = boundary.predict(x)
    tangents = _tangent_basis(config, sources, x)
    try:
        affine_slice = _choose_slice(config, sources, boundary, x, y, tangents)
    except SceneError as error:
        listed = ", ".join(map(str, config.images))
        flag = f"--axes {config.axes_kind}" if config.through is None else f"--through {','.join(config.through)}"
        raise UsageError(f"--images {listed} with {flag}: {error}") from None
    low, high = _choose_box(config, affine_slice, boundary, x, y)
    bases = [RandomSubspace(config.dim, config.seed, draw).basis(x[0].numel()) for draw in range(config.null_draws)]
    controls = tuple(AffineSlice(x[0], basis.to(x)) for basis in bases)
    return SliceDomain(affine_slice, low, high, controls, describe_axes(config, sources, tangents.shape[1]))


def _tangent_basis(config: SliceConfig, sources: Sources, x: Tensor) -> Tensor:
    """Return the tangent space `(n, d)` at the first sample, without columns where none is known or needed."""
    tangents = sources.tangents
    if config.axes_kind not in ("gradient", "through"):
        tangents = None
    elif tangents is None and sources.tangent_estimator is not None:
        training = sources.training_samples()
        cloud, labels = training.batch(torch.arange(len(training)))
        tangents = sources.tangent_estimator.fit(cloud.to(x), labels.to(x.device))
    return x.new_zeros(x[0].numel(), 0) if tangents is None else tangents.tangent_basis(x[:1])[0]


def _choose_slice(
    config: SliceConfig, sources: Sources, boundary: Boundary, x: Tensor, y: Tensor, tangents: Tensor
) -> AffineSlice:
    n = x[0].numel()
    dim = config.dim
    if dim > n:
        raise SceneError(f"slice: samples have {n} coordinates, fewer than {dim} axes; give a smaller --dim")
    if config.axes_kind == "random":
        # Draws 0 to null_draws - 1 are the random slices for the comparison, so this slice takes the next draw.
        return AffineSlice(x[0], RandomSubspace(dim, config.seed, config.null_draws).basis(n).to(x))
    if config.axes_kind == "pca":
        return AffineSlice(x[0], AffineSlice.from_principal_components(_training_samples(config, sources, x), dim).axes)
    if config.through is not None:
        return _slice_along(config.through, boundary, x, y, tangents)
    if config.axes_kind == "gradient":
        return _slice_along(_gradient_directions(dim, tangents.shape[1]), boundary, x[:1], y[:1], tangents)
    if len(x) == dim + 1:
        return AffineSlice.from_points(x)
    return AffineSlice.from_gradients(boundary, x, y, (x[1:] - x[:1]).reshape(len(x) - 1, n).T, dim)


def _gradient_directions(dim: int, tangent_dim: int) -> tuple[SliceDirection, ...]:
    """Return the directions that `gradient` stands for: one off the tangent space, and as many in it as there are."""
    along = min(tangent_dim, dim - 1)
    return tuple("tangent" if axis < along else "normal" for axis in range(dim))


def _slice_along(
    directions: Sequence[SliceDirection], boundary: Boundary, x: Tensor, y: Tensor, tangents: Tensor
) -> AffineSlice:
    """Return the slice through the first sample along directions, which are orthonormalized in their order."""
    count = directions.count("tangent")
    if count > tangents.shape[1]:
        known = f"the tangent space has {tangents.shape[1]} dimensions" if tangents.shape[1] else "none is known"
        raise SceneError(
            f"slice: {count} tangent directions are asked for, and {known}; leave tangent out, or name a run whose "
            "scene has tangents"
        )
    columns = {"tangent": [*tangents.T]}
    if "boundary" in directions:
        found = Margin().search(boundary, x[:1], y[:1])
        if not bool(torch.isfinite(found.distance).all()):
            raise SceneError("slice: no boundary was found from the first sample; leave boundary out")
        columns["boundary"] = [(found.points - flatten(x[:1]))[0]]
    if missing := directions.count("normal"):
        off = AffineSlice.from_gradients(boundary, x, y, tangents, tangents.shape[1] + missing)
        columns["normal"] = [*off.axes[:, -missing:].T]
    return AffineSlice(x[0], torch.stack([columns[direction].pop(0) for direction in directions], dim=1))


def _training_samples(config: SliceConfig, sources: Sources, x: Tensor) -> Tensor:
    """Return training samples, a random choice of `MAX_PCA_SAMPLES` where there are more."""
    training = sources.training_samples()
    order = torch.randperm(len(training), generator=generator(config.seed, "principal directions"))
    return training.batch(order[:MAX_PCA_SAMPLES])[0].to(x)


def _choose_box(
    config: SliceConfig, affine_slice: AffineSlice, boundary: Boundary, x: Tensor, y: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the corners of a square or cube around the images, or around the first one and its nearest boundary."""
    center = torch.zeros(affine_slice.dim, dtype=torch.float64)
    radius = config.radius
    if radius is None and config.axes_kind == "points" and len(x) > 1:
        u = affine_slice.coordinates(x).double().cpu()
        low = u.min(0).values
        high = u.max(0).values
        center = (low + high) / 2
        radius = float((high - low).max()) * (0.5 + PADDING_FRACTION)
    elif radius is None:
        distance = (
            Margin().search(Boundary(boundary.model), x[:1], y[:1], SubspaceConstraint(affine_slice.axes)).distance
        )
        if not bool(torch.isfinite(distance).all()):
            raise UsageError("no boundary was found along these axes, so the box has no size; give one with --radius")
        radius = BOX_RADIUS_FACTOR * float(distance)
    return tuple((center - radius).tolist()), tuple((center + radius).tolist())


def describe_axes(config: SliceConfig, sources: Sources, tangent_dim: int = 0) -> str:
    """Return a description of the axes, where the tangent space at the first image has `tangent_dim` dimensions.

    Example:
        >>> from dimple.experiment.slices.config import SliceConfig
        >>> from dimple.experiment.probing.sources import Sources
        >>> digits = Sources((), {}, None, (), "", [], {}, image_dataset="digits")
        >>> describe_axes(SliceConfig(images=(3, 17, 42)), digits)
        'the plane through images 3, 17 and 42'
    """
    noun = "image" if sources.image_dataset is not None else "point"
    first = f"{noun} {config.images[0]}"
    dim = config.dim
    if config.axes_kind == "points":
        missing = dim + 1 - len(config.images)
        through = f"{noun}{'s' if len(config.images) > 1 else ''} {_join_numbers(config.images)}"
        if missing == 0:
            return f"the {'plane' if dim == 2 else 'space'} through {through}"
        pronoun = "it" if len(config.images) == 1 else "them"
        return f"through {through}, and along {_format_steepest(missing)} off {pronoun}"
    if config.through is not None or config.axes_kind == "gradient":
        directions = config.through or _gradient_directions(dim, tangent_dim)
        return f"at {first}: {_format_along(directions, tangent_dim)}"
    kind = "the widest directions of the data" if config.axes_kind == "pca" else f"{dim} random directions"
    return f"at {first}: {kind}"


def _format_along(directions: Sequence[SliceDirection], tangent_dim: int) -> str:
    """Return what each direction is, in the order of their first axes."""
    off = " off it" if "tangent" in directions else " off the manifold" if tangent_dim else ""
    count = directions.count
    words = {
        "boundary": "toward the nearest boundary point",
        "tangent": f"{_format_directions(count('tangent'))} along the manifold",
        "normal": f"{_format_steepest(count('normal'))}{off}",
    }
    *head, last = [words[direction] for direction in dict.fromkeys(directions)]
    return f"{', '.join(head)}, and {last}" if head else last


def _format_steepest(count: int) -> str:
    return "the steepest direction" if count == 1 else f"the {count} steepest directions"


def _format_directions(count: int) -> str:
    return "one direction" if count == 1 else f"{count} directions"


def _join_numbers(rows: Sequence[int]) -> str:
    """Return the numbers as a list in a sentence, such as `3, 17 and 42`."""
    *head, last = map(str, rows)
    return f"{', '.join(head)} and {last}" if head else last
