"""Where a scene of more than three dimensions is drawn: in a flat piece of its space that holds all of its manifold."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary import Boundary, Section
from dimple.errors import SceneError
from dimple.manifolds import Manifold
from dimple.manifolds.embedding import Placement
from dimple.probes import Margin
from dimple.probes.with_null import Compared, spread
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import generator, project, share

# So many points of a manifold tell which flat holds it.
POINTS = 256
# The searches within a section and within the random ones that it is compared with, and how many of these.
SEARCH, DRAWS = Margin(budget=15.0, starts=1), 5
DISTANCE = "l2, input units"


@final
@dataclasses.dataclass(frozen=True)
class Drawn:
    """A section with the manifold in it.

    Attributes:
        span: how many of its axes the manifold needs; the others lead off it.
    """

    section: Section
    span: int

    @property
    def words(self) -> str:
        """What is drawn."""
        holds = "line that holds" if self.span == 1 else f"{self.span} dimensions that hold"
        steepest = ", and the steepest direction off it" if self.section.dim > self.span else ""
        return f"section of R^{self.section.origin.numel()}: the {holds} the manifold{steepest}"


def flat_of(manifold: Manifold, seed: int) -> tuple[Tensor, Tensor]:
    """The flat that a manifold spans: a point `(n,)` in its middle, and orthonormal columns `(n, m)`."""
    points = manifold.sample(POINTS, generator(seed, "span"))
    middle = points.mean(0)
    _, sizes, directions = torch.linalg.svd(points - middle, full_matrices=False)
    m = int((sizes > 1e-6 * sizes[0]).sum())
    if isinstance(manifold, Placement) and manifold.carried.ambient_dim == m:
        # Its own axes are better to look along than the widest directions of a sample.
        return middle, manifold.axes
    return middle, directions[:m].T


def require_flat(manifold: Manifold, seed: int) -> None:
    """Refuse a manifold that no section of three dimensions holds with a direction off it.

    Raises:
        SceneError: with what to do instead.
    """
    m = flat_of(manifold, seed)[1].shape[1]
    if m > 3 or m == manifold.dim == 3:
        raise SceneError(
            f"levelset: no section of three dimensions holds this manifold, which spans {m}, and a direction off it; "
            "set levelset to {kind: none}, and look at the run by dimple section --run"
        )


def draw_in(manifold: Manifold, seed: int, x: Tensor, boundary: Boundary) -> Drawn:
    """The section in which a scene of R^n, n > 3, is drawn.

    It holds the whole manifold, so that what is drawn of it is true, and where there is room the direction off it
    along which the gap of the last network changes most at the training points.

    Args:
        x: `(N, n)` training points.
        boundary: of the last network.
    """
    middle, span = flat_of(manifold, seed)
    middle, span = middle.to(x), span.to(x)
    if span.shape[1] == 3:
        return Drawn(Section(middle, span), 3)
    axes = Section.steepest(boundary, x, boundary.predict(x), span, span.shape[1] + 1).axes
    return Drawn(Section(middle, axes), span.shape[1])


def section_figures(
    drawn: Drawn, manifold: Manifold, boundary: Boundary, x: Tensor, y: Tensor, seed: int
) -> dict[str, float]:
    """How much of what happens off the manifold is seen in the section, each figure beside its null.

    `margin_section` is the median distance of the training points from the boundary within the section, its null the
    same within the tangent space and random directions off it, as many as the section has. `section_share` is the share
    of the off-manifold gradient's squared length along the section, its null that of an isotropic one.
    """
    basis = manifold.tangent_basis(x)
    n, d, k = x.shape[1], basis.shape[2], drawn.section.dim
    compared = Compared(boundary, x, y, SEARCH, 0, seed)
    away = [_off(RandomSubspace(k - d, seed, draw).columns(n).to(x), basis) for draw in range(DRAWS)]
    draws = torch.stack([_distance(compared, torch.cat([basis, off], dim=2)) for off in away])
    null = spread("margin_section_null", draws[None])
    _, gradient = boundary.gap_and_gradient(x, compared.predicted)
    off = gradient - project(basis, gradient)
    seen = share(project(drawn.section.axes.to(x), off), off)
    boundary.forwards += compared.free.forwards
    boundary.backwards += compared.free.backwards
    return {
        "margin_section": float(_distance(compared, drawn.section.axes.to(x))),
        **{name: float(values[0]) for name, values in null.items()},
        "section_share": float(seen.nanmean()),
        "section_share_null": (k - d) / (n - d),
    }


def _distance(compared: Compared, basis: Tensor) -> Tensor:
    """The median distance along orthonormal columns, the same or others at each sample."""
    found = compared.within("section", Restriction(basis))["margin_section"]
    return found.abs().median()


def _off(columns: Tensor, basis: Tensor) -> Tensor:
    """Directions `(n, k)` made square to each tangent space `(B, n, d)` and to each other, `(B, n, k)`."""
    many = columns.expand(len(basis), -1, -1)
    columns_off: Tensor = torch.linalg.qr(many - basis @ (basis.mT @ many)).Q
    return columns_off


SECTION_UNITS = {
    **{f"margin_section{end}": DISTANCE for end in ("", "_null", "_null_low", "_null_high")},
    **dict.fromkeys(("section_share", "section_share_null"), "share"),
}
