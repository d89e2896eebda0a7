"""The layers of true runs: the score is the network's, the perturbations are those that were measured."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.errors import RunError
from dimple.experiment import ProbeRequest, pack, probe, simulate
from dimple.experiment.outputs.napari import arrangement_of, reader_of
from dimple.experiment.probing.sources import Snapshots
from dimple.runs import Run
from dimple.runs.atomic_io import read_table
from dimple.scene import load_scene
from dimple.views.napari.layout import Arrangement, LayerData
from tests.experiment.simulation.test_simulate_scene import SHORT


def by_name(arrangement: Arrangement) -> dict[str, LayerData]:
    return {layer[1]["name"]: layer for layer in arrangement.layers}


@pytest.mark.parametrize("name", ["line_in_2d", "plane_in_3d"])
def test_the_score_of_a_packed_run_is_that_of_its_network_there(name: str, tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="dask, which comes with dimple[napari], is not installed")
    scene = load_scene(name, SHORT)
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    data, about, _ = by_name(arrangement_of(Run.open(pack(run.path))))["score"]
    assert data.shape[0] == len(run.steps) and max(data.shape[1:]) == 65
    last = tuple(size // 3 for size in data.shape[1:])
    where = np.array(about["translate"][1:]) + np.array(about["scale"][1:]) * last
    low, high = run.box
    assert np.allclose(about["translate"][1:], low[::-1])
    far = np.array(about["translate"][1:]) + np.array(about["scale"][1:]) * (np.array(data.shape[1:]) - 1)
    assert np.allclose(far, high[::-1])
    scores = Boundary(Snapshots(run, scene).at(run.steps[-1])).scores(torch.from_numpy(where[None, ::-1].copy()))
    assert float(data[(-1, *last)].compute()) == pytest.approx(float(scores[0, 1] - scores[0, 0]), rel=1e-4, abs=1e-5)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    asked = ProbeRequest(samples=40, split="both", draws=2, dim=4, neighbours=12)
    return probe(asked, tmp_path_factory.mktemp("layering") / "digits", device="cpu")


def test_images_and_perturbations_are_those_of_the_data_and_the_table(measured: Run) -> None:
    shown = arrangement_of(measured)
    layers = {name: data for name, (data, _, _) in by_name(shown).items()}
    table, _ = read_table(measured.path / "measurements.parquet")
    order = np.argsort(table["margin"], kind="stable")
    assert np.isfinite(table["margin"]).all() and len(layers["image"]) == len(shown.captions) == 80
    for place in (0, 40, 79):
        row = order[place]
        images = load_images("digits", str(table["split"][row]))
        x, y = images.batch([int(table["index"][row])])
        assert np.array_equal(layers["image"][place], np.rint(255 * x[0, 0].numpy()))
        head = f"{table['split'][row]} image {table['index'][row]}: {images.classes[int(y)]}, predicted"
        assert shown.captions[place].startswith(head)
    lengths, along, off = (
        np.linalg.norm(layers[name].reshape(80, -1).astype(float), axis=1)
        for name in ("perturbation", "on the manifold", "off the manifold")
    )
    assert np.allclose(lengths, np.abs(table["margin_any"][order]), rtol=1e-4)
    assert np.allclose(along**2 / lengths**2, table["on_share"][order], atol=1e-4)
    assert np.allclose(along**2 + off**2, lengths**2, rtol=1e-4)


def test_a_margin_alone_ends_at_its_boundary_point(tmp_path: Path) -> None:
    run = probe(ProbeRequest(samples=6, probes=("margin",)), tmp_path / "out", device="cpu")
    found = by_name(arrangement_of(run))
    assert list(found) == ["image", "at the boundary", "perturbation"]
    table, _ = read_table(run.path / "measurements.parquet")
    lengths = np.linalg.norm(found["perturbation"][0].reshape(6, -1).astype(float), axis=1)
    assert np.allclose(lengths, np.sort(np.abs(table["margin"])), rtol=1e-4)


def test_of_many_images_a_part_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.experiment.probing.saved_images.IMAGES", 5)
    run = probe(ProbeRequest(samples=40, probes=("margin",)), tmp_path / "out", device="cpu")
    table, _ = read_table(run.path / "measurements.parquet")
    assert run.pictures()["test/index"].tolist() == table["index"][::8].tolist()
    assert len(arrangement_of(run).captions) == 5


def test_a_series_keeps_what_the_last_network_needs(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from dimple.networks import build_model

    for epoch in (1, 2):
        network = build_model("digits_convnet", torch.Generator().manual_seed(epoch))
        save_file(network.state_dict(), tmp_path / f"epoch{epoch}.safetensors")
    asked = ProbeRequest(samples=6, probes=("margin",), checkpoints=str(tmp_path / "epoch*.safetensors"))
    series = probe(asked, tmp_path / "series", device="cpu")
    alone = ProbeRequest(samples=6, probes=("margin",), weights=str(tmp_path / "epoch2.safetensors"))
    last = probe(alone, tmp_path / "last", device="cpu")
    assert {name: values.tolist() for name, values in series.pictures().items()} == {
        name: values.tolist() for name, values in last.pictures().items()
    }


def test_what_holds_nothing_to_look_at_says_so(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {"name": "x"}, "name: x\n")
    with pytest.raises(RunError, match="holds neither a boundary in two or three dimensions nor images"):
        arrangement_of(run)


def test_the_reader_takes_a_single_packed_run(tmp_path: Path) -> None:
    assert reader_of("run.dimple") is not None
    assert [reader_of(path) for path in ("run", "a.tif", ["a.dimple", "b.dimple"], str(tmp_path))] == [None] * 4
