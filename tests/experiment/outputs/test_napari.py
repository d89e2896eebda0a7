"""Tests of the layers of simulated and measured runs against their networks and tables."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple import measure
from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.errors import RunError
from dimple.experiment import ProbeConfig, pack, probe, simulate
from dimple.experiment.outputs.napari import build_napari_layout, get_reader
from dimple.experiment.run import Run
from dimple.runs.atomic_io import read_table
from dimple.scene import load_scene
from dimple.tensors import generator
from dimple.views.napari.layout import LayerData, NapariLayout
from tests.experiment.simulation.test_simulate_scene import SHORT


def layers_by_name(layout: NapariLayout) -> dict[str, LayerData]:
    return {layer[1]["name"]: layer for layer in layout.layers}


@pytest.mark.parametrize("name", ["line_in_2d", "plane_in_3d"])
def test_the_score_of_a_packed_run_agrees_with_its_network(name: str, tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="dask, which comes with dimple-lab[napari], is not installed")
    scene = load_scene(name, SHORT)
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    data, options, _ = layers_by_name(build_napari_layout(Run.open(pack(run.path))))["score"]
    assert data.shape[0] == len(run.steps) and max(data.shape[1:]) == 65
    index = tuple(size // 3 for size in data.shape[1:])
    position = np.array(options["translate"][1:]) + np.array(options["scale"][1:]) * index
    low, high = run.display_bounds
    assert np.allclose(options["translate"][1:], low[::-1])
    last = np.array(options["translate"][1:]) + np.array(options["scale"][1:]) * (np.array(data.shape[1:]) - 1)
    assert np.allclose(last, high[::-1])
    scores = Boundary(run.network(run.steps[-1])).scores(torch.from_numpy(position[None, ::-1].copy()))
    assert float(data[(-1, *index)].compute()) == pytest.approx(float(scores[0, 1] - scores[0, 0]), rel=1e-4, abs=1e-5)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = ProbeConfig(samples=40, split="both", null_draws=2, dim=4, neighbors=12)
    return probe(config, tmp_path_factory.mktemp("napari") / "digits", device="cpu")


def test_images_and_perturbations_agree_with_the_data_and_the_table(measured: Run) -> None:
    layout = build_napari_layout(measured)
    layers = {name: data for name, (data, _, _) in layers_by_name(layout).items()}
    table, _ = read_table(measured.path / "measurements.parquet")
    order = np.argsort(table["margin"], kind="stable")
    assert np.isfinite(table["margin"]).all() and len(layers["image"]) == len(layout.captions) == 80
    for position in (0, 40, 79):
        row = order[position]
        images = load_images("digits", str(table["split"][row]))
        x, y = images.batch([int(table["index"][row])])
        assert np.array_equal(layers["image"][position], np.rint(255 * x[0, 0].numpy()))
        start = f"{table['split'][row]} image {table['index'][row]}: {images.classes[int(y)]}, predicted"
        assert layout.captions[position].startswith(start)
    lengths, along, off = (
        np.linalg.norm(layers[name].reshape(80, -1).astype(float), axis=1)
        for name in ("perturbation", "on the manifold", "off the manifold")
    )
    assert np.allclose(lengths, np.abs(table["margin_unbounded"][order]), rtol=1e-4)
    assert np.allclose(along**2 / lengths**2, table["perturbation_on_manifold_fraction"][order], atol=1e-4)
    assert np.allclose(along**2 + off**2, lengths**2, rtol=1e-4)


def test_the_perturbation_of_a_margin_ends_at_its_boundary_point(tmp_path: Path) -> None:
    run = probe(ProbeConfig(samples=6, probes=("margin",)), tmp_path / "out", device="cpu")
    found = layers_by_name(build_napari_layout(run))
    assert list(found) == ["image", "at the boundary", "perturbation"]
    table, _ = read_table(run.path / "measurements.parquet")
    lengths = np.linalg.norm(found["perturbation"][0].reshape(6, -1).astype(float), axis=1)
    assert np.allclose(lengths, np.sort(np.abs(table["margin"])), rtol=1e-4)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_images_of_any_range_are_shown_from_black_to_white(low: float, high: float, tmp_path: Path) -> None:
    x, y = load_images("digits", "test").batch(range(4))
    scaled = low + (high - low) * x
    means = torch.rand(10, 64, generator=generator(0, "means")) * (high - low) + low
    measure(lambda z: -torch.cdist(z.flatten(1), means), scaled, y, bounds=(low, high), out=tmp_path / "run")
    found = layers_by_name(build_napari_layout(Run.open(tmp_path / "run")))["image"][0]
    expected = np.rint(255 * x[:, 0].numpy())
    assert np.abs(np.sort(found.reshape(4, -1), 0) - np.sort(expected.reshape(4, -1), 0)).max() <= 1


def test_at_most_max_images_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimple.experiment.probing.saved_images.MAX_IMAGES", 5)
    run = probe(ProbeConfig(samples=40, probes=("margin",)), tmp_path / "out", device="cpu")
    table, _ = read_table(run.path / "measurements.parquet")
    assert run.images()["test/index"].tolist() == table["index"][::8].tolist()
    assert len(build_napari_layout(run).captions) == 5


def test_a_series_saves_the_perturbations_of_the_last_network(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from dimple.networks import build_model

    for epoch in (1, 2):
        network = build_model("digits_convnet", torch.Generator().manual_seed(epoch))
        save_file(network.state_dict(), tmp_path / f"epoch{epoch}.safetensors")
    config = ProbeConfig(samples=6, probes=("margin",), checkpoints=str(tmp_path / "epoch*.safetensors"))
    series = probe(config, tmp_path / "series", device="cpu")
    last_config = ProbeConfig(samples=6, probes=("margin",), weights=str(tmp_path / "epoch2.safetensors"))
    last = probe(last_config, tmp_path / "last", device="cpu")
    assert {name: values.tolist() for name, values in series.images().items()} == {
        name: values.tolist() for name, values in last.images().items()
    }


def test_a_run_with_nothing_to_show_is_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {"name": "x"}, "name: x\n")
    with pytest.raises(RunError, match="holds neither a boundary in two or three dimensions nor images"):
        build_napari_layout(run)


def test_the_reader_takes_one_packed_run(tmp_path: Path) -> None:
    assert get_reader("run.dimple") is not None
    assert [get_reader(path) for path in ("run", "a.tif", ["a.dimple", "b.dimple"], str(tmp_path))] == [None] * 4
