"""The probe verb on the bundled digits, and on real checkpoints where they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dimple.errors import ModelError, RunError, UsageError
from dimple.experiment import ProbeRequest, probe, probing
from dimple.networks import build_model
from dimple.runs.files import read_table

SMALL = {"samples": 12, "draws": 4, "dim": 4, "neighbours": 12}


def request(**changes: object) -> ProbeRequest:
    return ProbeRequest(**({"model": "digits_convnet", "data": "digits"} | SMALL | changes))  # type: ignore[arg-type]


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "CHUNK", 4)
    whole = probe(request(), tmp_path / "whole", device="cpu")
    measured: list[int] = []
    piece = probing.Measuring._piece

    def counted(self: probing.Measuring, step: int, network: torch.nn.Module, indices: torch.Tensor) -> object:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(len(indices))
        return piece(self, step, network, indices)

    with monkeypatch.context() as patched:
        patched.setattr(probing.Measuring, "_piece", counted)
        with pytest.raises(KeyboardInterrupt):
            probe(request(), tmp_path / "run", device="cpu")
        measured.clear()
        probe(request(), tmp_path / "run", device="cpu")
    assert measured == [4]
    first, second = (read_table(run / "measurements.parquet")[0] for run in (whole.path, tmp_path / "run"))
    assert all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def test_a_network_for_other_images_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="resnet20 takes 3 x 32 x 32 images, digits has 1 x 8 x 8"):
        probe(request(model="resnet20", weights="x.pt"), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_kept(tmp_path: Path) -> None:
    probe(request(probes=("margin",)), tmp_path / "out", device="cpu")
    with pytest.raises(RunError, match="already holds a finished run"):
        probe(request(probes=("margin",)), tmp_path / "out", device="cpu")


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
