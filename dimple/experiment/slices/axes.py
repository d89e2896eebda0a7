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
from dimple.experiment.slices.config import SliceConfig
from dimple.probes import Margin
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator

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
    try:
        affine_slice = _choose_slice(config, sources, boundary, x, y)
    except SceneError as error:
        listed = ", ".join(map(str, config.images))
        raise UsageError(f"--images {listed} with --axes {config.axes_kind}: {error}") from None
    low, high = _choose_box(config, affine_slice, boundary, x, y)
    bases = [RandomSubspace(config.dim, config.seed, draw).basis(x[0].numel()) for draw in range(config.null_draws)]
    controls = tuple(AffineSlice(x[0], basis.to(x)) for basis in bases)
    return SliceDomain(affine_slice, low, high, controls, describe_axes(config, sources))


def _choose_slice(config: SliceConfig, sources: Sources, boundary: Boundary, x: Tensor, y: Tensor) -> AffineSlice:
    n = x[0].numel()
    dim = config.dim
    if dim > n:
        raise SceneError(f"slice: samples have {n} coordinates, fewer than {dim} axes; give a smaller --dim")
    if config.axes_kind == "random":
        # Draws 0 to null_draws - 1 are the random slices for the comparison, so this slice takes the next draw.
        return AffineSlice(x[0], RandomSubspace(dim, config.seed, config.null_draws).basis(n).to(x))
    if config.axes_kind == "pca":
        return AffineSlice(x[0], AffineSlice.from_principal_components(_training_samples(config, sources, x), dim).axes)
    if config.axes_kind == "gradient":
        initial_axes = x.new_zeros(n, 0)
        if sources.tangents is not None:
            initial_axes = sources.tangents.tangent_basis(x[:1])[0, :, : dim - 1]
        return AffineSlice.from_gradients(boundary, x[:1], y[:1], initial_axes, dim)
    if len(x) == dim + 1:
        return AffineSlice.from_points(x)
    return AffineSlice.from_gradients(boundary, x, y, (x[1:] - x[:1]).reshape(len(x) - 1, n).T, dim)


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


def describe_axes(config: SliceConfig, sources: Sources) -> str:
    """Return a description of the axes.

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
    if config.axes_kind == "gradient":
        tangent_axes = 0 if sources.tangents is None else min(_tangent_dim(sources), dim - 1)
        if tangent_axes:
            tangent = _format_directions(tangent_axes)
            return f"at {first}: {tangent} along the manifold, and {_format_steepest(dim - tangent_axes)} off it"
        return f"at {first}: {_format_steepest(dim)}"
    kind = "the widest directions of the data" if config.axes_kind == "pca" else f"{dim} random directions"
    return f"at {first}: {kind}"


def _tangent_dim(sources: Sources) -> int:
    """Return the dimension of the exact tangent spaces."""
    assert sources.tangents is not None
    x, _ = sources.samples["train"].batch(torch.tensor([0]))
    return sources.tangents.tangent_basis(x).shape[2]


def _format_steepest(count: int) -> str:
    return "the steepest direction" if count == 1 else f"the {count} steepest directions"


def _format_directions(count: int) -> str:
    return "one direction" if count == 1 else f"{count} directions"


def _join_numbers(rows: Sequence[int]) -> str:
    """Return the numbers as a list in a sentence, such as `3, 17 and 42`."""
    *head, last = map(str, rows)
    return f"{', '.join(head)} and {last}" if head else last
