"""Phases of the dimpled manifold model: intervals of training, and a verdict on "first cling, then dimple"."""

import dataclasses
import math
from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dimple.stats.distance_curve import LEAVING_FACTOR, DistanceCurve, FallFit, find_runs
from dimple.stats.null_bands import MIN_JUDGED
from dimple.stats.replica_curves import HELD_FRACTION, REACHED_ACCURACY, ReplicaCurves, Resample, find_correct

# Fractions of random walks and of white noise to which a fall may fit as well as to the distance.
MAX_WALK_PROBABILITY = 0.025
MAX_NOISE_PROBABILITY = 0.005
# Smallest excess of the off-manifold fraction over its null, as a fraction of the largest possible excess.
MIN_EXCESS = 0.1
BOOTSTRAP_QUANTILES = (0.025, 0.975)


@final
@dataclasses.dataclass(frozen=True)
class Phase:
    """An interval of training in which something was so.

    Attributes:
        name: `fall`, the distance falls from one level to another; `near`, the boundary is near the manifold;
            `correct`, the training points are classified correctly.
        first_step: the first recorded step of the phase.
        last_step: its last recorded step.
        interval: the steps between which it began: the snapshot before the first step and the first step, and where
            points or replicas were resampled at least 95 % of the resamples. For `fall`, the same of its end.
    """

    name: str
    first_step: int
    last_step: int
    interval: tuple[int, int]


@final
@dataclasses.dataclass(frozen=True)
class Condition:
    """A condition of the verdict.

    Attributes:
        name: its name.
        statement: a sentence that says what the value is.
        value: the value found.
        threshold: what the value has to reach.
        met: whether it does; None where the data do not decide.
        finding: what was found, in a sentence with its numbers.
        comparison: `at least`, `at most` or `above`, how the value has to compare with the threshold.
        decides: whether the verdict rests on this condition; no single one decides where all are met.
        is_lower_bound: whether the value is only known to be at least this, because the boundary was first farther than
            the limit of the search.
    """

    name: str
    statement: str
    value: float
    threshold: float
    met: bool | None
    finding: str
    comparison: str = "at least"
    decides: bool = False
    is_lower_bound: bool = False


@final
@dataclasses.dataclass(frozen=True)
class Phases:
    """Phases of a training run, and the verdict on the prediction of the dimpled manifold model.

    Attributes:
        cling_step: the first step of the phase `near` that lasts until `dimple_step` (or the end of training), or None;
            a step at which it has begun at the latest where the initial distance is a lower bound.
        dimple_step: the first step from which the training points are correct at most of the snapshots, or None.
        best_reduction_factor: the largest ratio of the initial distance to the distance before `dimple_step`; nan
            where the initial distance is not positive and finite.
        starts_beyond_limit: whether the initial distance is a lower bound, because some points had no boundary within
            the limit of the search.
        phases: all phases, by name and first step.
        conditions: the conditions of the verdict. The first ones, up to the initial distance, have to be met for any
            verdict but `undecided`.
        verdict: `supported`, `contradicted` or `undecided`.
        reason: the finding of the condition that decided.
    """

    cling_step: int | None
    dimple_step: int | None
    best_reduction_factor: float
    starts_beyond_limit: bool
    phases: tuple[Phase, ...]
    conditions: tuple[Condition, ...]
    verdict: str
    reason: str


def detect_phases(
    steps: Sequence[int],
    distance: ArrayLike,
    accuracy: ArrayLike,
    off_manifold_fraction: ArrayLike,
    off_manifold_fraction_null: float,
    *,
    reduction_factor: float = 5.0,
    off_manifold_fraction_stderr: float = 0.0,
    found_fraction: ArrayLike = 1.0,
    points: int | None = None,
) -> Phases:
    """Find the phases of clinging and dimpling, and judge the prediction "first cling, then dimple, off the manifold".

    The training points are correct from the first snapshot with an accuracy of at least 0.99 that holds at 80 % of the
    snapshots from then on. The boundary is near the manifold from the snapshot at which its distance is at most
    1 / `reduction_factor` of the initial one, until it is above 1/2 of it. Single snapshots that differ more than
    twofold from the median of themselves and their neighbors are replaced by it; those without a distance (nan) are
    left out.

    The verdict is undecided if there are fewer than ten independent values, points times replicas, the accuracy does
    not hold or the initial distance is not positive and finite. Otherwise it is contradicted if one of these conditions
    fails, supported if all are met, and undecided else:

    - the distance falls by `reduction_factor` before the training points are correct. It is undecided where it does so
      between the same two snapshots, or only in some of the resamples;
    - the boundary is still near the manifold then;
    - of these two, one that fails is undecided where the initial distance is a lower bound, since the fall from the
      true one is larger;
    - the fall is distinct: two levels joined by a fall fit the log distance, over the log step, better than they fit
      97.5 % of as long random walks and 99.5 % of as long white noises, where the lowest two fifths of the range count
      as one level, so that the distance may rise as dimples deepen. Otherwise it is undecided: the snapshots are too
      few, or the distance wanders;
    - the off-manifold fraction exceeds its null by a tenth of the largest possible excess, 1 - null. It is undecided
      where this threshold is within two standard errors.

    With several replicas, networks trained from different seeds, the phases and the verdict are those of the median
    over the replicas of distance and accuracy, and of the mean of their off-manifold fractions.

    Args:
        steps: the recorded steps, increasing.
        distance: boundary-to-manifold distance at each recorded step, the first before training: `(snapshots,)`,
            `(replicas, snapshots)` or `(replicas, snapshots, points)`, of which the mean over the points is taken.
            Points and replicas are resampled for 95 % intervals.
        accuracy: training accuracy at each recorded step, `(snapshots,)` or `(replicas, snapshots)`.
        off_manifold_fraction: the final off-manifold fraction of the gradient's squared length, at manifold points; a
            number or `(replicas,)`.
        off_manifold_fraction_null: the same for a random subspace.
        reduction_factor: the factor by which the distance has to fall.
        off_manifold_fraction_stderr: the standard error of `off_manifold_fraction`; that of several replicas is
            computed from their spread instead.
        found_fraction: the fraction of points whose distance is within the limit of the search, at each recorded step,
            `(snapshots,)`, or one number for all. The others count with the limit itself. Where some are beyond it at
            first and none when the boundary is nearest, the reported reductions are lower bounds.
        points: the number of points behind each distance, where the distances are means; None if it is not known.

    Raises:
        ShapeError: if a shape is not one of these.

    Example:
        >>> steps, distance = range(20), [0.5] * 6 + [0.3, 0.1] + [0.05] * 12
        >>> found = detect_phases(steps, distance, [0.5] * 16 + [1.0] * 4, 0.9, 0.33)
        >>> found.cling_step, found.dimple_step, found.verdict
        (7, 16, 'supported')
    """
    replicas = ReplicaCurves(steps, distance, accuracy, reduction_factor)
    fractions = np.atleast_1d(np.asarray(off_manifold_fraction, dtype=float))
    if len(fractions) > 1:
        off_manifold_fraction_stderr = float(fractions.std(ddof=1) / math.sqrt(len(fractions)))
    median_accuracy = replicas.median_accuracy
    index, held = find_correct(median_accuracy)
    dimple_step = None if index is None else int(steps[index])
    conditions = _judge_count(np.shape(distance), len(np.atleast_2d(accuracy)), points)
    conditions.append(_judge_accuracy(index, held, float(median_accuracy[-1])))
    found = np.broadcast_to(np.asarray(found_fraction, dtype=float), (len(steps),))
    starts_beyond = bool(found[0] < 1)
    conditions.append(_judge_start(float(replicas.median_distance[0]), starts_beyond))
    required = len(conditions)
    phases: list[Phase] = []
    fall = math.nan
    cling_step = None
    corrects = []
    if conditions[-1].met:
        curve = replicas.curve
        times = replicas.times
        resamples = replicas.resample()
        corrects = [one.correct for one in resamples if one.correct is not None]
        fall = curve.fall
        cling_step = curve.cling_step
        fit = curve.fit_fall()
        is_found = found[np.searchsorted(steps, curve.times)] >= 1
        conditions += _judge_distance(curve, resamples, dimple_step, starts_beyond, is_found)
        conditions += _judge_shape(fit)
        if all(condition.met for condition in conditions[-2:]):
            ends = [one.curve.fit_fall().ends for one in resamples]
            phases.append(Phase("fall", times[fit.begins], times[fit.ends], _interval(times, fit.ends, ends)))
        phases += _near_phases(curve, resamples, starts_beyond)
    conditions.append(
        _judge_fraction(float(fractions.mean()), off_manifold_fraction_null, off_manifold_fraction_stderr)
    )
    for first, last in find_runs(median_accuracy >= REACHED_ACCURACY):
        interval = _interval(steps, first, corrects if first == index else [])
        phases.append(Phase("correct", int(steps[first]), int(steps[last]), interval))
    verdict, reason, deciding = _judge(conditions[:required], conditions[required:])
    marked = tuple(dataclasses.replace(one, decides=one is deciding) for one in conditions)
    return Phases(cling_step, dimple_step, fall, starts_beyond, tuple(phases), marked, verdict, reason)


def _near_phases(curve: DistanceCurve, resamples: Sequence[Resample], starts_beyond: bool) -> list[Phase]:
    """Return the phases in which the boundary is near the manifold."""
    times = curve.times
    starts = [times.index(one.curve.cling_step) for one in resamples if one.curve.cling_step is not None]
    phases = []
    for first, last in curve.near:
        low, high = _interval(times, first, starts if times[first] == curve.cling_step else [])
        # The distance was a fifth of an initial one beyond the limit at this step or at any earlier one.
        phases.append(Phase("near", times[first], times[last], (times[0] if starts_beyond else low, high)))
    return phases


def _judge(required: Sequence[Condition], others: Sequence[Condition]) -> tuple[str, str, Condition | None]:
    """Return the verdict, the finding of the condition that decided, or of the fall and the fraction, and that one."""
    for verdict, deciding in (
        ("undecided", [one for one in required if not one.met]),
        ("contradicted", [one for one in others if one.met is False]),
        ("undecided", [one for one in others if one.met is None]),
    ):
        if deciding:
            return verdict, deciding[0].finding, deciding[0]
    return "supported", f"{others[1].finding}; {others[-1].finding}", None


def _judge_count(shape: tuple[int, ...], replicas: int, points: int | None) -> list[Condition]:
    """Return the condition that enough independent values were measured; empty where their number is not known."""
    if len(shape) == 3:
        points = shape[2]
    if points is None:
        return []
    count = replicas * points
    finding = f"{count} independent distances, of {points} points and {replicas} network{'s' if replicas > 1 else ''}"
    if count < MIN_JUDGED:
        finding += f"; a verdict needs {MIN_JUDGED}: raise data.heldout_points or replicas"
    statement = "independent values of the distance, points times replicas"
    return [Condition("independent_values", statement, count, MIN_JUDGED, count >= MIN_JUDGED, finding)]


def _judge_accuracy(index: int | None, held: float, last: float) -> Condition:
    # Rounded down, so that an accuracy below 1 is not printed as 1.
    ending = f"it ends at {math.floor(last * 1000) / 1000:.3f}"
    return Condition(
        "accuracy_held",
        f"fraction of the snapshots at which training accuracy holds once it has reached {REACHED_ACCURACY:g}",
        held,
        HELD_FRACTION,
        index is not None,
        f"training accuracy {'was' if index is not None else 'was not'} held at {REACHED_ACCURACY:g} ({ending})",
    )


def _judge_start(initial: float, is_lower_bound: bool) -> Condition:
    statement = "initial distance of the boundary, which has to be finite; a lower bound is enough"
    finding = f"the initial distance of the boundary is {'at least ' if is_lower_bound else ''}{initial:g}"
    is_known = 0 < initial < math.inf
    if not is_known:
        finding += ", from which no fall can be measured"
    return Condition(
        "initial_distance", statement, initial, 0.0, is_known, finding, "above", is_lower_bound=is_lower_bound
    )


def _judge_distance(
    curve: DistanceCurve,
    resamples: Sequence[Resample],
    dimple_step: int | None,
    starts_beyond: bool,
    is_found: NDArray[np.bool_],
) -> tuple[Condition, Condition]:
    """Judge whether the distance fell before dimpling, and whether the boundary was still near the manifold then.

    Args:
        starts_beyond: whether the initial distance is a lower bound.
        is_found: for each snapshot of the curve, whether all points have a boundary within the limit of the search.
    """
    before = max(curve.before, 1)
    is_bound = starts_beyond and bool(is_found[curve.logs[:before].argmin()])
    at_least = "at least " if is_bound else ""
    low, high = np.quantile([one.curve.fall for one in resamples] or [curve.fall], BOOTSTRAP_QUANTILES)
    end = "the end of training" if dimple_step is None else f"training points were correct at step {dimple_step}"
    finding = f"the distance fell {at_least}{curve.fall:.1f}-fold before {end}"
    has_fallen = _is_at_least(float(low), float(high), curve.factor)
    shortfall = f", and {curve.factor:g}-fold is needed" if has_fallen is False else ""
    if has_fallen is False and starts_beyond:
        has_fallen = None
        shortfall += "; how far the boundary was at first, beyond the limit of the search, is not known"
    if curve.fall < curve.factor <= curve.fall_at_dimpling:
        has_fallen = None
        finding += f", and {curve.fall_at_dimpling:.1f}-fold by that step: more snapshots would show which came first"
    elif has_fallen is None and not shortfall:
        finding += f", by {low:.1f} to {high:.1f} in 95 % of the resampled points, and {curve.factor:g} is needed"
    fall = Condition(
        "distance_fall",
        "largest fall of the distance before the training points were correct, how many fold",
        curve.fall,
        curve.factor,
        has_fallen,
        finding + (shortfall if "more snapshots" not in finding else ""),
        is_lower_bound=is_bound,
    )
    is_near = curve.cling_step is not None
    stays = is_near or (None if starts_beyond else False)
    stay = Condition(
        "stays_near",
        "how many times nearer than at the start the boundary still is just before the dimpling",
        curve.last_reduction,
        LEAVING_FACTOR,
        stays if curve.fall >= curve.factor else None,
        f"{finding}, "
        + (
            f"near the manifold from step {curve.cling_step} on"
            if is_near
            else f"but did not stay small: at the last snapshot before that, {curve.last_reduction:.1f}-fold was left"
        ),
        is_lower_bound=starts_beyond and bool(is_found[before - 1]),
    )
    return fall, stay


def _judge_shape(fit: FallFit) -> tuple[Condition, Condition]:
    """Judge whether a fall between two levels fits the distance better than random curves."""
    return (
        _judge_random("distinct_fall", "random walk", fit.probability("walk"), MAX_WALK_PROBABILITY),
        _judge_random("distinct_from_noise", "sequence of noise", fit.probability("noise"), MAX_NOISE_PROBABILITY),
    )


def _judge_random(name: str, curve: str, probability: float, threshold: float) -> Condition:
    is_distinct = probability <= threshold
    return Condition(
        name,
        f"chance that a {curve} looks as much like one clear fall",
        probability,
        threshold,
        True if is_distinct else None,
        f"the distance does not show a distinct fall: the chance that a {curve} looks as much like one is "
        f"{100 * probability:.2g} %, and at most {100 * threshold:g} % is allowed; more snapshots may show it",
        "at most",
    )


def _judge_fraction(fraction: float, null: float, stderr: float) -> Condition:
    excess = (fraction - null) / (1 - null)
    error = 2 * stderr / (1 - null)
    needed = null + MIN_EXCESS * (1 - null)
    is_above = _is_at_least(excess - error, excess + error, MIN_EXCESS)
    if math.isfinite(excess) and math.isfinite(error):
        # Near a null of 1 the two differ in a later place.
        places = next((count for count in range(2, 9) if f"{null:.{count}f}" != f"{needed:.{count}f}"), 2)
        text = f"{fraction:.{places}f}"
        # A smaller standard error is rounding.
        if stderr >= 1e-6:
            digits = max(places, -math.floor(math.log10(2 * stderr)))
            text = f"{fraction:.{digits}f} ± {2 * stderr:.{digits}f}"
        chance = "no more than" if fraction >= null else "less than"
        finding = {
            True: "the gradient points off the manifold more than by chance",
            False: f"the gradient points off the manifold {chance} by chance",
            None: "whether the gradient points off the manifold more than by chance is open",
        }[is_above]
        finding += (
            f": its off-manifold fraction is {text}, null {null:.{places}f}, and at least {needed:.{places}f} is needed"
        )
    else:
        finding = "too few points have a gradient to estimate its off-manifold fraction: raise data.heldout_points"
    statement = (
        f"off-manifold fraction of the gradient; by chance {null:.3f}; at least {needed:.3f} is needed (chance plus a "
        "tenth of 1 - chance)"
    )
    return Condition("off_manifold_fraction", statement, fraction, needed, is_above, finding)


def _is_at_least(low: float, high: float, threshold: float) -> bool | None:
    """Return whether an interval lies at or above a threshold; None where it reaches across, or is nan."""
    if low >= threshold:
        return True
    return False if high < threshold else None


def _interval(steps: Sequence[int], index: int, resampled: Sequence[int]) -> tuple[int, int]:
    """Return the steps between which a phase began: since the snapshot before, and in 95 % of the resamples."""
    low, high = np.quantile([index, *resampled], BOOTSTRAP_QUANTILES, method="nearest").astype(int)
    return int(steps[min(low, max(index - 1, 0))]), int(steps[max(high, index)])
