"""Tests of scenes of images: training, measurement along it, slices, and reading the run again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.boundary import Boundary
from dimple.data import Digits
from dimple.errors import RunError, SceneError, UsageError
from dimple.experiment import ProbeConfig, SliceConfig, probe, simulate, slice_network, train
from dimple.experiment.outputs.export import export_run
from dimple.experiment.run import Run
from dimple.manifolds import Sphere
from dimple.networks.convnet import ConvNet
from dimple.probes import Margin, Offset, OnOff
from dimple.scene import Scene, load_scene, scene_text
from dimple.tangents import GlobalPCA
from dimple.training.augmentation import Flip
from dimple.training.loop import Training

DIGITS = """
name: digits
data: {kind: digits, subset: 200, test: 60, measured: 20}
network: {widths: [16]}
training: {optimizer: adam, lr: 0.01, batch_size: 50, epochs: 3}
snapshots: {count: 4}
probes: [{kind: margin, max_passes: 10}, {kind: onoff, null_draws: 2, max_passes: 5}]
tangents: {kind: global_pca, dim: 4}
slice: {images: [0, 1, 2], axes: points, resolution: 16}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("digits")
    (folder / "digits.yaml").write_text(DIGITS)
    return simulate(load_scene(str(folder / "digits.yaml")), folder / "run", device="cpu")


def test_a_network_of_images_is_trained_and_measured_along_training(run: Run) -> None:
    assert run.steps[-1] == 12 and run.metrics["train_accuracy"].iloc[-1] > 0.5
    last = run.points[run.points["step"] == 12]
    assert (last["split"].value_counts() == 20).all() and set(last["split"]) == {"train", "test"}
    assert last["index"].max() >= 20
    assert {"margin", "margin_correct", "margin_misclassified", "margin_on_ratio"} <= set(run.metrics)


def test_the_margins_are_those_of_the_stored_networks_at_the_stored_images(run: Run) -> None:
    splits = run.samples()
    last = run.points[(run.points["step"] == 12) & (run.points["split"] == "test")]
    rows = torch.tensor(last["index"].to_numpy())
    boundary = Boundary(run.network(12).float(), splits.bounds)
    found = Margin(max_passes=10)(boundary, splits.test[rows], splits.test_labels[rows]).columns["margin"]
    assert np.allclose(found.numpy(), last["margin"], rtol=1e-5)


def test_the_slice_is_a_run_inside_the_run(run: Run) -> None:
    inner = Run.open(run.path / "slice")
    assert inner.kind == "slice" and inner.metrics["step"].tolist() == run.steps
    assert (run.views_path / "film.mp4").is_file() and (run.views_path / "page.html").is_file()
    assert 'href="slice/page.html"' in (run.path / "report.html").read_text(encoding="utf-8")
    with pytest.raises(RunError, match=r"name .*slice"):
        export_run(run.path, [run.path.parent / "film.mp4"])


def test_a_run_of_images_is_probed_like_one_of_points(run: Run, tmp_path: Path) -> None:
    result = probe(ProbeConfig(run=str(run.path), samples=3, probes=("margin",)), tmp_path / "probe", device="cpu")
    assert set(result.measurements["step"]) == set(run.steps)


def test_the_same_scene_gives_the_same_bits(run: Run, tmp_path: Path) -> None:
    again = simulate(run.scene, tmp_path / "again", device="cpu", film=False)
    assert scene_text(again.scene) == scene_text(run.scene)
    assert np.array_equal(again.metrics.to_numpy(), run.metrics.to_numpy(), equal_nan=True)


def test_tangents_of_projected_images_are_exact(tmp_path: Path) -> None:
    changes = ["data.pca=3", "tangents=null", "slice=null", "training.epochs=1"]
    scene = load_scene_text(tmp_path, changes)
    final = simulate(scene, tmp_path / "run", device="cpu", film=False).info["summary"]["final"]
    # In a linear span the first-order null is that of 3 random directions among 64.
    assert final["margin_on_ratio_analytic"] == pytest.approx((64 / 3) ** 0.5)


@pytest.mark.parametrize("known", [True, False])
def test_the_depth_of_dimples_of_a_linear_network_is_its_score_over_its_slope_off_the_tangent_space(
    known: bool, tmp_path: Path
) -> None:
    field = ["data.pca=4", "tangents=null"] if known else ["tangents={kind: global_pca, dim: 4}"]
    changes = ["data={kind: digits, classes: [3, 8], measured: 20}", "network={widths: []}", "slice=null", *field]
    scene = load_scene_text(tmp_path, [*changes, "probes=[{kind: offset, limit: 1000.0, null_draws: 1}]"])
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    last = run.points[(run.points["step"] == run.steps[-1]) & (run.points["split"] == "train")]
    x = run.samples().train[torch.tensor(last["index"].to_numpy())]
    assert len(x) == 20
    network = run.network(run.steps[-1]).double()
    scores = network(x.double()).detach()
    weight = next(parameter for parameter in network.parameters() if parameter.dim() == 2).detach()
    slope = weight[0] - weight[1]
    basis = GlobalPCA(run.samples().train, dim=4).tangent_basis(x[:1])[0].double()
    depth = (scores[:, 0] - scores[:, 1]).abs() / (slope - basis @ (basis.T @ slope)).norm()
    assert np.allclose(last["offset"].abs(), depth.numpy(), rtol=1e-3)
    final = run.info["summary"]["final"]
    signed = np.where(last["correct"], depth.numpy(), -depth.numpy())
    assert final["dimple_depth"] == pytest.approx(np.quantile(signed, 0.5, method="lower"), rel=1e-3)
    assert "boundary_distance" not in final and "verdict" not in run.info["summary"]


def test_a_slice_along_the_estimated_tangent_space_and_off_it(run: Run, tmp_path: Path) -> None:
    changes = [f"slice.{key}" for key in ("images=[5]", "axes=null", "through=[boundary, tangent, normal]")]
    config = SliceConfig(
        run=str(run.path),
        images=(5,),
        split="train",
        through=("boundary", "tangent", "normal"),
        resolution=16,
        null_draws=1,
    )
    found = slice_network(config, tmp_path / "slice", device="cpu")
    words = "toward the nearest boundary point, one direction along the manifold, and the steepest direction off it"
    assert found.info["slice"]["description"] == f"at image 5: {words}" and found.info["slice"]["dim"] == 3
    axes = torch.from_numpy(found.geometry()["axes"]).double()
    x = run.samples().train
    tangents = GlobalPCA(x, dim=4).tangent_basis(x[5:6])[0].double()
    boundary = Boundary(run.network(12).float(), run.samples().bounds)
    predicted = boundary.predict(x[5:6])
    step = Margin().search(boundary, x[5:6], predicted).points[0].double() - x[5].flatten().double()
    assert torch.allclose(axes[:, 0], step / step.norm(), atol=1e-3)
    # The second axis is the widest direction of the data without its part along the first, and the third is
    # orthogonal to the tangent space but for its part along the first two.
    second = tangents[:, 0] - axes[:, 0] * (axes[:, 0] @ tangents[:, 0])
    assert float((second / second.norm() @ axes[:, 1]).abs()) == pytest.approx(1, abs=1e-3)
    *_, gradients = boundary.scores_and_class_gradients(x[5:6], predicted, 9)
    off = gradients.reshape(-1, 64).double()
    off = off - off @ tangents @ tangents.T
    direction = torch.linalg.svd(off, full_matrices=False).Vh[0]
    assert float((axes.T @ direction).norm()) == pytest.approx(1, abs=1e-3)
    scene = load_scene_text(tmp_path, changes)
    assert scene.slice is not None and scene.slice.through == ("boundary", "tangent", "normal")


def load_scene_text(folder: Path, changes: list[str]) -> Scene:
    (folder / "digits.yaml").write_text(DIGITS)
    return load_scene(str(folder / "digits.yaml"), changes)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("tangents=null", "probes lists onoff, which needs tangent spaces; add tangents"),
        ("tangents={kind: local_pca, dim: 60, neighbors: 50}", "tangents: .* dim < neighbors is needed"),
        ("tangents={kind: local_pca, dim: 4, neighbors: 500}", "tangents: .* 200 points cannot give 500 neighbors"),
        ("slice.images=[0, 1, 200]", "slice.images names 200, and the train split has 200 samples; .* 0 to 199"),
        ("slice.images=[0, 0, 1]", "slice.images names 0 twice"),
        ("slice={through: [boundary, normal], axes: pca}", "slice.axes and slice.through both choose the axes"),
        (
            "slice={through: [tangent, tangent, tangent, normal]}",
            "slice.through names 4 directions; a slice has 2 or 3",
        ),
        ("slice.images=[0, 1, 2, 3]", "slice.images names 4, .* or slice.dim 3"),
        ("training.objective={kind: standard, layer_decay: [0.1]}", "layer_decay has 1 numbers"),
    ],
)
def test_what_does_not_fit_the_samples_is_refused_before_anything_is_written(
    change: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SceneError, match=problem):
        simulate(load_scene_text(tmp_path, [change]), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_network_and_augmentation_that_points_do_not_fit_leave_no_folder(tmp_path: Path) -> None:
    images = (
        Scene(manifold=Sphere(dim=2), network=ConvNet()),
        Scene(manifold=Sphere(dim=2), training=Training(augmentation=(Flip(),))),
    )
    for scene in images:
        with pytest.raises(SceneError, match="images of"):
            train(scene, tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()


def test_two_runs_of_images_are_compared_by_a_report(run: Run) -> None:
    with pytest.raises(RunError, match="dimple report compares any runs"):
        export_run(run.path, [run.path.parent / "both.mp4"], other=run.path)


def test_a_location_of_data_that_a_scene_makes_is_refused() -> None:
    with pytest.raises(UsageError, match="makes its data itself; leave it out"):
        Scene(manifold=Sphere(dim=2)).samples("mnist:mnist")


def test_controls_of_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="leave them out for images"):
        simulate(load_scene_text(tmp_path, []), tmp_path / "run", device="cpu", controls=True)


def test_a_run_whose_slice_cannot_be_drawn_ends_without_it(tmp_path: Path) -> None:
    """Three equal images span no plane; whether a slice exists is known only after the training."""
    x = np.full((8, 4, 4), 0.5)
    np.savez(tmp_path / "gray.npz", x_train=x, y_train=np.arange(8) % 2, x_test=x, y_test=np.arange(8) % 2)
    changes = [f"data={{kind: npz, path: {tmp_path / 'gray.npz'}}}", "tangents=null", "probes=[{kind: margin}]"]
    with pytest.warns(UserWarning, match=r"no slice was drawn: slice.images 0, 1, 2 .* span fewer dimensions"):
        run = simulate(load_scene_text(tmp_path, changes), tmp_path / "run", device="cpu")
    assert run.info["status"] == "complete" and (run.path / "report.html").is_file()
    assert run.info["warnings"][0].startswith("no slice was drawn")


def test_depths_of_images_without_tangent_spaces_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="probes lists offset, which needs tangent spaces; add tangents"):
        simulate(load_scene_text(tmp_path, ["tangents=null", "probes=[{kind: offset}]"]), tmp_path / "run")


def test_contradicting_keys_are_refused() -> None:
    with pytest.raises(SceneError, match="manifold is missing"):
        Scene()
    with pytest.raises(SceneError, match="manifold is set, and data names images"):
        Scene(manifold=Sphere(dim=2), data=Digits())
    assert Scene(data=Digits()).probes == (Margin(),)
    assert Scene(manifold=Sphere(dim=2)).probes == (Margin(), OnOff(), Offset())


def test_training_alone_keeps_the_snapshots_that_a_simulation_measures_later(run: Run, tmp_path: Path) -> None:
    alone = train(run.scene, tmp_path / "run", device="cpu")
    with pytest.raises(RunError, match="has no replica 1; it has 1, numbered from 0"):
        alone.network(12, replica=1)
    assert alone.info["status"] == "trained" and alone.steps == run.steps
    first, second = (one.read_snapshot(12)[0] for one in (alone, run))
    assert all(torch.equal(first[name], second[name]) for name in second)
    measured = simulate(run.scene, tmp_path / "run", device="cpu", film=False)
    assert np.array_equal(measured.metrics.to_numpy(), run.metrics.to_numpy(), equal_nan=True)


def test_features_without_labels_are_fitted_before_training(tmp_path: Path) -> None:
    network = "network={kind: autoencoder_classifier, units: 16, steps: 20}"
    scene = load_scene_text(tmp_path, [network, "training.epochs=1", "probes=[]", "slice=null", "tangents=null"])
    run = train(scene, tmp_path / "run", device="cpu")
    start = scene.build_network((1, 8, 8), 10).state_dict()
    first = run.read_snapshot(0)[0]
    assert any(not torch.equal(first[name], start[name]) for name in start)
