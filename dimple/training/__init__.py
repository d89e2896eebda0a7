"""Training regimes; the table's keys are the values of `training.kind` in a scene file."""

from dimple.training.loop import TRAININGS, Snapshots, Standard, Training

__all__ = ["TRAININGS", "Snapshots", "Standard", "Training"]
