"""The autoencoder on manifolds with known tangents."""

import pytest
import torch

from dimple.errors import DivergedError, ModelError
from dimple.manifolds import Paraboloid
from dimple.networks.autoencoder import Autoencoder
from dimple.tangents import AutoencoderJacobian
from dimple.tangents.principal_angles import largest_principal_angle
from dimple.tensors import generator

pytestmark = pytest.mark.usefixtures("double")


def test_the_decoder_jacobian_finds_the_tangents_of_a_surface() -> None:
    surface = Paraboloid()
    cloud = surface.sample(500, generator(0, "cloud"))
    encoder, decoder = Autoencoder(latent=surface.dim, steps=800, batch=128).fit(cloud, generator(1, "autoencoder"))
    x = surface.sample(200, generator(2, "x"))
    estimate = AutoencoderJacobian(encoder, decoder, tolerance=0.1).estimate(x)
    error = largest_principal_angle(estimate.basis, surface.tangent_basis(x))
    assert float(error.median()) < 0.1
    assert float(estimate.radius.median()) < 0.03
    assert float(estimate.reliable.double().mean()) > 0.9


def test_the_fit_depends_on_the_seed_but_not_on_units_and_shapes() -> None:
    cloud = torch.randn(50, 2, 3, generator=generator(0, "cloud"))
    small = Autoencoder(latent=2, widths=(8,), steps=30)
    encoder, decoder = small.fit(cloud, generator(1, "a"))
    same = small.fit(cloud, generator(1, "a"))
    rescaled = small.fit(1000 * cloud + 5, generator(1, "a"))
    assert decoder(encoder(cloud)).shape == cloud.shape
    assert torch.equal(same[1](same[0](cloud)), decoder(encoder(cloud)))
    torch.testing.assert_close(rescaled[1](rescaled[0](1000 * cloud + 5)), 1000 * decoder(encoder(cloud)) + 5)
    assert not any(parameter.requires_grad for parameter in [*encoder.parameters(), *decoder.parameters()])


def test_equal_points_and_divergent_steps_are_refused() -> None:
    with pytest.raises(ModelError, match="points that differ"):
        Autoencoder().fit(torch.ones(5, 3), generator(0, "a"))
    points = torch.randn(20, 3, generator=generator(0, "x"), dtype=torch.float32)
    with pytest.raises(DivergedError, match="lower lr"):
        Autoencoder(lr=1e30, steps=20).fit(points, generator(0, "a"))
