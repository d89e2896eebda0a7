"""Run folders, and other people's checkpoint files seen as the same trajectory."""

from dimple.runs.checkpoints import Checkpoints
from dimple.runs.run import Run

__all__ = ["Checkpoints", "Run"]
