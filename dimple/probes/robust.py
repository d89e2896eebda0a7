"""Robust accuracy: the samples whose class no attack can change within a radius, for a list of radii."""

from typing import Annotated, Literal, final

import torch
from annotated_types import MinLen
from torch import Tensor

from dimple.attacks.apgd import apgd_ce, apgd_targeted
from dimple.attacks.search import SearchProblem, SearchState
from dimple.boundary.boundary import Boundary, is_correct
from dimple.probes.base import Probe, ProbeResult
from dimple.probes.margin import Margin
from dimple.protocols import TangentField
from dimple.settings import Count, Passes, Positive, Repeats, Seed, SettingError, settings

AttackName = Literal["margin", "apgd_ce", "apgd_targeted"]
# The values of `robust_attack`.
ATTACK_NUMBERS = {"margin": 1, "apgd_ce": 2, "apgd_targeted": 3}
ATTACK_WORDS = ", ".join(f"{number} {name}" for name, number in ATTACK_NUMBERS.items())
MISCLASSIFIED = 0
NONE_FOUND = -1
# The passes of one descent of the minimum-norm search: further descents start elsewhere, and find other minima.
PASSES_PER_DESCENT = 100.0


@final
@settings
class Robust(Probe):
    """The radii within which no attack changes the class of a correctly classified sample; its mean is robust accuracy.

    Each sample is attacked by a minimum-norm search along the boundary (`Margin`), then within each radius by Auto-PGD
    on the cross-entropy and on the targeted difference-of-logits ratio, until one of them finds an adversarial example.
    The nearest of all counts, at its own distance: an example within one radius counts at every larger one, so that
    the robust accuracy never rises with the radius. It is an upper bound of the true one, over all samples; a
    misclassified sample is not robust. `CertifiedRadius` gives lower bounds.

    Columns: `robust_at_EPS` for each radius (correct, and no adversarial example found within it),
    `robust_radius_upper` (the distance of the nearest adversarial example found: 0 where the sample is misclassified,
    `inf` where none was found), `robust_attack` (the attack that found it).

    Args:
        norm: the norm of the radii.
        eps: the radii, in input units, each once.
        attacks: the attacks in their order; a robust accuracy by one attack alone has one name here.
        steps: the number of steps of each run of Auto-PGD.
        restarts: the number of runs of Auto-PGD for each radius, and for each target class.
        classes: the number of target classes, those of highest scores.
        max_passes: the largest number of passes of the minimum-norm search of one sample, of which each descent has
            about a hundred.
        seed: of the random starts of Auto-PGD.

    Reference: Croce and Hein 2020, whose ensemble this is without its black-box attack, and with `Margin` in the place
    of FAB.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> x, y = torch.tensor([[0.15, 0.0], [0.5, 0.0], [-0.5, 0.0]]), torch.tensor([1, 1, 1])
        >>> Robust(eps=(0.1, 0.2))(half_space, x, y).columns["robust_at_0.2"]
        tensor([False,  True, False])
    """

    norm: Literal["l2", "linf"] = "l2"
    eps: Annotated[tuple[Positive, ...], MinLen(1)] = (0.1, 0.2, 0.3)
    attacks: Annotated[tuple[AttackName, ...], MinLen(1)] = ("margin", "apgd_ce", "apgd_targeted")
    steps: Repeats = 100
    restarts: Repeats = 1
    classes: Count = 9
    max_passes: Passes = 500.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        names = [f"{radius:g}" for radius in self.eps]
        if len(set(names)) != len(names):
            raise SettingError("Robust", "eps", f"is {list(self.eps)}; name each radius once, to six digits")

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        scores = boundary.scores(x)
        correct = is_correct(scores, y)
        upper = torch.where(correct, torch.inf, 0.0).to(x)
        found_by = torch.where(correct, NONE_FOUND, MISCLASSIFIED)
        for name in self.attacks:
            # A minimum-norm search has no radius.
            for radius in (0.0,) if name == "margin" else sorted(self.eps):
                rows = torch.nonzero(upper > radius).squeeze(1)
                if len(rows) == 0:
                    continue
                problem = SearchProblem(boundary, x[rows], y[rows], self.norm)
                distance = _checked_distance(self._attack(name, problem, radius))
                nearer = distance < upper[rows]
                upper[rows[nearer]] = distance[nearer]
                found_by[rows[nearer]] = ATTACK_NUMBERS[name]
        columns = {f"robust_at_{radius:g}": upper > radius for radius in self.eps}
        units = dict.fromkeys(columns, "yes or no")
        columns |= {"robust_radius_upper": upper, "robust_attack": found_by}
        units |= {
            "robust_radius_upper": f"{self.norm}, input units",
            "robust_attack": f"-1 none found, 0 misclassified, {ATTACK_WORDS}",
        }
        return ProbeResult(columns, units)

    def _attack(self, name: AttackName, problem: SearchProblem, radius: float) -> SearchState:
        if name == "margin":
            descents = max(1, round(self.max_passes / PASSES_PER_DESCENT))
            margin = Margin(norm=self.norm, max_passes=self.max_passes, restarts=descents)
            return margin.search(problem.boundary, problem.x, problem.y)
        if name == "apgd_ce":
            return apgd_ce(problem, radius, self.steps, self.restarts, self.seed)
        return apgd_targeted(problem, radius, self.steps, self.restarts, self.classes, self.seed)


def _checked_distance(state: SearchState) -> Tensor:
    """Return the distances of the points found, `(B,)`; `inf` where the class is still that of the sample.

    All points are evaluated together once more, because the scores of a point may depend on its batch by rounding.
    """
    margin = state.problem.logit_margin(state.problem.all_rows, state.points)
    return torch.where(margin <= 0, state.distance, torch.inf)
