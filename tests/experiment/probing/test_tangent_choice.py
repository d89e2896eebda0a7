"""Tangent spaces by name, with a given or an estimated dimension."""

from pathlib import Path

import pytest

from dimple.errors import UsageError
from dimple.experiment import ProbeConfig, probe

SHORT = {"samples": 6, "null_draws": 2, "probes": ("onoff",), "max_passes": 6.0}


@pytest.mark.parametrize("tangents", ["local_pca", "class_pca", "global_pca"])
def test_each_estimate_measures_with_the_estimated_dimension(tangents: str, tmp_path: Path) -> None:
    config = ProbeConfig(**SHORT, tangents=tangents, dim="auto")  # type: ignore[arg-type]
    run = probe(config, tmp_path / "run", device="cpu")
    facts = dict(run.info["facts"])
    # The digits have about ten dimensions by every published estimate.
    name, number = facts["tangent spaces"].split(", ")
    assert name == tangents and number.endswith("dimensions (TwoNN)") and 7 <= int(number.split()[0]) <= 13
    assert run.measurements["margin_on"].notna().all()
    assert f"--tangents {tangents}" in config.command or tangents == "local_pca"


def test_a_run_has_tangent_spaces_of_its_own() -> None:
    with pytest.raises(UsageError, match="--run brings its own tangent spaces; leave out --tangents"):
        ProbeConfig(run="runs/mine", tangents="class_pca")
