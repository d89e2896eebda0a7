"""Principal angles against scipy, and at sizes where a single formula loses half of the digits."""

import math

import pytest
import scipy.linalg
import torch

from dimple.errors import ShapeError
from dimple.tangents import RandomSubspace, angles_between_fields, principal_angles
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(("n", "d", "e"), [(5, 2, 2), (9, 3, 5), (9, 5, 3), (4, 3, 3), (30, 1, 1)])
def test_angles_equal_those_of_scipy(n: int, d: int, e: int) -> None:
    stream = generator(n, "bases")
    a = torch.linalg.qr(torch.randn(6, n, d, generator=stream)).Q
    b = torch.linalg.qr(torch.randn(6, n, e, generator=stream)).Q
    angles = principal_angles(a, b)
    for row in range(6):
        reference = torch.from_numpy(scipy.linalg.subspace_angles(a[row].numpy(), b[row].numpy())).flip(0)
        # scipy computes angles of zero with half of the digits on some machines.
        torch.testing.assert_close(angles[row], reference.clone(), rtol=1e-10, atol=3e-8)
    assert torch.equal(largest_principal_angle(a, b), angles[:, -1])


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.5, 1.0, math.pi / 2 - 1e-9, math.pi / 2])
def test_small_and_large_angles_are_exact(angle: float) -> None:
    a = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    b = torch.tensor([[[1.0, 0.0], [0.0, math.cos(angle)], [0.0, math.sin(angle)]]])
    torch.testing.assert_close(principal_angles(a, b), torch.tensor([[0.0, angle]]), rtol=1e-9, atol=1e-16)


def test_a_subspace_within_another_has_no_angle_with_it() -> None:
    field = RandomSubspace(dim=4, seed=0, draw=0)
    x = torch.zeros(2, 10)
    assert angles_between_fields(field, field, x).max() < 1e-14
    assert principal_angles(field.tangent_basis(x)[:, :, :2], field.tangent_basis(x)).max() < 1e-14


def test_bases_of_different_spaces_are_refused() -> None:
    with pytest.raises(ShapeError, match="same B and n"):
        principal_angles(torch.zeros(2, 3, 1), torch.zeros(2, 4, 1))
