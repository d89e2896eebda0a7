"""The claims of the papers as they are written down before anything is run: one YAML file a paper in `papers/`."""

import functools
import hashlib
import json
import math
from importlib import resources
from typing import Any, Literal, final

from dimple.claims.experiments import EXPERIMENTS
from dimple.claims.experiments.base import Experiment
from dimple.errors import SceneError, UsageError
from dimple.scene.build import build
from dimple.scene.dump import dump
from dimple.scene.yaml_nodes import parse_yaml
from dimple.settings import Count, Finite, Flag, settings, suggest_word

FAMILIES: dict[type, dict[str, type]] = {Experiment: dict(EXPERIMENTS)}
# More primary leaves would share the level so finely that eight replicas could decide none of them.
MAX_PRIMARY = 6
# The dimpled manifold model first, then its neighbors.
ORDER = (
    "shamir2021", "melamed2023", "mickisch2020", "szegedy2013", "agarwal2020", "xu2023", "critics", "dimple2026",
)  # fmt: skip
# Probability of a false verdict among all primary leaves of a paper.
LEVEL = 0.05

# How a statement of a paper is known.
Source = Literal["abstract", "figure", "paper's source", "authors' code", "authors' page", "quoted", "summary", "ours"]


@final
@settings
class Criterion:
    """A condition on one statistic: exactly one of the three bounds is given.

    Args:
        column: of the rows of the experiment; the estimate is the median over the replicas.
        statistic: what it is, in a few words with its unit.
        at_least: the claim holds from this value on.
        at_most: the claim holds up to this value.
        within: the claim holds between two values: a law, or no change of practical size.
        null_column: the column with the same statistic where the claim is absent by construction, printed beside.
    """

    column: str
    statistic: str
    at_least: Finite | None = None
    at_most: Finite | None = None
    within: tuple[Finite, Finite] | None = None
    null_column: str | None = None

    def __post_init__(self) -> None:
        given = [bound for bound in (self.at_least, self.at_most, self.within) if bound is not None]
        if len(given) != 1:
            raise SceneError(f"column is {self.column!r} with {len(given)} of at_least, at_most, within; give one")

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval in which the claim holds."""
        if self.within is not None:
            return self.within
        return -math.inf if self.at_least is None else self.at_least, math.inf if self.at_most is None else self.at_most

    @property
    def comparison(self) -> str:
        """The comparison of the value with the bounds: "at least", "at most" or "within"."""
        names = ("at_least", "at_most", "within")
        return next(name for name in names if getattr(self, name) is not None).replace("_", " ")

    @property
    def threshold(self) -> float | tuple[float, float]:
        """The bound, or both."""
        if self.within is not None:
            return self.within
        return next(bound for bound in self.bounds if math.isfinite(bound))

    def describe_bounds(self, signs: bool = False) -> str:
        """Return the bounds in words, or with signs of comparison."""
        if self.within is not None:
            return f"{self.within[0]:g} to {self.within[1]:g}"
        sign = {"at least": "\u2265", "at most": "\u2264"}[self.comparison] if signs else self.comparison
        return f"{sign} {self.threshold:g}"


@final
@settings
class Reference:
    """A number of the paper, seen in a primary source, that is printed beside ours.

    Args:
        value: the number with its unit.
        of: what it is the number of.
        seen: where it was seen.
    """

    value: str
    of: str
    seen: str


@final
@settings
class Beside:
    """A control, a null or a part of the experiment that is printed beside the verdict and does not enter it.

    Args:
        column: of the rows of the experiment.
        meaning: what it is, in a few words.
    """

    column: str
    meaning: str


@final
@settings
class Leaf:
    """One claim of a paper that can be judged.

    Args:
        id: its name within the paper.
        primary: whether it shares the correction for multiple tests with the other primary leaves of the paper.
        statement: the claim in one sentence.
        source: how the statement is known.
        experiment: what is run, and gives the columns.
        criteria: what has to hold, all of it; the first is the headline.
        controls: how the effect could come out without the claim, and what excludes that.
        contradicted_by: what result would contradict the claim.
        beside: columns that are printed beside.
        references: numbers of the paper.
        ours: settings that no source gives.
        replicas: how many seeds are run.
        full: the experiment of the full run; null for the same one.
        full_replicas: how many seeds the full run has.
        quick: whether the quick run includes it.
    """

    id: str
    statement: str
    source: Source
    experiment: Experiment
    criteria: tuple[Criterion, ...]
    controls: str
    contradicted_by: str
    primary: Flag = False
    beside: tuple[Beside, ...] = ()
    references: tuple[Reference, ...] = ()
    ours: str = ""
    replicas: Count = 8
    full: Experiment | None = None
    full_replicas: Count = 20
    quick: Flag = True

    def __post_init__(self) -> None:
        if not self.criteria:
            raise SceneError(f"id is {self.id!r} without criteria; give at least one")
        if min(self.replicas, self.full_replicas) < 8:
            raise SceneError(f"id is {self.id!r} with fewer than 8 replicas, which decide nothing at a corrected level")

    def run_of(self, mode: str) -> tuple[Experiment, int]:
        """Return the experiment and the number of its replicas, in the mode "quick" or "full"."""
        if mode == "quick":
            return self.experiment, self.replicas
        return self.experiment if self.full is None else self.full, self.full_replicas

    @functools.cached_property
    def hash(self) -> str:
        """A hash of all that is written down before the run."""
        return hashlib.sha256(dump(self, FAMILIES).encode()).hexdigest()[:16]


@final
@settings
class Paper:
    """A paper with its leaves.

    Args:
        id: first author and year.
        title: of the paper.
        authors: with the year.
        link: where it is.
        read: what of it was at hand when its claims were written down.
        leaves: its claims.
    """

    id: str
    title: str
    authors: str
    link: str
    read: str
    leaves: tuple[Leaf, ...]

    def __post_init__(self) -> None:
        primary = [leaf.id for leaf in self.leaves if leaf.primary]
        if len(primary) > MAX_PRIMARY:
            raise SceneError(f"leaves has {len(primary)} primary ones; at most {MAX_PRIMARY} share a correction")
        for leaf in self.leaves:
            # Any criterion alone contradicts, at its part of the level that the first primary leaf has.
            level = LEVEL / len(leaf.criteria) / (len(primary) if leaf.primary else 1)
            least = math.ceil(1 - math.log2(level))
            for mode in ("quick", "full") if leaf.quick else ("full",):
                if leaf.run_of(mode)[1] < least:
                    raise SceneError(
                        f"leaves: {leaf.id} has {leaf.run_of(mode)[1]} replicas in the {mode} run, with which it could "
                        f"never be contradicted; give at least {least}"
                    )


@functools.cache
def load_papers() -> tuple[Paper, ...]:
    """Return all papers: those of `ORDER` first, then others by the names of their files."""
    folder = resources.files("dimple.claims") / "papers"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    papers = [load_paper(file.read_text(encoding="utf-8"), file.name) for file in files]
    return tuple(sorted(papers, key=lambda paper: ORDER.index(paper.id) if paper.id in ORDER else len(ORDER)))


def load_paper(text: str, name: str) -> Paper:
    """Return the paper of a YAML text.

    Raises:
        SceneError: with the line of the first mistake.
    """
    return build(parse_yaml(text, name), Paper, FAMILIES)


def choose_leaves(names: tuple[str, ...] = ()) -> list[tuple[Paper, Leaf]]:
    """Return the leaves of the named papers and leaves (`shamir2021`, `shamir2021.cling`), or all of them.

    Raises:
        UsageError: if a name is neither.
    """
    everything = [(paper, leaf) for paper in load_papers() for leaf in paper.leaves]
    known = {paper.id for paper, _ in everything} | {leaf_id(paper, leaf) for paper, leaf in everything}
    for name in names:
        if name not in known:
            hint = suggest_word(name, sorted(known), "dimple claims --list shows all of them")
            raise UsageError(f"{name!r} is neither a paper nor a claim; {hint}")
    return [
        (paper, leaf) for paper, leaf in everything if not names or paper.id in names or leaf_id(paper, leaf) in names
    ]


def leaf_id(paper: Paper, leaf: Leaf) -> str:
    """Return the name of a leaf among all papers."""
    return f"{paper.id}.{leaf.id}"


def thresholds_hash(papers: tuple[Paper, ...]) -> str:
    """Return one hash of everything that is written down before the run."""
    content: dict[str, Any] = {leaf_id(paper, leaf): leaf.hash for paper in papers for leaf in paper.leaves}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def describe_leaf(paper: Paper, leaf: Leaf) -> list[tuple[str, str]]:
    """Return all that is written down about a leaf, as pairs of a heading and a text."""
    rows = [
        ("claim", leaf.statement),
        ("of", f"{paper.authors}: {paper.title}; known from: {leaf.source}"),
        *(("has to hold", f"{one.statistic}: {one.describe_bounds()}") for one in leaf.criteria),
        ("contradicted by", leaf.contradicted_by),
        ("controls", leaf.controls),
        *(("beside", one.meaning) for one in leaf.beside),
        *(("the paper's number", f"{one.value}, {one.of} ({one.seen})") for one in leaf.references),
        ("ours", leaf.ours),
        ("adjusted" if leaf.primary else "unadjusted", _correction(paper, leaf)),
        *(("experiment", text) for text in _experiments(leaf)),
        ("hash", leaf.hash),
    ]
    return [(heading, text) for heading, text in rows if text]


def leaf_to_json(paper: Paper, leaf: Leaf) -> dict[str, Any]:
    """Return what `describe_leaf` says, for a script: the texts of each heading, and the marks of the leaf."""
    texts: dict[str, Any] = {}
    for heading, text in describe_leaf(paper, leaf):
        texts.setdefault(heading.replace(" ", "_").replace("'", ""), []).append(text)
    return {"id": leaf_id(paper, leaf), "paper": paper.id, "primary": leaf.primary, "quick": leaf.quick, **texts}


def _correction(paper: Paper, leaf: Leaf) -> str:
    if not leaf.primary:
        return "a secondary claim; its interval has 95 % alone"
    count = sum(one.primary for one in paper.leaves)
    return f"one of {count} primary claims of the paper, which together keep 95 % (Holm)"


def _experiments(leaf: Leaf) -> list[str]:
    """Return the experiment in words, for each mode in which it is run."""
    result = []
    for mode in ("quick", "full"):
        if mode == "full" or leaf.quick:
            experiment, replicas = leaf.run_of(mode)
            result.append(f"{mode}: {replicas} seeds of {json.dumps(experiment.description)[1:-1]}")
    return result
