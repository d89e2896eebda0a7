"""Figures for papers: vector files with embedded fonts, of the sizes of a page, with their data beside them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from dimple import Margin, OnOff, Recorder, Run, load_scene, measure, simulate
from dimple.errors import RunError, UsageError
from dimple.experiment import write_figures
from dimple.tangents import RandomSubspace
from dimple.tensors import generator
from dimple.views.charts.timeline import draw_chart
from dimple.views.content.frame import Chart, ChartCurve, Timeline

CHANGES = ["training.steps=12", "snapshots.count=4", "levelset={kind: none}"]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short simulation."""
    return simulate(load_scene("circle_in_2d", CHANGES), tmp_path_factory.mktemp("figures") / "run", film=False).path


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A measurement with margins along and off tangent spaces."""
    x = torch.rand(12, 4, generator=generator(0, "samples"))
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).eval()
    for number, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, 0.0, 1.0, generator=generator(number, "weights"))
    out = tmp_path_factory.mktemp("figures") / "measured"
    probes = [Margin(), OnOff(null_draws=3)]
    return measure(network, x, None, probes, bounds=None, tangents=RandomSubspace(2, 0, 0), out=out).run.path  # type: ignore[union-attr]


def test_a_figure_has_its_size_its_fonts_and_its_data(simulation: Path, tmp_path: Path) -> None:
    files = write_figures(simulation, tmp_path / "margin.pdf")
    assert files == [tmp_path / "margin.pdf", tmp_path / "margin.csv"]
    content = files[0].read_bytes()
    assert re.search(rb"/MediaBox \[ 0 0 234 ", content)  # 3.25 inches
    assert b"/FontFile2" in content and b"/Type3" not in content
    data = pd.read_csv(files[1])
    metrics = Run.open(simulation).metrics
    np.testing.assert_allclose(data["margin"], metrics["margin"])
    ends = [f"{name}_{end}" for name in ("margin", "margin_test") for end in ("low", "high")]
    # The interval of a curve and of what it is compared with are drawn too.
    assert list(data) == ["step", "margin", "margin_test", *ends]
    again = write_figures(simulation, tmp_path / "again.pdf", ["margin"])
    assert again[0].read_bytes() == content


def test_several_columns_with_their_nulls_share_a_figure(measured: Path, tmp_path: Path) -> None:
    files = write_figures(measured, tmp_path / "both.svg", ["margin_on", "margin_off"], width=2)
    columns = ["index", "label", "prediction", "margin_on", "margin_off", "margin_on_null", "margin_off_null"]
    assert list(pd.read_csv(files[1])) == columns
    text = files[0].read_text()
    # Letters are paths, so that no font is needed; the width is 6.75 inches.
    assert "<text" not in text and 'width="486pt"' in text


def test_a_folder_gets_every_chart(simulation: Path, measured: Path, tmp_path: Path) -> None:
    for run, names in ((simulation, {"loss", "margin", "test_accuracy"}), (measured, {"margin", "margin_on"})):
        files = write_figures(run, tmp_path / run.name)
        assert names <= {file.stem for file in files}
        assert not [file for file in files if "null" in file.stem]
        assert {file.suffix for file in files} == {".pdf", ".csv"} and all(file.is_file() for file in files)


def test_a_picture_for_a_talk_has_300_dots_an_inch(simulation: Path, tmp_path: Path) -> None:
    picture, _ = write_figures(simulation, tmp_path / "margin.png", width=2)
    with Image.open(picture) as image:
        assert image.width == 6.75 * 300


def test_intervals_without_an_end_reach_the_end_of_the_axis_and_do_not_move_it() -> None:
    from matplotlib.figure import Figure

    values = np.array([1.0, 1.2, 1.1])
    limits = []
    for high in (np.array([1.3, np.inf, 1.2]), np.array([1.3, 1.25, 1.2])):
        curve = ChartCurve("margin", values, interval=(values - 0.1, high))
        axes = Figure().add_subplot()
        draw_chart(axes, Chart("margin", (curve,)), Timeline(np.array([1, 2, 3]), ()))
        limits.append(axes.get_ylim())
        area = np.asarray(axes.collections[0].get_paths()[0].vertices)
        assert np.isfinite(area).all() and area[:, 1].max() == pytest.approx(min(high.max(), limits[0][1]))
    assert limits[0] == limits[1] and limits[0][1] > 1.3


def test_a_recorded_training_has_curves(tmp_path: Path) -> None:
    x = torch.rand(8, 2, generator=generator(1, "samples"))
    with Recorder(tmp_path / "run", x, None, bounds=None, max_overhead=1.0) as record:
        for step in range(3):
            record(step, nn.Linear(2, 2))
    files = write_figures(tmp_path / "run", tmp_path / "margin.pdf")
    assert list(pd.read_csv(files[1])["step"]) == [0, 1, 2]


def test_what_cannot_be_drawn_is_answered_with_a_sentence(simulation: Path, tmp_path: Path) -> None:
    for out, columns, width, problem in (
        ("margn.pdf", (), 1, "no figure of 'margn'; did you mean 'margin'"),
        ("margin.gif", (), 1, "name a file .pdf, .svg or .png, or a folder"),
        ("margin.pdf", (), 3, "--width is 3"),
        ("x.pdf", ("margin", "loss"), 1, r"up to 4 columns of one unit, not margin \[.*\], loss"),
    ):
        with pytest.raises(UsageError, match=problem):
            write_figures(simulation, tmp_path / out, columns, width)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="choose another path"):
        write_figures(simulation, tmp_path / "file" / "margin.pdf")
