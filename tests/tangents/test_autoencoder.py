"""The autoencoder on manifolds with known tangents."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dimple.errors import DivergedError, ModelError
from dimple.manifolds import Paraboloid
from dimple.tangents import AutoencoderJacobian
from dimple.tangents.autoencoder import Autoencoder, read_autoencoder
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


def test_a_file_gives_the_same_networks_back(tmp_path: Path) -> None:
    cloud = torch.randn(50, 2, 3, generator=generator(0, "cloud"))
    model = Autoencoder(latent=2, widths=(8, 5), steps=10)
    encoder, decoder = model.fit(cloud, generator(1, "a"))
    file = tmp_path / "autoencoder.safetensors"
    file.write_bytes(model.to_bytes(encoder, decoder))
    again = read_autoencoder(file)
    assert torch.equal(again[1](again[0](cloud)), decoder(encoder(cloud)))
    assert not any(parameter.requires_grad for network in again for parameter in network.parameters())


SMALL = {"latent": 2, "widths": [4], "steps": 1, "lr": 1e-3, "batch": 8, "shape": [3]}


@pytest.mark.parametrize(
    "about",
    ["{", "[]", None, *(json.dumps(SMALL | change) for change in (
        {"latent": 10**12}, {"widths": [10**9]}, {"shape": [10**6, 10**6]}, {"shape": "x"}, {"latent": "2"},
        {"more": 1}, {"latent": 3}, {},
    ))],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused_before_it_takes_memory(about: str | None, tmp_path: Path) -> None:
    file = tmp_path / "autoencoder.safetensors"
    weights = {"decoder.1.shift": torch.zeros(3), "decoder.1.factor": torch.ones(())}
    save_file(weights, file, None if about is None else {"autoencoder": about})
    with pytest.raises(ModelError, match="holds no autoencoder of dimple"):
        read_autoencoder(file)


def test_a_file_that_is_missing_or_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "autoencoder.safetensors"
    with pytest.raises(ModelError, match="holds no autoencoder"):
        read_autoencoder(file)
    cloud = torch.randn(50, 3, generator=generator(0, "cloud"))
    model = Autoencoder(latent=1, widths=(4,), steps=1)
    file.write_bytes(model.to_bytes(*model.fit(cloud, generator(1, "a")))[:-9])
    with pytest.raises(ModelError, match="holds no autoencoder"):
        read_autoencoder(file)
