"""The probe verb on the bundled digits, and on real checkpoints where they are."""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dimple.errors import ModelError, RunError, UsageError
from dimple.experiment import ProbeRequest, probe, simulate
from dimple.experiment.probing import build_probes as questions
from dimple.experiment.probing import probe as probing
from dimple.experiment.probing.models import train_digits
from dimple.networks import build_model
from dimple.runs import Run
from dimple.runs.atomic_io import read_table
from dimple.scene import load_scene
from dimple.tensors import generator
from tests.experiment import linear_network

SMALL = {"samples": 12, "draws": 4, "dim": 4, "neighbours": 12}


def request(**changes: object) -> ProbeRequest:
    return ProbeRequest(**({"model": "digits_convnet", "data": "digits"} | SMALL | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `digits_convnet` is trained to where no weights are named, for tests that are not about it."""
    network = build_model("digits_convnet", generator(0, "network"))
    train_digits(network, lambda *_: contextlib.nullcontext(lambda: None))
    file = tmp_path_factory.mktemp("digits") / "trained.safetensors"
    save_file(network.state_dict(), file)
    return str(file)


def test_digits_need_no_file_and_give_the_same_bits_twice(tmp_path: Path) -> None:
    tables = []
    for name in ("a", "b"):
        run = probe(request(), tmp_path / name, device="cpu")
        assert run.info["status"] == "complete"
        tables.append(read_table(tmp_path / name / "measurements.parquet"))
    (first, units), (second, _) = tables
    assert repr({k: v.tolist() for k, v in first.items()}) == repr({k: v.tolist() for k, v in second.items()})
    assert units["margin"] == "l2, input units" and set(first) == set(units)
    assert len(first["index"]) == 12 == len(set(first["index"].tolist()))
    (row,) = json.loads((tmp_path / "a" / "run.json").read_text())["summary"]["rows"]
    assert row["accuracy"] > 0.8 and row["margin_found"] == 1.0
    assert row["on_ratio_null_low"] <= row["on_ratio_null"] <= row["on_ratio_null_high"]
    assert row["on_ratio_closed"] == 4.0
    assert (tmp_path / "a" / "report.html").stat().st_size > 5000
    assert not (tmp_path / "a" / "parts").exists()


def test_a_series_of_checkpoints_is_one_table_with_a_step(tmp_path: Path) -> None:
    network = build_model("digits_convnet")
    for step in (2, 10):
        state = {name: tensor * (1 + step / 100) for name, tensor in network.state_dict().items()}
        save_file(state, tmp_path / f"epoch{step}.safetensors")
    asked = request(checkpoints=str(tmp_path / "epoch*.safetensors"), probes=("margin",))
    run = probe(asked, tmp_path / "out", device="cpu")
    table, _ = read_table(tmp_path / "out" / "measurements.parquet")
    assert sorted(set(table["step"].tolist())) == [2, 10]
    assert [row["step"] for row in run.info["summary"]["rows"]] == [2, 10]


def test_an_interrupted_measurement_goes_on_with_the_next_chunk(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(weights=weights, budget=5.0)
    monkeypatch.setattr(questions, "IMAGES", 4)
    whole = probe(asked, tmp_path / "whole", device="cpu")
    measured: list[int] = []
    piece = probing.Measuring._piece

    def counted(self: probing.Measuring, network: torch.nn.Module, split: str, part: slice) -> object:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(part.stop - part.start)
        return piece(self, network, split, part)

    with monkeypatch.context() as patched:
        patched.setattr(probing.Measuring, "_piece", counted)
        with pytest.raises(KeyboardInterrupt):
            probe(asked, tmp_path / "run", device="cpu")
        measured.clear()
        probe(asked, tmp_path / "run", device="cpu")
    assert measured == [4]
    # What was done before the interrupt is counted once.
    assert Run.open(tmp_path / "run").info["passes"] == whole.info["passes"]
    first, second = (read_table(run / "measurements.parquet")[0] for run in (whole.path, tmp_path / "run"))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_an_exhaustive_search_is_told_and_kept_in_small_pieces(tmp_path: Path) -> None:
    changes = ["training.steps=5", "snapshots.count=1", "data.test_points=30", "data.probe_points=10"]
    changes += ["network.widths=[8]", "levelset={kind: none}", "probes=[]"]
    run = simulate(load_scene("circle_in_2d", changes), tmp_path / "run", device="cpu", film=False)
    told: list[tuple[str, int]] = []

    @contextlib.contextmanager
    def progress(stage: str, total: int) -> Iterator[Callable[[], None]]:
        told.append((stage, total))
        yield lambda: told.append((stage, 1))

    asked = ProbeRequest(run=str(run.path), samples=10, probes=("exact",), budget=5.0)
    done = probe(asked, tmp_path / "out", device="cpu", progress=progress)
    steps = len(run.steps)
    assert told == [("probe", 3 * steps), *[("probe", 1)] * (3 * steps)]
    table, _ = read_table(done.path / "measurements.parquet")
    assert len(table["margin_exact"]) == 10 * steps
    assert (np.abs(table["margin_exact_bound"]) <= np.abs(table["margin_exact"])).all()


def test_a_network_for_other_images_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="resnet20 takes 3 x 32 x 32 images, digits has 1 x 8 x 8"):
        probe(request(model="resnet20", weights="x.pt"), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_kept(tmp_path: Path, weights: str) -> None:
    probe(request(weights=weights, probes=("margin",)), tmp_path / "out", device="cpu")
    with pytest.raises(RunError, match="already holds a finished run"):
        probe(request(weights=weights, probes=("margin",)), tmp_path / "out", device="cpu")


def test_dim_and_neighbours_must_fit() -> None:
    with pytest.raises(UsageError, match="dim must be smaller"):
        request(dim=12)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_correct_image_of_a_real_checkpoint_has_a_verified_boundary_point(
    norm: str, shared_data: Path, tmp_path: Path
) -> None:
    asked = ProbeRequest(
        model="mnist_convnet",
        data=f"mnist:{shared_data / 'mnist'}",
        weights=str(shared_data / "checkpoints" / "mnist_pgd.pth"),
        probes=("margin",),
        norm=norm,  # type: ignore[arg-type]
        samples=20,
    )
    run = probe(asked, tmp_path / "out", device="cpu")
    table, _ = read_table(run.path / "measurements.parquet")
    assert table["margin_found"].all() and (table["margin"][table["correct"]] > 0).all()


def test_every_snapshot_of_a_run_is_measured_with_its_exact_tangents(tmp_path: Path) -> None:
    changes = ["training.steps=20", "snapshots.count=3", "data.test_points=30", "data.probe_points=10"]
    changes += ["data.sampling.count=12", "network.widths=[8]", "levelset={kind: none}", "probes=[{kind: margin}]"]
    simulated = simulate(load_scene("sphere_in_3d", changes), tmp_path / "run", device="cpu", film=False)
    asked = ProbeRequest(
        run=str(simulated.path),
        split="both",
        samples=6,
        draws=2,
        budget=5.0,
        probes=("margin", "onoff", "confidence", "spectra", "speed", "transfer"),
    )
    run = probe(asked, tmp_path / "out", device="cpu")
    rows = run.info["summary"]["rows"]
    assert [(row["step"], row["split"]) for row in rows] == [
        (step, split) for step in simulated.steps for split in ("train", "test")
    ]
    assert all(row.get("on_ratio_closed", 1.5**0.5) == pytest.approx(1.5**0.5) for row in rows)
    assert all({"calibration_error_null", "lipschitz_bound"} <= row.keys() for row in rows)
    assert all(row["lipschitz_bound"] >= row["lipschitz_met"] for row in rows)
    quantiles, _ = read_table(run.path / "quantiles.parquet")
    margins = {name: values[quantiles["figure"] == "margin"] for name, values in quantiles.items()}
    assert (margins["q05"] <= margins["q50"]).all() and (margins["q50"] <= margins["q95"]).all()
    table, _ = read_table(run.path / "measurements.parquet")
    assert margins["samples"].sum() == len(table["step"]) == len(simulated.steps) * 12
    assert all(("speed_sign_whole" in row) == (row["step"] > 0) for row in rows)
    speeds, _ = read_table(run.path / "speed.parquet")
    pairs = set(zip(speeds["from_step"].tolist(), speeds["step"].tolist(), strict=True))
    assert pairs == set(itertools.pairwise(simulated.steps)) and set(speeds["boundary"].tolist()) == {"exact", "soft"}
    # Each split has the speeds of its own samples.
    assert {(split, int(step)) for split, step in zip(speeds["split"], speeds["step"], strict=True)} == {
        (row["split"], row["step"]) for row in rows if row["step"] > 0
    }
    by_split = {
        split: [row["speed"] for row in rows if row["split"] == split and row["step"] > 0] for split in asked.splits
    }
    assert all(train != test for train, test in zip(by_split["train"], by_split["test"], strict=True))
    transfer = run.info["summary"]["transfer"]
    own = [row["error"] for row in transfer if row["made_for"] == row["fed_to"] and row["samples"]]
    assert len(transfer) == len(simulated.steps) ** 2 and set(own) == {1.0}


def test_a_network_without_layers_has_the_bound_of_its_products(tmp_path: Path) -> None:
    asked = ProbeRequest(
        model=f"{linear_network.NAME}:Bare", data=linear_network.write_images(tmp_path), probes=("spectra",), samples=4
    )
    run = probe(asked, tmp_path / "out", device="cpu")
    (row,) = run.info["summary"]["rows"]
    assert row["lipschitz_bound"] == pytest.approx(float(torch.linalg.matrix_norm(linear_network.weights(), 2)), 1e-5)
    assert run.info["summary"]["layers"] == [] and not (run.path / "spectra.parquet").exists()


@pytest.mark.parametrize("kind", ["speed", "transfer"])
def test_a_series_of_one_has_no_steps_to_compare(kind: str, tmp_path: Path) -> None:
    asked = ProbeRequest(
        model=f"{linear_network.NAME}:linear",
        data=linear_network.write_images(tmp_path),
        checkpoints=linear_network.write_checkpoints(tmp_path, (3,)),
        probes=(kind,),
    )
    with pytest.raises(UsageError, match=rf"--probe {kind} compares the steps of a series, and .*step_\*.* has one"):
        probe(asked, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_the_margin_within_frequency_bands_comes_with_its_null(tmp_path: Path, weights: str) -> None:
    run = probe(request(weights=weights, probes=("subspace",), budget=5.0), tmp_path / "out", device="cpu")
    (row,) = run.info["summary"]["rows"]
    assert {"margin_dct_00", "margin_dct_06", "margin_dct_06_null_low", "margin_dct_06_verdict"} <= row.keys()


def test_the_principal_directions_stand_beside_the_split_and_the_search_is_checked(
    tmp_path: Path, weights: str
) -> None:
    run = probe(request(weights=weights, probes=("onoff",)), tmp_path / "out", device="cpu")
    (row,) = run.info["summary"]["rows"]
    assert row["pca_top_ratio_null"] == row["pca_bottom_ratio_null"] == row["on_ratio_null"]
    assert row["on_ratio_change_verdict"] == ("settled" if abs(row["on_ratio_change"]) <= 0.02 else "unsettled")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": "folder", "weights": "x.pt"}, "leave out --weights"),
        ({"probes": ("transfer",)}, "name one with --checkpoints or --run"),
        ({"probes": ("speed",)}, "--probe speed compares the steps of a series; name one with"),
        ({"method": "lbfgs", "norm": "l1"}, "--norm is l1, and --method lbfgs minimises l2"),
        ({"probes": ("exact",), "norm": "l1"}, "--norm is l1, and --probe exact proves"),
        ({"probes": ("margins",)}, "choose from"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        request(**changes)
