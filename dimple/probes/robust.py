"""Robust accuracy: the samples whose class no attack can change within a radius, for a list of radii or for all."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from annotated_types import MinLen
from torch import Tensor

from dimple.attacks.apgd import apgd_ce, apgd_targeted
from dimple.attacks.fab import fab
from dimple.attacks.search import SearchProblem, SearchState
from dimple.attacks.square import square
from dimple.boundary.boundary import Boundary, is_correct, runner_up_classes
from dimple.probes.base import Probe, ProbeResult
from dimple.probes.certified import Certificate, CertifiedRadius
from dimple.probes.margin import Margin
from dimple.protocols import TangentField
from dimple.settings import Count, Passes, Positive, Repeats, Seed, SettingError, settings

AttackName = Literal["margin", "apgd_ce", "apgd_targeted", "fab_targeted", "square"]
# The attacks of AutoAttack, whose robust accuracy is that of the literature.
STANDARD_ATTACKS: tuple[AttackName, ...] = ("apgd_ce", "apgd_targeted", "fab_targeted", "square")
# The values of `robust_attack`.
ATTACK_NUMBERS = {"margin": 1, "apgd_ce": 2, "apgd_targeted": 3, "fab_targeted": 4, "square": 5}
# The attacks that search the nearest example, not one within a radius.
MINIMUM_NORM_ATTACKS = ("margin", "fab_targeted")
# The passes of a step of the fast adaptive boundary attack towards one class.
FAB_STEP_PASSES = 1.4
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
        attacks: the attacks in their order; a robust accuracy by one attack alone has one name here. `fab_targeted` and
            `square` complete the standard ensemble, `apgd_ce`, `apgd_targeted`, `fab_targeted` and `square`.
        steps: the number of steps of each run of Auto-PGD, and of FAB towards each class.
        queries: the number of queries of the square attack for each radius.
        restarts: the number of runs of Auto-PGD for each radius, and for each target class.
        classes: the number of target classes, those of highest scores.
        max_passes: the largest number of passes of the minimum-norm search of one sample, of which each descent has
            about a hundred.
        seed: of the random starts of Auto-PGD, and of the windows of the square attack.

    Reference: Croce and Hein 2020, whose ensemble this is by default without its black-box attack, and with `Margin` in
    the place of FAB.

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
    queries: Repeats = 5000
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
            for radius in (0.0,) if name in MINIMUM_NORM_ATTACKS else sorted(self.eps):
                rows = torch.nonzero(upper > radius).squeeze(1)
                if len(rows) == 0:
                    continue
                problem = SearchProblem(boundary, x[rows], y[rows], self.norm)
                distance = torch.stack([_checked_distance(one) for one in self._attack(name, problem, radius)]).amin(0)
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

    def _attack(self, name: AttackName, problem: SearchProblem, radius: float) -> Iterator[SearchState]:
        """Yield the searches of one attack."""
        if name == "margin":
            descents = max(1, round(self.max_passes / PASSES_PER_DESCENT))
            margin = Margin(norm=self.norm, max_passes=self.max_passes, restarts=descents)
            yield margin.search(problem.boundary, problem.x, problem.y)
        elif name == "apgd_ce":
            yield apgd_ce(problem, radius, self.steps, self.restarts, self.seed)
        elif name == "apgd_targeted":
            yield apgd_targeted(problem, radius, self.steps, self.restarts, self.classes, self.seed)
        elif name == "square":
            yield square(problem, radius, self.queries, self.seed)
        else:
            targets = runner_up_classes(problem.boundary.scores(problem.x), problem.y, self.classes)
            for target in targets.T:
                yield fab(dataclasses.replace(problem, targets=target), FAB_STEP_PASSES * self.steps)


@final
@settings
class RobustnessCurve(Probe):
    """The radius certified at each sample and the distance of the nearest adversarial example found.

    The robust accuracy at a radius is the fraction of all samples that are classified correctly and have no adversarial
    example within it. That of the certified radii is a lower bound at every radius, and that of the distances found by
    the minimum-norm search along the boundary (`Margin`) an upper one. With `eps` the standard ensemble of attacks
    gives another upper bound at some radii.

    Columns: `certified_radius`, `robust_radius_upper` (the distance found; both are 0 where the sample is
    misclassified), and with `eps` those of `Robust` with the attacks of the standard ensemble: `robust_at_EPS`.

    Args:
        norm: the norm of the radii.
        certificate: the bounds that certify, as in `CertifiedRadius`.
        max_passes: the largest number of passes of the minimum-norm search of one sample, as in `Robust`.
        eps: the radii at which the standard attacks are run, each once; None for none.
        steps, queries: of the standard attacks, as in `Robust`.
        seed: of the standard attacks.

    Reference: Croce and Hein 2020 for the standard attacks.

    Example:
        >>> import torch
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> found = RobustnessCurve()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).columns
        >>> found["certified_radius"].round(decimals=2), found["robust_radius_upper"].round(decimals=2)
        (tensor([2.]), tensor([2.]))
    """

    norm: Literal["l2", "linf"] = "l2"
    certificate: Certificate = "crown"
    max_passes: Passes = 500.0
    eps: Annotated[tuple[Positive, ...], MinLen(1)] | None = None
    steps: Repeats = 100
    queries: Repeats = 5000
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        certified = CertifiedRadius(norm=self.norm, method=self.certificate).run(boundary, x, y, tangents)
        search = Robust(norm=self.norm, attacks=("margin",), max_passes=self.max_passes, seed=self.seed)
        found = search.run(boundary, x, y, tangents)
        name = "robust_radius_upper"
        columns = certified.columns | {name: found.columns[name]}
        units = certified.units | {name: found.units[name]}
        if self.eps is not None:
            standard = Robust(
                norm=self.norm,
                eps=self.eps,
                attacks=STANDARD_ATTACKS,
                steps=self.steps,
                queries=self.queries,
                seed=self.seed,
            )
            result = standard.run(boundary, x, y, tangents)
            kept = [f"robust_at_{radius:g}" for radius in self.eps]
            columns |= {column: result.columns[column] for column in kept}
            units |= {column: result.units[column] for column in kept}
        return ProbeResult(columns, units)


def _checked_distance(state: SearchState) -> Tensor:
    """Return the distances of the points found, `(B,)`; `inf` where the class is still that of the sample.

    All points are evaluated together once more, because the scores of a point may depend on its batch by rounding.
    """
    margin = state.problem.logit_margin(state.problem.all_rows, state.points)
    return torch.where(margin <= 0, state.distance, torch.inf)
