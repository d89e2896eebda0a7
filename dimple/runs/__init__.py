"""Run folders, and series of checkpoint files as trajectories."""

from dimple.runs.checkpoints import Checkpoints
from dimple.runs.run import RunFolder

__all__ = ["Checkpoints", "RunFolder"]
