"""Every printed statistic has a number of samples and an interval, and every column of every table its entry."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from dimple import ProbeConfig, load_scene, measure, probe, simulate
from dimple.columns import describe_column
from dimple.experiment.run import Run
from dimple.probes import PROBES
from dimple.stats.aggregate import null_band, verdict
from dimple.views.report.tables import shown_columns

SMALL = [
    "training.steps=4",
    "snapshots.count=2",
    "data.sampling.count=12",
    "network.widths=[8]",
    "levelset={kind: none}",
]
ALL_POINT_PROBES = "probes=[{kind: margin}, {kind: onoff}, {kind: offset}, {kind: curvature}, {kind: certified}]"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    scene = load_scene("circle_in_2d", [*SMALL, ALL_POINT_PROBES])
    return simulate(scene, tmp_path_factory.mktemp("simulated") / "run", film=False)


@pytest.fixture(scope="module")
def measured(simulated: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """A series with the probes of points, and a network with those of images."""
    points = tuple(kind for kind in PROBES if kind != "robust")
    series = ProbeConfig(
        run=str(simulated.path),
        samples=12,
        probes=(*points, "confidence", "spectra", "speed", "transfer"),
        null_draws=3,
    )
    images = ProbeConfig(
        samples=12, probes=("onoff", "subspace", "robust"), null_draws=3, max_passes=5.0, weights="none"
    )
    folder = tmp_path_factory.mktemp("measured")
    return [probe(one, folder / name, device="cpu") for name, one in (("series", series), ("images", images))]


def rows_of(simulated: Run, measured: list[Run]) -> Iterator[dict[str, Any]]:
    yield simulated.info["summary"]["final"]
    for run in measured:
        yield from run.info["summary"]["rows"]


def test_every_printed_statistic_has_an_interval_and_a_number(simulated: Run, measured: list[Run]) -> None:
    for row in rows_of(simulated, measured):
        for name in shown_columns(row):
            if not describe_column(name).is_exact:
                assert {f"{name}_low", f"{name}_high", f"{name}_samples"} <= row.keys(), name
                low, value, high = (row[f"{name}{end}"] for end in ("_low", "", "_high"))
                is_undefined = np.isnan(value) or name.endswith("misclassified")
                assert row[f"{name}_samples"] > 0 or is_undefined, name
                assert not low > value and not value > high, (name, low, value, high)


def test_every_null_band_has_a_verdict_or_the_reason_for_none(simulated: Run, measured: list[Run]) -> None:
    summary = simulated.info["summary"]
    words = ("above", "inside", "below", "not decided", "unsettled")
    for row in rows_of(simulated, measured):
        for name in shown_columns(row):
            if null_band(row, name) is not None:
                word = (summary | row)[f"{name}_verdict"]
                assert word in words or word.startswith("not judged: "), (name, word)
                # Terminal, pages and files have the same word.
                assert word == verdict(row, name)


def test_a_measurement_in_memory_has_them_too() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2)).eval()
    found = measure(network, torch.rand(12, 3), None, ["margin", "curvature"], bounds=(0, 1))
    row = found.statistics
    assert all(f"{name}_samples" in row for name in shown_columns(row) if not describe_column(name).is_exact)
    assert " n " in found.summary() and "95 % interval" in found.summary()


def test_every_column_of_every_table_has_its_entry(simulated: Run, measured: list[Run]) -> None:
    """The columns come from the code that writes them: the tables and the summaries of runs with all probes."""
    names = {name for row in rows_of(simulated, measured) for name in row}
    for run in (simulated, *measured):
        for table in run.path.glob("*.parquet"):
            names |= set(run.read_table(table.stem)[0])
    missing = {name for name in names if not (describe_column(name).meaning and describe_column(name).source)}
    # Texts that name a row say what they are themselves.
    assert missing - {"statistic", "unit", "size", "boundary", "source_model", "target_model", "name", "kind"} == set()
