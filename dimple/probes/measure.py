"""Several probes at the same samples, side by side in one measurement."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary, gap_of
from dimple.probes.base import Cost, Measurement, Probe
from dimple.protocols import TangentField


def measure(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    probes: Sequence[Probe],
    tangents: TangentField | None = None,
    *,
    chunk: int = 256,
) -> Measurement:
    """What the classifier says of each sample, and the columns of every probe.

    Args:
        y: the labels `(B,)`; -1 for unlabelled samples, which are measured as what they are predicted to be.

    Returns:
        Columns `label`, `prediction`, `correct`, `confidence` (softmax of the prediction), `gap`, then the probes'; and
        what each probe cost.
    """
    scores = torch.cat([boundary.scores(x[start : start + chunk]) for start in range(0, len(x), chunk)])
    prediction = scores.argmax(1)
    target = torch.where(y < 0, prediction, y)
    columns = {
        "label": y,
        "prediction": prediction,
        "correct": prediction == target,
        "confidence": scores.softmax(1).max(1).values,
        "gap": gap_of(scores, target),
    }
    units = {
        "label": "class, -1 for none",
        "prediction": "class",
        "correct": "yes or no",
        "confidence": "probability",
        "gap": "score",
    }
    details: dict[str, Tensor] = {}
    costs = []
    for probe in probes:
        forwards, backwards = boundary.forwards, boundary.backwards
        result = probe(boundary, x, target, tangents, chunk=chunk)
        columns |= result.columns
        units |= result.units
        details |= result.details
        costs.append(Cost(len(x), boundary.forwards - forwards, boundary.backwards - backwards))
    return Measurement(columns, units, details, tuple(costs))
