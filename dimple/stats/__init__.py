"""Statistics of measurements: aggregates, comparisons with a null distribution, and phases of training."""

from dimple.stats.phases import Phases, detect_phases

__all__ = ["Phases", "detect_phases"]
