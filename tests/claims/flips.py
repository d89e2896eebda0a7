"""Every leaf of a paper with the effect planted, without it, and reversed."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import pytest

from dimple.claims.catalogue import load_papers
from dimple.claims.experiments import Row
from dimple.claims.verdicts import judge

Effect: TypeAlias = Literal["present", "absent", "reversed"]
# The rows of one seed, measured by the code of the experiment on a planted network, trajectory or data set.
Plant: TypeAlias = Callable[[Effect, int], dict[str, Row]]
SEEDS = range(8)
EXPECTED = {"present": {"supported"}, "absent": {"contradicted", "undecided"}, "reversed": {"contradicted"}}


def flip_tests(paper_id: str, planted: dict[str, Plant]) -> tuple[Callable[..., None], Callable[[], None]]:
    """Return two tests: that the verdicts of all planted leaves flip, and that every leaf of the paper is planted."""
    paper = next(paper for paper in load_papers() if paper.id == paper_id)
    leaves = {leaf.id: leaf for leaf in paper.leaves}

    @pytest.mark.parametrize("effect", EXPECTED)
    @pytest.mark.parametrize("leaf_id", planted)
    def test_verdict_follows_the_planted_effect(leaf_id: str, effect: Effect) -> None:
        leaf = leaves[leaf_id]
        judgement = judge(leaf, {seed: planted[leaf_id](effect, seed) for seed in SEEDS})
        assert judgement.verdict in EXPECTED[effect], judgement.reason

    def test_every_leaf_is_planted() -> None:
        assert planted.keys() == leaves.keys()

    return test_verdict_follows_the_planted_effect, test_every_leaf_is_planted
