"""Manifolds with exact geometry; the keys of `MANIFOLDS` are the values of `manifold.kind` in a scene file."""

from dimple.manifolds.affine import Flat, Plane, Segment
from dimple.manifolds.base import Manifold
from dimple.manifolds.chart_function import chart_manifold
from dimple.manifolds.curves import Arc, Ellipse, Helix, Spiral
from dimple.manifolds.decoder import DecoderManifold
from dimple.manifolds.diffeomorphism import Warp
from dimple.manifolds.embedding import Embedding, FramedEmbedding
from dimple.manifolds.fourier import FourierCurve, RandomSurface
from dimple.manifolds.graphs import Paraboloid, Saddle, Waves
from dimple.manifolds.rolls import SCurve, SwissRoll
from dimple.manifolds.sphere import Circle, Sphere
from dimple.manifolds.tabulated_tangents import TabulatedTangents
from dimple.manifolds.tori import CliffordTorus, KleinBottle, Moebius, Torus
from dimple.manifolds.two_component import ConcentricSpheres, IntertwinedRolls, LinkedCircles, Moons
from dimple.renamed import missing_attribute

MANIFOLDS: dict[str, type[Manifold]] = {
    "arc": Arc,
    "circle": Circle,
    "clifford_torus": CliffordTorus,
    "concentric_spheres": ConcentricSpheres,
    "ellipse": Ellipse,
    "embed": Embedding,
    "flat": Flat,
    "fourier_curve": FourierCurve,
    "helix": Helix,
    "intertwined_rolls": IntertwinedRolls,
    "klein_bottle": KleinBottle,
    "linked_circles": LinkedCircles,
    "moebius": Moebius,
    "moons": Moons,
    "paraboloid": Paraboloid,
    "plane": Plane,
    "random_surface": RandomSurface,
    "s_curve": SCurve,
    "saddle": Saddle,
    "segment": Segment,
    "sphere": Sphere,
    "spiral": Spiral,
    "swiss_roll": SwissRoll,
    "torus": Torus,
    "warp": Warp,
    "waves": Waves,
}

__all__ = [
    "MANIFOLDS",
    "Arc",
    "Circle",
    "CliffordTorus",
    "ConcentricSpheres",
    "DecoderManifold",
    "Ellipse",
    "Embedding",
    "Flat",
    "FourierCurve",
    "FramedEmbedding",
    "Helix",
    "IntertwinedRolls",
    "KleinBottle",
    "LinkedCircles",
    "Manifold",
    "Moebius",
    "Moons",
    "Paraboloid",
    "Plane",
    "RandomSurface",
    "SCurve",
    "Saddle",
    "Segment",
    "Sphere",
    "Spiral",
    "SwissRoll",
    "TabulatedTangents",
    "Torus",
    "Warp",
    "Waves",
    "chart_manifold",
]  # fmt: skip

__getattr__ = missing_attribute(__name__)
