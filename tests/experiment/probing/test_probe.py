"""Tests of the verb `probe` on the bundled digits, and on published checkpoints where they are available."""

import contextlib
import copy
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dimple import measure
from dimple.data import Images, load_images
from dimple.errors import ModelError, RunError, UsageError
from dimple.experiment import ProbeConfig, probe, simulate
from dimple.experiment.probing import build_probes
from dimple.experiment.probing.measure_shards import ShardRunner
from dimple.experiment.probing.models import normalize, prepare, train_digits
from dimple.experiment.probing.sources import load_sources
from dimple.experiment.run import Run
from dimple.networks import build_model, unwrap
from dimple.progress import silent_progress
from dimple.runs.atomic_io import read_table
from dimple.scene import load_scene
from dimple.tensors import generator
from dimple.views.report.tables import statistic_cell
from tests.experiment import linear_network

SMALL = {"samples": 12, "null_draws": 4, "dim": 4, "neighbors": 12}


def small_config(**changes: object) -> ProbeConfig:
    return ProbeConfig(**({"model": "digits_convnet", "data": "digits"} | SMALL | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights that `digits_convnet` is trained to where none are named, for tests of other things."""
    network = build_model("digits_convnet", generator(0, "network"))
    train_digits(network, lambda *_: contextlib.nullcontext(lambda: None))
    file = tmp_path_factory.mktemp("digits") / "trained.safetensors"
    save_file(network.state_dict(), file)
    return str(file)


def test_the_state_dict_that_was_taken_and_files_that_were_left_out_are_facts(tmp_path: Path) -> None:
    network = build_model("digits_convnet", generator(1, "network"))
    average = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    for name in ("step=10.ckpt", "step=20.ckpt", "last.ckpt"):
        # A file of another program.
        torch.save({"model": network.state_dict(), "model_ema": average}, tmp_path / name)  # noqa: TID251
    with pytest.warns(UserWarning, match="'model' is taken"):
        one = load_sources(small_config(weights=str(tmp_path / "last.ckpt")), torch.device("cpu"), silent_progress)
    with pytest.warns(UserWarning, match="is taken"), pytest.warns(UserWarning, match="left out of the series"):
        series = load_sources(small_config(checkpoints=str(tmp_path)), torch.device("cpu"), silent_progress)
    assert ("state dict", "model") in one.facts and ("state dict", "model") in series.facts
    assert series.networks.steps == [10, 20] and "last.ckpt" in dict(series.facts)["steps"]


def test_a_measured_series_has_the_steps_of_its_files(weights: str, tmp_path: Path) -> None:
    for step in (3, 7):
        (tmp_path / f"step{step}.safetensors").write_bytes(Path(weights).read_bytes())
    run = probe(small_config(checkpoints=str(tmp_path), probes=("margin",)), tmp_path / "run", device="cpu")
    assert Run.open(run.path).steps == [3, 7]


def test_digits_need_no_file_and_give_the_same_bits_twice(tmp_path: Path) -> None:
    tables = []
    for name in ("a", "b"):
        run = probe(small_config(), tmp_path / name, device="cpu")
        assert run.info["status"] == "complete"
        tables.append(read_table(tmp_path / name / "measurements.parquet"))
    (first, units), (second, _) = tables
    assert repr({k: v.tolist() for k, v in first.items()}) == repr({k: v.tolist() for k, v in second.items()})
    assert units["margin"] == "l2, input units" and set(first) == set(units)
    assert len(first["index"]) == 12 == len(set(first["index"].tolist()))
    (row,) = json.loads((tmp_path / "a" / "run.json").read_text())["summary"]["rows"]
    assert row["accuracy"] > 0.8 and row["margin_found"] == 1.0
    assert row["margin_on_ratio_null_low"] <= row["margin_on_ratio_null"] <= row["margin_on_ratio_null_high"]
    assert row["margin_on_ratio_analytic"] == 4.0
    assert (tmp_path / "a" / "report.html").stat().st_size > 5000
    assert not (tmp_path / "a" / "cache").exists()


def test_a_series_of_checkpoints_gives_one_table_with_a_step(tmp_path: Path) -> None:
    network = build_model("digits_convnet")
    for step in (2, 10):
        state = {name: tensor * (1 + step / 100) for name, tensor in network.state_dict().items()}
        save_file(state, tmp_path / f"epoch{step}.safetensors")
    config = small_config(checkpoints=str(tmp_path / "epoch*.safetensors"), probes=("margin",))
    run = probe(config, tmp_path / "out", device="cpu")
    table, _ = read_table(tmp_path / "out" / "measurements.parquet")
    assert sorted(set(table["step"].tolist())) == [2, 10]
    assert [row["step"] for row in run.info["summary"]["rows"]] == [2, 10]


def test_an_interrupted_measurement_continues_with_the_next_chunk(
    tmp_path: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(weights=weights, max_passes=5.0)
    monkeypatch.setattr(build_probes, "IMAGE_CHUNK_SIZE", 4)
    full = probe(config, tmp_path / "full", device="cpu")
    measured: list[int] = []
    measure_chunk = ShardRunner._measure_chunk

    def interrupt_third_chunk(self: ShardRunner, network: torch.nn.Module, split: str, rows: slice) -> object:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(rows.stop - rows.start)
        return measure_chunk(self, network, split, rows)

    with monkeypatch.context() as patched:
        patched.setattr(ShardRunner, "_measure_chunk", interrupt_third_chunk)
        with pytest.raises(KeyboardInterrupt):
            probe(config, tmp_path / "run", device="cpu")
        measured.clear()
        probe(config, tmp_path / "run", device="cpu")
    assert measured == [4]
    # The passes of the chunks before the interrupt are counted once.
    assert Run.open(tmp_path / "run").info["passes"] == full.info["passes"]
    first, second = (read_table(run / "measurements.parquet")[0] for run in (full.path, tmp_path / "run"))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_an_exhaustive_search_reports_and_keeps_each_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["training.steps=5", "snapshots.count=1", "data.test_points=30", "data.heldout_points=10"]
    changes += ["network.widths=[8]", "levelset={kind: none}", "probes=[]"]
    run = simulate(load_scene("circle_in_2d", changes), tmp_path / "run", device="cpu", film=False)
    reports: list[tuple[str, int]] = []

    @contextlib.contextmanager
    def progress(stage: str, total: int) -> Iterator[Callable[[], None]]:
        reports.append((stage, total))
        yield lambda: reports.append((stage, 1))

    config = ProbeConfig(run=str(run.path), samples=10, probes=("exact",), nodes=400)
    measure_chunk = ShardRunner._measure_chunk
    done: list[slice] = []

    def interrupt_fifth(self: ShardRunner, boundary: object, split: str, rows: slice) -> object:
        done.append(rows)
        if len(done) == 5:
            raise KeyboardInterrupt
        return measure_chunk(self, boundary, split, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardRunner, "_measure_chunk", interrupt_fifth)
    with pytest.raises(KeyboardInterrupt):
        probe(config, tmp_path / "out", device="cpu")
    measured = probe(config, tmp_path / "out", device="cpu", progress=progress)
    steps = len(run.steps)
    assert reports == [("probe", 10 * steps), *[("probe", 1)] * (10 * steps)]
    # The four finished samples are not measured again.
    assert len(done) == 10 * steps + 1
    table, _ = read_table(measured.path / "measurements.parquet")
    assert len(table["margin_exact_upper"]) == 10 * steps
    assert (np.abs(table["margin_exact_lower"]) <= np.abs(table["margin_exact_upper"])).all()
    row = measured.info["summary"]["rows"][-1]
    proven = int(table["margin_exact_found"][(table["step"] == run.steps[-1]) & table["correct"]].sum())
    assert row["margin_exact_found"] * row["margin_exact_found_samples"] == pytest.approx(proven)
    assert statistic_cell(row, "margin_exact")["found"].startswith(f"proven for {proven} of ")


def test_a_network_for_other_images_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="resnet20 takes 3 x 32 x 32 images, digits has 1 x 8 x 8"):
        probe(small_config(model="resnet20", weights="x.pt"), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_not_replaced(tmp_path: Path, weights: str) -> None:
    probe(small_config(weights=weights, probes=("margin",)), tmp_path / "out", device="cpu")
    with pytest.raises(RunError, match="already holds a finished run"):
        probe(small_config(weights=weights, probes=("margin",)), tmp_path / "out", device="cpu")


def test_dim_must_be_smaller_than_neighbors() -> None:
    with pytest.raises(UsageError, match="dim must be smaller"):
        small_config(dim=12)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_correct_image_of_a_published_checkpoint_has_a_boundary_point(
    norm: str, shared_data: Path, tmp_path: Path
) -> None:
    config = ProbeConfig(
        model="mnist_convnet",
        data=f"mnist:{shared_data / 'mnist'}",
        weights=str(shared_data / "checkpoints" / "mnist_pgd.pth"),
        probes=("margin",),
        norm=norm,  # type: ignore[arg-type]
        samples=20,
    )
    run = probe(config, tmp_path / "out", device="cpu")
    table, _ = read_table(run.path / "measurements.parquet")
    assert table["margin_found"].all() and (table["margin"][table["correct"]] > 0).all()


def test_every_snapshot_of_a_run_is_measured_with_its_exact_tangents(tmp_path: Path) -> None:
    changes = ["training.steps=20", "snapshots.count=3", "data.test_points=30", "data.heldout_points=10"]
    changes += ["data.sampling.count=12", "network.widths=[8]", "levelset={kind: none}", "probes=[{kind: margin}]"]
    simulated = simulate(load_scene("sphere_in_3d", changes), tmp_path / "run", device="cpu", film=False)
    config = ProbeConfig(
        run=str(simulated.path),
        split="both",
        samples=6,
        null_draws=2,
        max_passes=5.0,
        probes=("margin", "onoff", "confidence", "spectra", "speed", "transfer"),
    )
    run = probe(config, tmp_path / "out", device="cpu")
    rows = run.info["summary"]["rows"]
    assert [(row["step"], row["split"]) for row in rows] == [
        (step, split) for step in simulated.steps for split in ("train", "test")
    ]
    assert all(row.get("margin_on_ratio_analytic", 1.5**0.5) == pytest.approx(1.5**0.5) for row in rows)
    assert all({"calibration_error_calibrated", "lipschitz_upper_bound"} <= row.keys() for row in rows)
    assert all(row["lipschitz_upper_bound"] >= row["lipschitz_lower_bound"] for row in rows)
    quantiles, _ = read_table(run.path / "quantiles.parquet")
    margins = {name: values[quantiles["statistic"] == "margin"] for name, values in quantiles.items()}
    assert (margins["q05"] <= margins["q50"]).all() and (margins["q50"] <= margins["q95"]).all()
    table, _ = read_table(run.path / "measurements.parquet")
    assert margins["samples"].sum() == len(table["step"]) == len(simulated.steps) * 12
    assert all(("speed_sign_agreement_full" in row) == (row["step"] > 0) for row in rows)
    speeds, _ = read_table(run.path / "speed.parquet")
    pairs = set(zip(speeds["from_step"].tolist(), speeds["step"].tolist(), strict=True))
    assert pairs == set(itertools.pairwise(simulated.steps)) and set(speeds["boundary"].tolist()) == {"exact", "soft"}
    # The speeds of a split are those of its own samples.
    assert {(split, int(step)) for split, step in zip(speeds["split"], speeds["step"], strict=True)} == {
        (row["split"], row["step"]) for row in rows if row["step"] > 0
    }
    by_split = {
        split: [row["speed"] for row in rows if row["split"] == split and row["step"] > 0] for split in config.splits
    }
    assert all(train != test for train, test in zip(by_split["train"], by_split["test"], strict=True))
    transfer = run.info["summary"]["transfer"]
    own = [row["error"] for row in transfer if row["source_model"] == row["target_model"] and row["samples"]]
    assert len(transfer) == len(simulated.steps) ** 2 and set(own) == {1.0}


def test_a_network_without_layers_has_a_lipschitz_bound(tmp_path: Path) -> None:
    config = ProbeConfig(
        model=f"{linear_network.NAME}:WithoutLayers",
        weights="none",
        data=linear_network.write_images(tmp_path),
        probes=("spectra",),
        samples=4,
    )
    run = probe(config, tmp_path / "out", device="cpu")
    (row,) = run.info["summary"]["rows"]
    assert row["lipschitz_upper_bound"] == pytest.approx(
        float(torch.linalg.matrix_norm(linear_network.weights(), 2)), 1e-5
    )
    assert run.info["summary"]["layers"] == [] and not (run.path / "spectra.parquet").exists()


@pytest.mark.parametrize("kind", ["speed", "transfer"])
def test_a_series_of_one_step_is_refused(kind: str, tmp_path: Path) -> None:
    config = ProbeConfig(
        model=f"{linear_network.NAME}:linear",
        data=linear_network.write_images(tmp_path),
        checkpoints=linear_network.write_checkpoints(tmp_path, (3,)),
        probes=(kind,),
    )
    with pytest.raises(UsageError, match=rf"--probe {kind} compares the steps of a series, and .*step_\*.* has one"):
        probe(config, tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_the_margins_in_frequency_bands_have_nulls(tmp_path: Path, weights: str) -> None:
    run = probe(small_config(weights=weights, probes=("subspace",), max_passes=5.0), tmp_path / "out", device="cpu")
    (row,) = run.info["summary"]["rows"]
    assert {"margin_dct_00", "margin_dct_06", "margin_dct_06_null_low", "margin_dct_06_verdict"} <= row.keys()


def test_the_margins_along_principal_directions_are_measured_and_the_search_is_checked(
    tmp_path: Path, weights: str
) -> None:
    run = probe(small_config(weights=weights, probes=("onoff",)), tmp_path / "out", device="cpu")
    (row,) = run.info["summary"]["rows"]
    assert row["margin_pca_top_ratio_null"] == row["margin_pca_bottom_ratio_null"] == row["margin_on_ratio_null"]
    for name in ("margin_on_ratio", "margin_on", "margin_off", "margin_pca_bottom_ratio"):
        changes = [row[f"{name}{end}_change"] for end in ("", "_null")]
        assert (row[f"{name}_verdict"] == "unsettled") == (max(map(abs, changes)) > 0.02), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": "folder", "weights": "x.pt"}, "leave out --weights"),
        ({"probes": ("transfer",)}, "name one with --checkpoints or --run"),
        ({"probes": ("speed",)}, "--probe speed compares the steps of a series; name one with"),
        ({"method": "lbfgs", "norm": "l1"}, "--norm is l1, and --method lbfgs minimizes l2"),
        ({"probes": ("exact",), "norm": "l1"}, "--norm is l1, and --probe exact proves"),
        ({"probes": ("margins",)}, "choose from"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small_config(**changes)


def test_the_samples_are_chosen_by_rows_by_class_or_among_the_correct_ones(tmp_path: Path, weights: str) -> None:
    def measured(name: str, **settings: object) -> dict[str, np.ndarray]:
        config = small_config(weights=weights, probes=("margin",), max_passes=2.0, **settings)
        return probe(config, tmp_path / name, device="cpu").read_table("measurements")[0]

    assert measured("rows", indices=(17, 3, 17))["index"].tolist() == [3, 17]
    labels = measured("classes", per_class=2)["label"]
    assert np.bincount(labels).tolist() == [2] * 10
    correct = measured("correct", only="correct", samples=40)
    assert len(correct["index"]) == 40 and correct["correct"].all()
    everything = measured("all", samples=400)
    wrong = everything["index"][~everything["correct"]]
    assert len(wrong) > 0
    kept = measured("right rows", indices=(int(wrong[0]), 3), only="correct")
    assert int(wrong[0]) not in kept["index"]


def test_rows_that_do_not_exist_and_contradictions_are_refused(tmp_path: Path, weights: str) -> None:
    with pytest.raises(UsageError, match="--indices names 9999, and test has the samples 0 to"):
        probe(small_config(weights=weights, indices=(9999,)), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="leave out --per-class"):
        small_config(indices=(1,), per_class=1)


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        ("nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(64, 10))", "depend on"),
        ("Noisy()", "gives other scores for the same samples"),
    ],
)
def test_a_network_that_is_no_function_of_one_sample_is_refused(
    module: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import torch\nfrom torch import nn\n\n\nclass Noisy(nn.Module):\n    def forward(self, x):\n"
        f"        return x.flatten(1)[:, :10] + torch.rand(len(x), 10)\n\n\ndef make():\n    return {module}\n"
    )
    (tmp_path / "own_scores.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "own_scores", raising=False)
    with pytest.raises(ModelError, match=problem):
        probe(small_config(model="own_scores:make", weights="none", probes=("margin",)), tmp_path / "out", device="cpu")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_network_is_measured_in_its_own_precision(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import torch\nfrom torch import nn\nfrom tests.experiment.linear_network import linear\n\n\n"
        f"def make():\n    return linear().to(torch.{dtype})\n"
    )
    (tmp_path / "precise_networks.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "precise_networks", raising=False)
    data = linear_network.write_images(tmp_path)
    config = ProbeConfig(model="precise_networks:make", weights="none", data=data, probes=("margin",), samples=8)
    run = probe(config, tmp_path / "out", device="cpu")
    columns, _ = read_table(run.path / "measurements.parquet")
    network = linear_network.linear().to(getattr(torch, dtype))
    images = load_images(data, "test")
    expected = measure(network.eval(), images.x, images.y, bounds=(0, 1))
    assert columns["margin"] == pytest.approx(expected["margin"].values.numpy(), rel=1e-4)


def test_a_network_of_ones_own_without_weights_is_measured_only_when_asked(tmp_path: Path) -> None:
    settings = {"model": f"{linear_network.NAME}:linear", "data": linear_network.write_images(tmp_path), "samples": 4}
    with pytest.raises(UsageError, match=r"has no weights of its own; .* give --weights none"):
        probe(ProbeConfig(**settings, probes=("margin",)), tmp_path / "out", device="cpu")
    run = probe(ProbeConfig(**settings, probes=("margin",), weights="none"), tmp_path / "out", device="cpu")
    assert ["weights", "none: the network as its code builds it"] in [list(fact) for fact in run.info["facts"]]


def test_a_network_without_gradient_is_measured_by_its_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import torch\nfrom torch import nn\nfrom tests.experiment.linear_network import linear\n\n\n"
        "class Hard(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.net = linear()\n\n"
        "    def forward(self, x):\n        z = self.net(x)\n"
        "        return nn.functional.one_hot(z.argmax(1), z.shape[1]).float()\n"
    )
    (tmp_path / "hard_networks.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "hard_networks", raising=False)
    data = linear_network.write_images(tmp_path)
    settings = {"model": "hard_networks:Hard", "weights": "none", "data": data, "samples": 4}
    with pytest.raises(ModelError, match=r"which margin and onoff need; .* the method bisection"):
        probe(ProbeConfig(**settings, dim=2, neighbors=4), tmp_path / "out", device="cpu")  # type: ignore[arg-type]
    config = ProbeConfig(**settings, probes=("margin",), method="bisection", max_passes=300.0)  # type: ignore[arg-type]
    run = probe(config, tmp_path / "bisected", device="cpu")
    columns, units = read_table(run.path / "measurements.parquet")
    images = load_images(data, "test")
    exact = measure(linear_network.linear().eval(), images.x, images.y, bounds=(0, 1))["margin"].values.numpy()
    ratio = np.abs(columns["margin"]) / np.abs(exact[columns["index"]])
    assert (ratio > 1 - 1e-3).all() and (ratio < 1.3).all()
    assert columns["margin_status"].tolist() == [4] * 4 and "4 decisions only" in units["margin_status"]
    n = images.x[0].numel()
    note = f"for a half-space of {n} dimensions they are up to a quarter too long with {5 * n:,} passes"
    assert note in (run.path / "report.html").read_text()


@pytest.mark.parametrize(("mean", "std"), [((0.3,), (0.5,)), ((0.1, 0.2, 0.3), (0.5, 0.25, 0.2))])
def test_the_normalization_of_the_training_is_that_of_measure(
    mean: tuple[float, ...], std: tuple[float, ...], tmp_path: Path
) -> None:
    channels = len(mean)
    pixels = torch.randint(0, 256, (40, channels, 2, 2), generator=generator(0, "pixels")).byte().numpy()
    labels = np.arange(40) % 2
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "images.npz", **dict(zip(names, (pixels, labels, pixels, labels), strict=True)))
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * channels, 2))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "plain_networks.py").write_text(
        f"from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear({4 * channels}, 2))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        patch.delitem(__import__("sys").modules, "plain_networks", raising=False)
        settings = {"model": "plain_networks:make", "weights": str(tmp_path / "weights.safetensors")}
        settings |= {"data": f"npz:{tmp_path / 'images.npz'}"}
        config = ProbeConfig(**settings, mean=mean, std=std, probes=("margin",), samples=12)  # type: ignore[arg-type]
        run = probe(config, tmp_path / "out", device="cpu")
        wrong = dataclasses.replace(config, mean=(0.1, 0.2), std=(1.0, 1.0))
        with pytest.raises(UsageError, match=f"2 numbers, and the data have {channels} channel"):
            probe(wrong, tmp_path / "wrong", device="cpu")
    assert f"--mean {','.join(map(str, mean))} --std {','.join(map(str, std))}" in config.command
    columns, _ = read_table(run.path / "measurements.parquet")
    x = torch.from_numpy(pixels[columns["index"]] / 255).float()
    shared = (mean[0], std[0]) if channels == 1 else (mean, std)
    expected = measure(network.eval(), x, labels[columns["index"]], bounds=(0, 1), preprocessing=shared)
    assert columns["margin"] == pytest.approx(expected["margin"].values.numpy(), rel=1e-4)


def test_a_normalization_is_given_once_and_as_a_pair() -> None:
    with pytest.raises(UsageError, match="--mean and --std belong together"):
        ProbeConfig(mean=(0.5,))
    config = ProbeConfig(model="nets.py:Net", data="digits", weights="none", mean=(0.5,), std=(0.5,))
    with pytest.raises(UsageError, match="has a normalization of its own"):
        normalize(build_model("resnet20"), config, (3, 32, 32))


def test_a_given_normalization_replaces_that_of_a_built_in_network() -> None:
    network = build_model("resnet20").eval()
    config = ProbeConfig(model="resnet20", weights="w.pt", data="npz:x", mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    x = torch.rand(2, 3, 32, 32, generator=generator(0, "x"))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    expected = unwrap(network)((x - mean) / std)
    torch.testing.assert_close(normalize(network, config, (3, 32, 32))(x), expected)


@pytest.mark.parametrize("scores", ["probabilities", "log_probabilities"])
@pytest.mark.parametrize("single", [False, True])
def test_what_the_network_returns_does_not_change_the_margins(scores: str, single: bool, tmp_path: Path) -> None:
    """A margin of a sigmoid or softmax of logits is that of the logits, and BGR of flipped weights that of RGB."""
    stream = generator(4, "network")
    logits = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4, 2)).eval()
    with torch.no_grad():
        logits[1].weight.copy_(torch.randn(2, 12, generator=stream))
        logits[1].bias.copy_(-logits[1].weight.sum(1) / 2)
    flipped = copy.deepcopy(logits)
    flipped[1].weight.data = logits[1].weight.detach().reshape(2, 3, 4).flip(1).reshape(2, 12)

    class Output(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = flipped(x)
            values = torch.sigmoid(z[:, 1] - z[:, 0]) if single else z.softmax(1)
            return values if scores == "probabilities" else values.log()

    config = ProbeConfig(model="nets.py:Net", weights="none", data="npz:x", channels="bgr", scores=scores)  # type: ignore[arg-type]
    x = torch.rand(20, 3, 2, 2, generator=stream)
    y = logits(x).argmax(1)
    pixels = Images(x, y, ("0", "1"), "memory", 1)
    prepared = prepare(Output().eval(), config, pixels).eval()
    expected = measure(logits, x, y, bounds=(0, 1))["margin"].values
    found = measure(prepared, x, y, bounds=(0, 1))["margin"].values
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
