"""Training regimes; the table's keys are the values of `training.kind` in a scene file."""

from dimple.training.fit import TRAININGS, Standard, Training
from dimple.training.schedule import Snapshots

__all__ = ["TRAININGS", "Snapshots", "Standard", "Training"]
