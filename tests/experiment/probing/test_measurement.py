"""The result of `measure`: columns, selections, tables, files, boundary points, charts, and runs on disk."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from dimple import Run, measure
from dimple.boundary import Boundary
from dimple.cli.app import app
from dimple.errors import DeviceError, RunError, ShapeError, UsageError
from dimple.experiment.outputs.report import compare, report
from dimple.experiment.probing.in_memory import build_probes
from dimple.experiment.probing.measurement import Measurement
from dimple.manifolds import Sphere
from dimple.networks import load_weights
from dimple.probes import Margin, OnOff, Probe, ProbeResult, SubspaceMargin
from dimple.probes.subspaces import Subspace
from dimple.protocols import TangentField
from dimple.runs import Checkpoints
from dimple.tensors import generator, map_chunks

SPHERE = Sphere(dim=2, radius=0.3)


def ball(x: Tensor) -> Tensor:
    """Class 0 within radius 0.4 of the origin."""
    radius = x.norm(dim=1)
    return torch.stack([0.4 - radius, radius - 0.4], dim=1)


@pytest.fixture(scope="module")
def onoff() -> Measurement:
    x = SPHERE.sample(12, generator(0, "points"))
    y = torch.tensor([0] * 11 + [1])
    return measure(ball, x, y, ["margin", OnOff(null_draws=39)], bounds=None, tangents=SPHERE)


class Images(nn.Module):
    """A linear network on images of 1 x 4 x 4, with batch normalization and dropout."""

    def __init__(self) -> None:
        super().__init__()
        stream = generator(0, "images")
        self.norm = nn.BatchNorm2d(1)
        self.drop = nn.Dropout()
        self.weight = nn.Parameter(torch.randn(16, 3, generator=stream))

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(x)).flatten(1) @ self.weight


def images(count: int = 10) -> Tensor:
    return torch.rand(count, 1, 4, 4, generator=generator(1, "images"))


def test_a_column_has_its_values_unit_meaning_and_null(onoff: Measurement) -> None:
    column = onoff["margin_on"]
    known = (0.4**2 - 0.3**2) ** 0.5
    assert column.values[:11].tolist() == pytest.approx([known] * 11, rel=1e-3)
    assert column.unit == "l2, input units"
    assert "tangent plane" in column.meaning
    assert column.null is not None and column.null_low is not None and column.null_high is not None
    assert bool((column.null_low <= column.null)[:11].all() and (column.null <= column.null_high)[:11].all())
    assert np.asarray(column).dtype == column.values.numpy().dtype
    assert onoff["margin"].null is None
    assert "margin_on_null" not in onoff.columns and "margin_on" in onoff.columns


def test_an_unknown_column_is_answered_with_the_known_ones(onoff: Measurement) -> None:
    with pytest.raises(UsageError, match="no column 'margins'; choose from label, prediction"):
        onoff["margins"]


def test_rows_are_selected_by_slices_masks_and_indices(onoff: Measurement) -> None:
    assert len(onoff[:5]) == 5
    assert len(onoff[onoff["correct"]]) == 11
    assert len(onoff[onoff["margin"].values < 0]) == 1
    chosen = onoff[[2, 0]]
    assert torch.equal(chosen.x, onoff.x[[2, 0]])
    assert torch.equal(chosen.boundary_points, onoff.boundary_points[[2, 0]])
    assert len(onoff[3]) == 1
    assert torch.equal(onoff[::-2].x, onoff.x[torch.arange(11, -1, -2)])
    assert torch.equal(onoff[onoff.to_pandas()["margin"] > 0].x, onoff.x[:11])
    with pytest.raises(IndexError, match="index 12 is out of bounds"):
        onoff[12]


def test_an_empty_selection_has_no_statistics_and_is_saved(onoff: Measurement, tmp_path: Path) -> None:
    empty = onoff[onoff["margin"].values > 10]
    assert empty.statistics == {"samples": 0}
    assert str(empty).startswith("0 samples")
    assert "0 samples" in empty._repr_html_()
    assert len(Measurement.load(empty.save(tmp_path / "none.safetensors"))) == 0


def test_boundary_points_lie_on_the_boundary_in_the_shape_of_the_samples(onoff: Measurement) -> None:
    assert onoff.boundary_points.shape == onoff.x.shape
    assert onoff.boundary_points.norm(dim=1).tolist() == pytest.approx([0.4] * 12, rel=1e-4)
    assert onoff.perturbations.norm(dim=1).tolist() == pytest.approx(onoff["margin"].values.abs().tolist(), rel=1e-5)


def test_a_point_that_was_not_found_is_nan() -> None:
    constant = measure(lambda x: torch.stack([1 + 0 * x[:, 0], 0 * x[:, 0]], 1), [[0.5, 0.5]], None, bounds=(0, 1))
    assert constant["margin"].values.tolist() == [float("inf")]
    assert bool(constant.boundary_points.isnan().all())


def test_without_a_search_there_are_no_boundary_points() -> None:
    certified = measure(nn.Linear(2, 2).eval(), [[0.5, 0.5]], [0], ["certified"], bounds=(0, 1))
    with pytest.raises(UsageError, match="measure with the probe margin or onoff"):
        _ = certified.boundary_points
    with pytest.raises(UsageError, match="has no column 'margin'"):
        certified.plot(["margin"])


def test_a_data_frame_has_all_columns_with_units_and_meanings(onoff: Measurement) -> None:
    frame = onoff.to_pandas()
    assert list(frame.columns) == list(onoff.table)
    assert frame["margin_on"].to_numpy() == pytest.approx(onoff["margin_on"].values.numpy())
    assert frame.attrs["units"]["margin"] == "l2, input units"
    assert all(frame.attrs["meanings"].values())


def test_the_dictionary_is_plain_python(onoff: Measurement) -> None:
    plain = json.loads(json.dumps(onoff.to_dict()))
    assert plain["bounds"] is None
    assert plain["statistics"]["margin"] == pytest.approx(0.1, rel=1e-3)
    assert len(plain["columns"]["margin"]) == 12
    assert plain["costs"]["margin"]["samples"] == 12


def test_statistics_are_medians_over_the_correct_samples_with_their_nulls(onoff: Measurement) -> None:
    statistics = onoff.statistics
    margins = onoff["margin"].values[:11].sort().values
    assert statistics["margin"] == pytest.approx(float(margins[5]))
    assert statistics["accuracy"] == pytest.approx(11 / 12)
    assert statistics["margin_on_verdict"] == "above"


def test_the_summary_is_the_table_of_the_program_with_norm_and_bounds(onoff: Measurement) -> None:
    text = onoff.summary()
    assert text.startswith("12 samples, without bounds; distances in l2")
    assert "margin_on_ratio" in text and "above" in text
    assert str(onoff) == text
    assert max(map(len, onoff.summary(width=80).splitlines())) <= 80


def test_the_notebook_table_explains_each_row(onoff: Measurement) -> None:
    page = onoff._repr_html_()
    assert onoff["margin_on"].meaning in page
    assert "<script" not in page


def test_the_chart_draws_each_distance_beside_its_null(onoff: Measurement) -> None:
    figure = onoff.plot()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[:2] == ["margin", "margin without bounds"] and "dashed: comparison" in labels
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert len(onoff.plot(["margin"]).axes) == 1


def linear(inputs: int) -> nn.Linear:
    """A linear network whose boundary passes the middle of the unit cube."""
    network = nn.Linear(inputs, 2, bias=False).eval()
    weight = torch.linspace(-1, 1, inputs) + 0.1
    with torch.no_grad():
        network.weight.copy_(torch.stack([weight - weight.mean(), -weight + weight.mean()]))
    return network


def test_the_free_margin_has_one_row_without_bounds_and_two_with(onoff: Measurement) -> None:
    """Without bounds, in l2, both searches are the same one; within a range the heading names what leaves it."""
    assert torch.equal(onoff["margin"].values, onoff["margin_unbounded"].values)
    assert "margin_unbounded" not in onoff.statistics and "outside" not in onoff.heading
    # Along the normal the range ends before the boundary.
    network = linear(2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 0.1], [-1.0, -0.1]]))
        network.bias = nn.Parameter(torch.tensor([-1.08, 1.08]))
    x = torch.rand(12, 2, generator=generator(0))
    bounded = measure(
        network, x, None, ["margin", OnOff(null_draws=3)], bounds=(0, 1), tangents=Subspace(torch.eye(2)[:, :1])
    )
    assert "margin_unbounded" in bounded.statistics
    assert bounded.heading.startswith("12 samples, inputs within 0 to 1; distances in l2; outside this range too: ")
    assert "margin_unbounded, margin_on, " in bounded.heading


def test_a_flat_boundary_says_that_its_curvature_is_expected_to_be_zero() -> None:
    network = linear(3)
    found = measure(network, torch.rand(12, 3, generator=generator(0)), None, ["curvature"], bounds=None)
    assert "as expected of a piecewise linear network" in found.summary()
    names = [name for name in found.statistics if name.startswith("curvature")]
    assert names[0] == "curvature_finite_difference"


def test_distances_between_images_are_also_given_in_levels_of_a_pixel() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), linear(4)).eval()
    images = torch.rand(12, 1, 2, 2, generator=generator(0))
    found = measure(network, images, None, [Margin(norm="linf")], bounds=(0, 1))
    assert f"{255 * found.statistics['margin']:.3g}/255" in found.summary()
    assert "/255" not in measure(network, images, None, ["margin"], bounds=(0, 1)).summary()


def test_a_saved_measurement_comes_back(onoff: Measurement, tmp_path: Path) -> None:
    loaded = Measurement.load(onoff.save(tmp_path / "margins.safetensors"))
    assert list(loaded.table) == list(onoff.table)
    assert all(torch.equal(loaded.table[name].nan_to_num(), onoff.table[name].nan_to_num()) for name in onoff.table)
    assert torch.equal(loaded.boundary_points, onoff.boundary_points)
    assert loaded.summary() == onoff.summary()
    assert loaded.costs == onoff.costs


def test_files_lie_in_the_home_folder_after_a_tilde(
    onoff: Measurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert onoff.save("~/margins.safetensors") == tmp_path / "margins.safetensors"
    assert len(Measurement.load("~/margins.safetensors")) == 12
    network = nn.Linear(2, 2)
    save_file(network.state_dict(), tmp_path / "step1.safetensors")
    load_weights(network, "~/step1.safetensors")
    assert len(Checkpoints.from_glob("~/step*.safetensors", network)) == 1


@pytest.mark.parametrize("content", [b"", b"no measurement", b"\x10\x00\x00\x00\x00\x00\x00\x00{}              "])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(RunError, match=r"is not a file of Measurement\.save"):
        Measurement.load(tmp_path / "other")


def test_names_take_the_norm_that_the_objects_have_in_common() -> None:
    certified, margin = build_probes(["certified", Margin(norm="linf")])
    assert certified.norm == margin.norm == "linf"  # type: ignore[attr-defined]
    assert build_probes(["certified"])[0].norm == "l2"  # type: ignore[attr-defined]


def test_tangents_of_classes_need_the_labels_of_the_reference() -> None:
    cloud = torch.cat([torch.rand(30, 1).expand(-1, 3), torch.rand(30, 3) * torch.tensor([1.0, 0.0, 0.0])])
    labels = [0] * 30 + [1] * 30
    x = cloud[::12]
    probe = OnOff(null_draws=1)
    found = measure(ball, x, None, [probe], bounds=None, tangents="class_pca", reference=(cloud, labels))
    assert "margin_on" in found.columns
    with pytest.raises(UsageError, match=r"give reference=\(samples, labels\)"):
        measure(ball, x, None, [probe], bounds=None, tangents="class_pca", reference=cloud)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measurement:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    return measure(Images().eval(), images(), None, ["margin", "curvature"], bounds=(0, 1), out=folder, batch_size=4)


def test_the_run_holds_the_same_numbers(measured: Measurement) -> None:
    assert measured.run is not None
    run = Run.open(measured.run.path)
    table, units = run.read_table("measurements")
    assert run.info["status"] == "complete"
    assert table["margin"] == pytest.approx(measured["margin"].values.numpy())
    assert units["margin"] == "l2, input units"
    row = run.info["summary"]["rows"][0]
    assert row["margin"] == pytest.approx(measured.statistics["margin"])
    assert not (run.path / "cache").exists()


def test_the_images_are_stored_with_their_perturbations(measured: Measurement) -> None:
    assert measured.run is not None
    stored = measured.run.images()
    assert stored["test/perturbation"] == pytest.approx(measured.perturbations.numpy())


def test_report_compare_and_pack_read_it(measured: Measurement, tmp_path: Path) -> None:
    assert measured.run is not None
    path = measured.run.path
    assert report(path, tmp_path / "page.html").read_bytes() == (path / "report.html").read_bytes()
    assert b"The least robust images" in (path / "report.html").read_bytes()
    assert compare([path, path], tmp_path / "both.html").is_file()
    result = CliRunner().invoke(app, ["pack", str(path), "-o", str(tmp_path / "mine.dimple")])
    assert result.exit_code == 0, result.output


def test_a_finished_run_is_not_replaced_unless_asked(measured: Measurement) -> None:
    assert measured.run is not None
    with pytest.raises(
        RunError, match=r"already holds a finished run; choose another out=, such as .*-2, or force=True"
    ):
        measure(Images().eval(), images(), None, bounds=(0, 1), out=measured.run.path)


def test_an_interrupted_measurement_continues_with_equal_numbers(measured: Measurement, tmp_path: Path) -> None:
    class Interrupting(Images):
        """The same network, which is interrupted at its second look at the last sample."""

        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            if torch.equal(x[-1], images()[-1]):
                Interrupting.calls += 1
                if Interrupting.calls == 2:
                    raise KeyboardInterrupt
            return super().forward(x)

    network = Interrupting().eval()
    arguments = {"probes": ["margin", "curvature"], "bounds": (0, 1), "out": tmp_path / "run", "batch_size": 4}
    with pytest.raises(KeyboardInterrupt):
        measure(network, images(), None, **arguments)  # type: ignore[arg-type]
    parts = sorted(file.name for file in (tmp_path / "run" / "cache").iterdir())
    assert 0 < len(parts) < 3
    continued = measure(network, images(), None, **arguments)  # type: ignore[arg-type]
    assert list(continued.table) == list(measured.table)
    assert all(torch.equal(continued.table[name], measured.table[name]) for name in measured.table)
    assert continued.costs == measured.costs


def test_another_model_does_not_continue_an_unfinished_run(tmp_path: Path) -> None:
    network = Images().eval()
    calls = 0

    def interrupted(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 30:
            raise KeyboardInterrupt
        scores: Tensor = network(x)
        return scores

    with pytest.raises(KeyboardInterrupt):
        measure(interrupted, images(), None, bounds=(0, 1), out=tmp_path / "run")
    with pytest.raises(RunError, match="holds an unfinished run with other settings"):
        measure(lambda x: 2 * network(x), images(), None, bounds=(0, 1), out=tmp_path / "run")


def interrupt_after_first_batch(stage: str, total: int, /) -> contextlib.AbstractContextManager[Callable[[], None]]:
    def interrupt() -> None:
        raise KeyboardInterrupt

    return contextlib.nullcontext(interrupt)


def test_other_tangent_spaces_do_not_continue_an_unfinished_run(tmp_path: Path) -> None:
    planes = [torch.rand(200, 3) * torch.tensor([1.0, 1.0, 0.0]), torch.rand(200, 3) * torch.tensor([0.0, 1.0, 1.0])]
    # Where the two planes meet, so that neither is other data.
    x = torch.rand(6, 3) * torch.tensor([0.0, 1.0, 0.0])

    def start(reference: Tensor) -> Measurement:
        probe = OnOff(null_draws=1)
        return measure(
            ball, x, None, [probe], bounds=None, tangents="global_pca", reference=reference, batch_size=2,
            out=tmp_path / "run", progress=interrupt_after_first_batch,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        start(planes[0])
    with pytest.raises(RunError, match="holds an unfinished run with other settings"):
        start(planes[1])
    with pytest.raises(KeyboardInterrupt):
        start(planes[0])


def test_a_process_that_was_killed_after_its_first_part_is_continued(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"bounds": None, "batch_size": 2, "out": tmp_path / "run"}
    x = torch.rand(6, 3, generator=generator(0, "points"))
    known = measure(ball, x, None, bounds=None)
    with pytest.raises(KeyboardInterrupt):
        measure(ball, x, None, progress=interrupt_after_first_batch, **arguments)
    # Units and costs stand in the parts.
    assert not {"units", "passes"} & json.loads((tmp_path / "run" / "run.json").read_text()).keys()
    found = measure(ball, x, None, **arguments)
    assert torch.equal(found.table["margin"], known.table["margin"])
    assert found.costs == known.costs


def test_a_run_takes_probes_of_any_class(tmp_path: Path) -> None:
    class Radius(Probe):
        def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
            return ProbeResult({"radius": x.norm(dim=1)}, {"radius": "l2, input units"})

    x = torch.rand(6, 3, generator=generator(0, "points"))
    probes = [Radius(), SubspaceMargin({"sphere": SPHERE}, null_draws=1)]
    found = measure(ball, x, None, probes, bounds=None, out=tmp_path / "run")
    stored = Run.open(tmp_path / "run").columns("measurements")
    assert stored["radius"] == pytest.approx(x.norm(dim=1).numpy())
    assert stored["margin_sphere"] == pytest.approx(found["margin_sphere"].values.numpy())


def test_progress_counts_batches() -> None:
    seen: list[object] = []

    @contextlib.contextmanager
    def record(stage: str, total: int, /) -> Iterator[Callable[[], None]]:
        seen.append((stage, total))
        yield lambda: seen.append("part")

    measure(Images().eval(), images(), None, bounds=(0, 1), batch_size=3, progress=record)
    assert seen == [("measure", 4), *["part"] * 4]


def test_batches_are_halved_where_the_memory_does_not_suffice() -> None:
    lengths: list[int] = []

    def limited(part: slice) -> int:
        length = part.stop - part.start
        if length > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        lengths.append(length)
        return part.start

    assert map_chunks(limited, 17, 8) == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert sum(lengths) == 17
    with pytest.raises(DeviceError, match="does not suffice for one sample"):
        map_chunks(lambda part: (_ for _ in ()).throw(MemoryError()), 3, 2)
    with pytest.raises(RuntimeError, match="another"):
        map_chunks(lambda part: (_ for _ in ()).throw(RuntimeError("another")), 3, 2)


def test_a_column_is_an_array_to_numpy_and_selects_rows(onoff: Measurement) -> None:
    margin, label = onoff["margin"], onoff["label"]
    assert len(onoff[label == 1]) == 1 and len(onoff[~onoff["correct"]]) == 1
    assert len(onoff[(margin > 0) & (label == 0)]) == 11
    assert np.median(margin) == pytest.approx(float(np.median(margin.values)))
    assert (abs(margin) / 2).shape == (12,) and margin[3] == float(margin.values[3])
    for wrong in (True, np.bool_(False)):
        with pytest.raises(UsageError, match="selects no rows; give a slice, indices or a mask of 12 values"):
            onoff[wrong]
    with pytest.raises(IndexError, match="the selection does not fit"):
        onoff[[True] * 3]


def test_a_selection_keeps_the_numbers_of_its_rows(onoff: Measurement, tmp_path: Path) -> None:
    wrong = onoff[~onoff["correct"]]
    assert wrong.to_pandas().index.tolist() == [11]
    assert Measurement.load(wrong.save(tmp_path / "wrong.safetensors")).index.tolist() == [11]
    difference = onoff.to_pandas()["margin"] - wrong.to_pandas()["margin"]
    assert difference.dropna().tolist() == [0.0]


def test_the_logarithm_of_probabilities_is_measured() -> None:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        layer.weight.copy_(10 * torch.randn(3, 4, generator=generator(0, "weights")))
    x = torch.rand(20, 4, generator=generator(1, "points"))
    logits = measure(layer.eval(), x, None, bounds=(0, 1))
    with pytest.warns(UserWarning, match="the scores of the model are probabilities"):
        probabilities = measure(nn.Sequential(layer, nn.Softmax(1)).eval(), x, None, bounds=(0, 1))
    assert probabilities["margin"].values.tolist() == pytest.approx(logits["margin"].values.tolist(), rel=1e-3)
    assert probabilities["confidence"].values.tolist() == pytest.approx(logits["confidence"].values.tolist(), abs=1e-5)


def test_runs_and_measurements_are_compared(measured: Measurement, onoff: Measurement, tmp_path: Path) -> None:
    assert measured.run is not None
    page = compare([measured, measured.run], tmp_path / "both.html").read_text()
    assert "mine" in page
    with pytest.raises(UsageError, match="a measurement without a run cannot be compared"):
        compare([measured, onoff], tmp_path / "none.html")


def test_reference_data_outside_the_bounds_are_refused() -> None:
    x = torch.rand(60, 3, generator=generator(2, "reference"))
    with pytest.raises(ShapeError, match=r"reference.* outside bounds 0 to 1"):
        measure(ball, x[:5], None, [OnOff(null_draws=1)], bounds=(0, 1), tangents="local_pca", reference=255 * x)
