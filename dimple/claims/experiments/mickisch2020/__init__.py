"""Experiments for the claims of Mickisch, Assion, Gressner, Günther, Motta 2020, and of Humayun et al. 2024."""

from dimple.claims.experiments.base import Experiment
from dimple.claims.experiments.mickisch2020.confidence_and_margin import ConfidenceAndMargin
from dimple.claims.experiments.mickisch2020.defended_margins import DefendedMargins
from dimple.claims.experiments.mickisch2020.directional_margins import DirectionalMargins
from dimple.claims.experiments.mickisch2020.margin_and_noise import MarginAndNoise
from dimple.claims.experiments.mickisch2020.margin_course import MarginCourse
from dimple.claims.experiments.mickisch2020.margin_variance import MarginVariance
from dimple.claims.experiments.mickisch2020.region_migration import RegionMigration

EXPERIMENTS: dict[str, type[Experiment]] = {
    "confidence_and_margin": ConfidenceAndMargin,
    "defended_margins": DefendedMargins,
    "directional_margins": DirectionalMargins,
    "margin_and_noise": MarginAndNoise,
    "margin_course": MarginCourse,
    "margin_variance": MarginVariance,
    "region_migration": RegionMigration,
}
