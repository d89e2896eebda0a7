"""Experiments for claims of our own that no paper makes."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.dimple2026.exact_boundary import ExactBoundary
from dimple.claims.experiments.dimple2026.image_dimples import ImageDimples
from dimple.claims.experiments.dimple2026.optimal_boundary import OptimalBoundary
from dimple.claims.experiments.dimple2026.phase_diagram import PhaseDiagram

EXPERIMENTS: dict[str, type[Experiment]] = {
    "exact_boundary": ExactBoundary,
    "image_dimples": ImageDimples,
    "optimal_boundary": OptimalBoundary,
    "phase_diagram": PhaseDiagram,
}
