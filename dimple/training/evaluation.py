"""The accuracies that are measured at each snapshot, and the choice of the best one by samples held out for it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, final

import numpy as np
from annotated_types import MinLen
from numpy.typing import NDArray

from dimple.errors import SceneError
from dimple.settings import Flag, Positive, Repeats, settings


@final
@settings
class EvaluationAttack:
    """The attacks of the probe `robust` in training: the radii, and the length of each search.

    Args:
        norm: the norm of the radii.
        eps: the radii, in input units, each once.
        steps: the number of steps of each run of Auto-PGD.
        restarts: the number of runs of Auto-PGD for each radius, and for each target class.
    """

    norm: Literal["l2", "linf"] = "l2"
    eps: Annotated[tuple[Positive, ...], MinLen(1)] = (0.1, 0.2, 0.3)
    steps: Repeats = 100
    restarts: Repeats = 1


@final
@settings
class Evaluation:
    """The accuracies of each snapshot, and the choice of the best one.

    Args:
        clean: whether all training and test samples are classified; if false, only the measured ones, since
            a large network takes long for all.
        attack: robust accuracy of the measured samples, as of the probe `robust`; null for none.
        keep_best: the accuracy by which one snapshot is chosen as the best: `validation_clean`, or `validation_robust`,
            the mean over the radii of the attack. It is that of as many training samples as are measured, which are
            held out. Null for no choice.

    Reference: Rice, Wong and Kolter 2020, Overfitting in adversarially robust deep learning, section 3.

    Example:
        >>> Evaluation(keep_best="validation_clean").best_row({"validation_accuracy": np.array([0.1, 0.9, 0.8])})
        1
    """

    clean: Flag = True
    attack: EvaluationAttack | None = None
    keep_best: Literal["validation_clean", "validation_robust"] | None = None

    def __post_init__(self) -> None:
        if self.keep_best == "validation_robust" and self.attack is None:
            raise SceneError(
                "keep_best is validation_robust, and attack is missing; add attack: {norm: linf, eps: [0.1]}"
            )

    def best_row(self, metrics: Mapping[str, NDArray[Any]]) -> int | None:
        """Return the row of the best snapshot, the first of several; None without a choice."""
        if self.keep_best is None:
            return None
        names = ["validation_accuracy"]
        if self.keep_best == "validation_robust" and self.attack is not None:
            names = [f"validation_robust_at_{radius:g}" for radius in self.attack.eps]
        return int(np.argmax(np.sum([metrics[name] for name in names], axis=0)))
