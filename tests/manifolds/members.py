"""Manifolds on which the laws are tested: one of every kind, and some more; built once, since searches are cached."""

import functools

import torch

from dimple.manifolds import (
    MANIFOLDS,
    Circle,
    CliffordTorus,
    DecoderManifold,
    Embedding,
    Flat,
    FourierCurve,
    Manifold,
    RandomSurface,
    Segment,
    Sphere,
    Torus,
    Warp,
)


def wave_decoder(z: torch.Tensor) -> torch.Tensor:
    """A decoder of two latent variables to five numbers."""
    u = z[:, 0]
    v = z[:, 1]
    return torch.stack([u, v, 0.3 * u.sin(), 0.3 * (u * v).cos(), (0.5 * v).tanh()], dim=1)


@functools.cache
def members() -> dict[str, Manifold]:
    """Return the manifolds by name; those of `MANIFOLDS` by their kinds."""
    table = {kind: cls() for kind, cls in MANIFOLDS.items()}
    extra = {
        "sphere of dimension 3": Sphere(dim=3, radius=0.3),
        "clifford torus of dimension 3": CliffordTorus(radii=(0.5, 1.0, 2.0)),
        "flat line in the plane": Flat(low=(0.0,), high=(2.0,), offset=(0.5,)),
        "fourier curve in the plane": FourierCurve(ambient_dim=2, amplitude=0.15, seed=3),
        "random cube": RandomSurface(topology="cube", ambient_dim=3, amplitude=0.03),
        "embedded torus": Embedding(Torus(), ambient_dim=30, offset=(0.5,)),
        "warped segment": Warp(Segment(), strength=0.5, frequency=4.0),
        "warped circle in space": Warp(Embedding(Circle(), ambient_dim=3), strength=0.4),
        "decoder": DecoderManifold(wave_decoder, low=-1.0, high=1.5),
    }
    return table | extra


NAMES = sorted(members())
