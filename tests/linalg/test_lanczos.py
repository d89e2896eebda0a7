"""Ritz values against dense eigenvalues."""

import pytest
import torch

from dimple.linalg.lanczos import lanczos
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


def make_symmetric(count: int, n: int) -> torch.Tensor:
    matrix = torch.randn(count, n, n, generator=generator(0, "matrices"))
    return matrix + matrix.mT


def test_all_eigenvalues_are_exact_after_as_many_steps_as_dimensions() -> None:
    matrices = make_symmetric(4, 9)
    start = torch.randn(4, 9, generator=generator(1, "start"))
    ritz = lanczos(lambda v: torch.einsum("bij,bj->bi", matrices, v), start, 9)
    torch.testing.assert_close(ritz.values, torch.linalg.eigvalsh(matrices))
    top = ritz.vector(-1)
    torch.testing.assert_close(torch.einsum("bij,bj->bi", matrices, top), ritz.values[:, -1:] * top)


def test_weights_give_the_spectral_moments_of_the_start() -> None:
    matrices = make_symmetric(2, 40)
    start = torch.randn(2, 40, generator=generator(1, "start"))
    unit = start / start.norm(dim=1, keepdim=True)
    ritz = lanczos(lambda v: torch.einsum("bij,bj->bi", matrices, v), start, 6)
    moment = torch.einsum("bi,bij,bj->b", unit, torch.linalg.matrix_power(matrices, 5), unit)
    torch.testing.assert_close((ritz.weights * ritz.values**5).sum(1), moment)


def test_an_eigenvalue_lies_within_each_residual() -> None:
    matrices = make_symmetric(3, 60)
    start = torch.randn(3, 60, generator=generator(1, "start"))
    ritz = lanczos(lambda v: torch.einsum("bij,bj->bi", matrices, v), start, 12)
    exact = torch.linalg.eigvalsh(matrices)
    nearest = (ritz.values[:, :, None] - exact[:, None]).abs().amin(2)
    assert bool((nearest <= ritz.residuals + 1e-9).all())


def test_row_with_invariant_space_keeps_its_extremes_while_others_continue() -> None:
    # The first row is minus the identity, exact after one step: no zero may enter its spectrum.
    scales = torch.stack([-torch.ones(8), torch.arange(8.0)])
    ritz = lanczos(lambda v: scales * v, torch.ones(2, 8), 8)
    torch.testing.assert_close(ritz.values[0], -torch.ones(8))
    torch.testing.assert_close(ritz.values[1], torch.arange(8.0))
