"""Measurement of the same samples by several probes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary, compute_logit_margin, is_correct
from dimple.probes.base import Cost, Probe, ProbeResult
from dimple.probes.closest_points import use_closest_points
from dimple.protocols import TangentField
from dimple.tensors import apply_in_chunks


def run_probes(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    probes: Sequence[Probe],
    tangents: TangentField | None = None,
    *,
    chunk_size: int = 256,
) -> ProbeResult:
    """Measure samples with several probes, and add the classifier's prediction for each sample.

    The nearest boundary point that any of them finds is that of all: a free margin is never above a restricted one.

    Args:
        boundary: the decision boundary.
        x: samples `(B, *shape)`.
        y: labels `(B,)`; -1 for unlabeled samples, whose prediction is taken as their label.
        probes: the probes, in the order of their columns.
        tangents: the directions along the data, for probes that need them.
        chunk_size: the number of samples that are processed together.

    Returns:
        The columns `label`, `prediction`, `correct`, `confidence` (softmax of the prediction) and `logit_margin`, then
        those of the probes; and the cost of each probe.
    """
    scores = apply_in_chunks(boundary.scores, x, chunk_size)
    prediction = scores.argmax(1)
    target = torch.where(y < 0, prediction, y)
    columns = {
        "label": y,
        "prediction": prediction,
        "correct": is_correct(scores, target),
        "confidence": scores.softmax(1).max(1).values,
        "logit_margin": compute_logit_margin(scores, target),
    }
    units = {
        "label": "class, -1 for none",
        "prediction": "class",
        "correct": "yes or no",
        "confidence": "probability",
        "logit_margin": "score",
    }
    details: dict[str, Tensor] = {}
    costs = []
    for probe in probes:
        forwards = boundary.forwards
        backwards = boundary.backwards
        result = probe(boundary, x, target, tangents, chunk_size=chunk_size)
        # The parts of a step are meaningful only with its length: of two columns, that of the parts stays.
        kept = {"margin_unbounded"} if "on_part" in details else set()
        columns |= {name: values for name, values in result.columns.items() if name not in kept}
        units |= result.units
        details |= result.details
        costs.append(Cost(len(x), boundary.forwards - forwards, boundary.backwards - backwards))
    forwards = boundary.forwards
    backwards = boundary.backwards
    use_closest_points(boundary, x, probes, tangents, columns, details)
    if costs:
        costs[-1] += Cost(0, boundary.forwards - forwards, boundary.backwards - backwards)
    return ProbeResult(columns, units, details, tuple(costs))
