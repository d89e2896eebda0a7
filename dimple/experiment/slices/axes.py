"""Where a section is laid: its first point, its axes and its box, for every way to choose them; and in words."""

import dataclasses
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary import Boundary, Section
from dimple.data import load_images
from dimple.errors import SceneError, UsageError
from dimple.experiment.probing.sources import Subject
from dimple.experiment.slices.config import SectionRequest
from dimple.probes import Margin
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator

# So many training images tell their widest directions.
CLOUD = 2000
# The box around a single image reaches so many times as far as the boundary does, and around several so much of
# their extent beyond them.
REACH, RIM = 3.0, 1 / 3


@final
@dataclasses.dataclass(frozen=True)
class Laid:
    """A section with the box of it that is shown, a square or a cube.

    Attributes:
        low, high: its corners, in section coordinates.
        controls: random sections through the same first sample; the box is the same for all.
        words: what the axes are.
    """

    section: Section
    low: tuple[float, ...]
    high: tuple[float, ...]
    controls: tuple[Section, ...]
    words: str


def lay(request: SectionRequest, subject: Subject, boundary: Boundary, x: Tensor) -> Laid:
    """The section that is asked for.

    Args:
        boundary: of the last network of the series: along it the gradients are taken.
        x: `(B, *shape)`, the images that the request names.

    Raises:
        UsageError: if the images give no section of this dimension.
    """
    y = boundary.predict(x)
    try:
        section = _section(request, subject, boundary, x, y)
    except SceneError as error:
        listed = ", ".join(map(str, request.images))
        raise UsageError(f"--images {listed} with --axes {request.kind}: {error}") from None
    low, high = _box(request, section, boundary, x, y)
    columns = [RandomSubspace(request.dim, request.seed, draw).columns(x[0].numel()) for draw in range(request.draws)]
    controls = tuple(Section(x[0], each.to(x)) for each in columns)
    return Laid(section, low, high, controls, words_of(request, subject))


def _section(request: SectionRequest, subject: Subject, boundary: Boundary, x: Tensor, y: Tensor) -> Section:
    n, dim = x[0].numel(), request.dim
    if dim > n:
        raise SceneError(f"section: samples have {n} coordinates, fewer than {dim} axes; give a smaller --dim")
    if request.kind == "random":
        # The draws before it are those that it is compared with.
        return Section(x[0], RandomSubspace(dim, request.seed, request.draws).columns(n).to(x))
    if request.kind == "pca":
        return Section(x[0], Section.principal(_cloud(request, subject, x), dim).axes)
    if request.kind == "gradient":
        span = x.new_zeros(n, 0)
        if subject.manifold is not None:
            span = subject.manifold.tangent_basis(x[:1])[0, :, : dim - 1]
        return Section.steepest(boundary, x[:1], y[:1], span, dim)
    if len(x) == dim + 1:
        return Section.through(x)
    return Section.steepest(boundary, x, y, (x[1:] - x[:1]).reshape(len(x) - 1, n).T, dim)


def _cloud(request: SectionRequest, subject: Subject, x: Tensor) -> Tensor:
    """Training samples, some of them where there are very many."""
    training = load_images(request.data, "train") if subject.images is not None else subject.samples["train"]
    order = torch.randperm(len(training), generator=generator(request.seed, "principal directions"))
    return training.batch(order[:CLOUD])[0].to(x)


def _box(
    request: SectionRequest, section: Section, boundary: Boundary, x: Tensor, y: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """A square or cube around the images, or around the first one as far as the boundary makes it worth while."""
    middle, half = torch.zeros(section.dim, dtype=torch.float64), request.radius
    if half is None and request.kind == "points" and len(x) > 1:
        u = section.coordinates(x).double().cpu()
        low, high = u.min(0).values, u.max(0).values
        middle, half = (low + high) / 2, float((high - low).max()) * (0.5 + RIM)
    elif half is None:
        distance = Margin().search(Boundary(boundary.classifier), x[:1], y[:1], Restriction(section.axes))[1]
        if not bool(torch.isfinite(distance).all()):
            raise UsageError("no boundary was found along these axes, so the box has no size; give one with --radius")
        half = REACH * float(distance)
    return tuple((middle - half).tolist()), tuple((middle + half).tolist())


def words_of(request: SectionRequest, subject: Subject) -> str:
    """What the axes are, in words.

    Example:
        >>> from dimple.experiment.slices.config import SectionRequest
        >>> from dimple.experiment.probing.sources import Subject
        >>> digits = Subject((), {}, None, (), "", [], {}, images="digits")
        >>> words_of(SectionRequest(images=(3, 17, 42)), digits)
        'the plane through images 3, 17 and 42'
    """
    of = "image" if subject.images is not None else "point"
    first, dim = f"{of} {request.images[0]}", request.dim
    if request.kind == "points":
        missing = dim + 1 - len(request.images)
        through = f"{of}{'s' if len(request.images) > 1 else ''} {_listed(request.images)}"
        if missing == 0:
            return f"the {'plane' if dim == 2 else 'space'} through {through}"
        return f"through {through}, and along {_steepest(missing)} off {'it' if len(request.images) == 1 else 'them'}"
    if request.kind == "gradient":
        along = 0 if subject.manifold is None else min(subject.manifold.dim, dim - 1)
        if along:
            return f"at {first}: {_counted(along)} along the manifold, and {_steepest(dim - along)} off it"
        return f"at {first}: {_steepest(dim)}"
    return f"at {first}: {'the widest directions of the data' if request.kind == 'pca' else f'{dim} random directions'}"


def _steepest(count: int) -> str:
    return "the steepest direction" if count == 1 else f"the {count} steepest directions"


def _counted(count: int) -> str:
    return "one direction" if count == 1 else f"{count} directions"


def _listed(images: Sequence[int]) -> str:
    """Numbers as a sentence has them."""
    *most, last = map(str, images)
    return f"{', '.join(most)} and {last}" if most else last
