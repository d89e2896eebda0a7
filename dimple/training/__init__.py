"""Training methods; the keys of `TRAININGS` are the values of `training.kind` in a scene file."""

from dimple.renamed import missing_attribute
from dimple.training.loop import TRAININGS, SnapshotSchedule, StandardTraining, Training

__all__ = ["TRAININGS", "SnapshotSchedule", "StandardTraining", "Training"]

__getattr__ = missing_attribute(__name__)
