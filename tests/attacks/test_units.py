"""Searches without bounds do not depend on the unit of the coordinates, nor on where the origin lies."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dimple.attacks.search import SearchProblem
from dimple.boundary import Boundary
from dimple.probes.margin import METHODS
from dimple.tensors import generator

UNITS = [(1e-6, 0.0), (1e-3, 0.0), (1e3, 0.0), (1e6, 0.0), (1.0, 0.1), (1.0, 1.0), (1.0, 1e6)]


def curved_classifier(unit: float, shift: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return three classes with curved boundaries, and samples."""
    stream = generator(0, "curved")
    first, bias, last, x = (torch.randn(*size, generator=stream).double() for size in ((3, 16), (16,), (16, 3), (6, 3)))
    return lambda z: torch.tanh((z - shift) / unit @ first + bias) @ last, unit * x + shift


@pytest.mark.parametrize(
    ("method", "norm", "passes"),
    [
        ("closest", "l2", 40.0),
        ("pgd", "l1", 100.0),
        ("pgd", "l2", 100.0),
        ("pgd", "linf", 100.0),
        ("bisection", "l2", 400.0),
    ],
)
def test_the_distance_moves_with_the_unit_and_the_origin(double: None, method: str, norm: str, passes: float) -> None:
    distances = []
    for unit, shift in [(1.0, 0.0), *UNITS]:
        model, x = curved_classifier(unit, shift)
        boundary = Boundary(model)
        distances.append(METHODS[method](SearchProblem(boundary, x, boundary.predict(x), norm), passes).distance / unit)
    # How many forwards a bisection takes to rounding depends on the unit, and so do those that are left to decisions.
    for found in distances[1:]:
        assert torch.allclose(found, distances[0], rtol=1e-3 if method == "bisection" else 1e-6)


@pytest.mark.parametrize("distance", [1e-9, 1e8, 1e14, 1e25])
@pytest.mark.parametrize("method", METHODS)
def test_a_plane_is_found_at_any_distance(double: None, method: str, distance: float) -> None:
    x = 1e-10 * torch.randn(4, 3, generator=generator(0, "near the origin"))
    boundary = Boundary(lambda z: torch.stack([distance - z[:, 0], z[:, 0] - distance], dim=1))
    found = METHODS[method](SearchProblem(boundary, x, boundary.predict(x)), 100.0).distance
    known = (distance - x[:, 0]).abs()
    # Decisions alone give a bound within some per cent.
    assert torch.allclose(found, known, rtol=0.1 if method == "bisection" else 1e-6)
