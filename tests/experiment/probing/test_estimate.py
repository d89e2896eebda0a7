"""The estimate of a measurement: the passes that it counts bound those that are made, and long work has advice."""

import dataclasses
from pathlib import Path

import pytest

from dimple.experiment import ProbeConfig, estimate, probe
from dimple.experiment.probing import estimate as module
from dimple.experiment.probing.build_probes import describe_band
from dimple.experiment.probing.config import QUICK, describe_quick
from dimple.progress import silent_progress

SMALL = ProbeConfig(samples=6, null_draws=3)


@pytest.mark.parametrize("probes", [("margin",), ("margin", "onoff"), ("curvature",), ("subspace",)])
def test_the_passes_bound_those_of_the_measurement(probes: tuple[str, ...], tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, probes=probes)
    run = probe(config, tmp_path / "run", progress=silent_progress)
    made = sum(0.4 * cost["forwards"] + 0.6 * cost["backwards"] for cost in run.info["passes"].values())
    expected = estimate(config)
    assert made / 6 <= expected.passes <= 20 * made
    assert expected.advice == ""


def test_the_work_grows_with_samples_and_draws_and_long_work_has_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    first, more = (estimate(dataclasses.replace(SMALL, samples=count)).passes for count in (6, 12))
    assert more == pytest.approx(2 * first)
    assert estimate(dataclasses.replace(SMALL, null_draws=39)).passes > 5 * first
    monkeypatch.setattr(module, "LONG_SECONDS", 0.0)
    assert "--quick" in estimate(SMALL).advice and "--null-draws" in estimate(SMALL).advice


def test_a_quick_measurement_says_that_it_is_coarse() -> None:
    sentence = describe_quick(ProbeConfig(**QUICK))
    assert "10 samples of each split" in sentence and "5 random subspaces, whose band holds 67% of" in sentence


@pytest.mark.parametrize(
    ("probes", "draws", "expected"),
    [
        (("onoff",), 5, "hold 67% of further"),
        (("margin", "curvature"), 5, ""),
        (("onoff",), 39, ""),
        (("subspace",), 19, "hold 90%"),
    ],
)
def test_a_band_of_few_draws_says_what_it_holds(probes: tuple[str, ...], draws: int, expected: str) -> None:
    sentence = describe_band(ProbeConfig(probes=probes, null_draws=draws))
    assert expected in sentence and bool(sentence) == bool(expected)
