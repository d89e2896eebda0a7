"""The paper whose rows are known, as the only one."""

import pytest

from dimple.claims import catalogue, recompute, runner
from dimple.claims.catalogue import load_paper
from dimple.claims.experiments import EXPERIMENTS, Experiment
from tests.claims.known_paper import PAPER, Known


@pytest.fixture
def known_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the only paper, of which nothing was run."""
    monkeypatch.setitem(EXPERIMENTS, "known", Known)
    monkeypatch.setitem(catalogue.FAMILIES[Experiment], "known", Known)
    paper = load_paper(PAPER, "known2026.yaml")
    for module in (catalogue, runner, recompute):
        monkeypatch.setattr(module, "load_papers", lambda: (paper,))
    monkeypatch.setattr(Known, "runs", [])
    monkeypatch.setattr(Known, "failing", {})
