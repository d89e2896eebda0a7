"""Training: an objective, an optimizer, a schedule, batches and a stop, in one loop that can continue anywhere."""

from dimple.renamed import missing_attribute
from dimple.training.augmentation import AUGMENTATIONS, Augmentation
from dimple.training.evaluation import Evaluation, EvaluationAttack
from dimple.training.loop import SnapshotSchedule, StateCache, Training
from dimple.training.objectives import OBJECTIVES, Objective
from dimple.training.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Optimizer
from dimple.training.schedules import SCHEDULES, Averaging, Schedule, Stop

__all__ = [
    "AUGMENTATIONS",
    "OBJECTIVES",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adam",
    "AdamW",
    "Augmentation",
    "Averaging",
    "Evaluation",
    "EvaluationAttack",
    "Objective",
    "Optimizer",
    "Schedule",
    "SnapshotSchedule",
    "StateCache",
    "Stop",
    "Training",
]

__getattr__ = missing_attribute(__name__)
