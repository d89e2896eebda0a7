"""Manifolds with exact geometry; the table's keys are the values of `manifold.kind` in a scene file."""

from dimple.manifolds.base import Manifold
from dimple.manifolds.flat import Flat
from dimple.manifolds.sphere import Sphere

MANIFOLDS: dict[str, type[Manifold]] = {
    "flat": Flat,
    "sphere": Sphere,
}

__all__ = ["MANIFOLDS", "Flat", "Manifold", "Sphere"]
