"""The verdicts of the full run that the documentation shows are those of its rows and of the present thresholds."""

from pathlib import Path

from dimple.claims.recompute import find_differences

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_documented_verdicts_follow_from_their_rows() -> None:
    assert find_differences(CHECKOUT / "docs" / "claims" / "claims.json") == []
