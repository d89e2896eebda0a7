"""One boundary point for all columns of a sample: the nearest that any probe found."""

import json
import re
from pathlib import Path

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.experiment import simulate
from dimple.experiment.outputs.paraview import build_paraview_snapshots
from dimple.experiment.simulation.closest_points import use_closest_points
from dimple.manifolds import Flat
from dimple.scene import load_scene
from dimple.views.content.from_run import frames_from_run
from dimple.views.napari.run_layers import make_run_layout
from dimple.views.web.data import page_data

SHORT = [
    "training.steps=300", "snapshots.count=4", "data.test_points=5", "data.heldout_points=5", "levelset.resolution=24",
    "probes=[{kind: margin, restarts: 1, max_passes: 6}, {kind: onoff, null_draws: 3}]",
]  # fmt: skip


def test_the_nearer_point_of_two_probes_is_that_of_both() -> None:
    # Class 1 lies beyond the planes x = 2 and z = 1; the samples are on the plane z = 0.
    boundary = Boundary(lambda x: torch.stack([torch.zeros(len(x)).double(), (x - wall)[:, [0, 2]].amax(1)], dim=1))
    wall = torch.tensor([2.0, 0.0, 1.0]).double()
    x = torch.zeros(3, 3).double()
    zero, right, up = (torch.tensor(step).double() for step in ([0.0, 0, 0], [2.0, 0, 0], [0.0, 0, 1]))
    # The first sample has the nearer point from `OnOff`, the second from `Margin`; the third has none.
    points, steps = torch.stack([right, up, zero]), torch.stack([up, right, zero])
    off = steps * torch.tensor([0.0, 0.0, 1.0])
    columns = {
        "label": np.array([0, 1, 0]),
        "prediction": np.zeros(3, dtype=np.int64),
        "margin": np.array([2.0, -1.0, np.inf]),
        "margin_unbounded": np.array([1.0, -2.0, np.inf]),
        "margin_on": np.array([2.0, -2.0, np.inf]),
        "margin_off": np.array([1.0, -1.0, np.inf]),
    }
    details = {"boundary_point": points.numpy(), "on_part": (steps - off).numpy(), "off_part": off.numpy()}
    details |= {f"margin_{name}_draws": np.array([[1.5], [-3.0], [np.inf]]) for name in ("on", "off")}
    found = use_closest_points(boundary, x, Flat(), columns, details)
    np.testing.assert_allclose(found[:2], [[0, 0, 1], [0, 0, 1]], atol=1e-5)
    assert np.isnan(found[2]).all()
    for name in ("margin", "margin_unbounded"):
        np.testing.assert_allclose(columns[name], [1, -1, np.inf], rtol=1e-5)
    np.testing.assert_allclose(columns["perturbation_on_manifold_fraction"], [0, 0, np.nan])
    np.testing.assert_allclose(columns["margin_on_ratio"], [2, 2, np.nan], rtol=1e-5)
    np.testing.assert_allclose(columns["margin_on_ratio_null"], [1.5, 3, np.nan], rtol=1e-5)


def test_every_view_shows_the_measured_point_with_its_length_and_parts(tmp_path: Path) -> None:
    run = simulate(load_scene("sphere_in_3d", SHORT), tmp_path / "run", device="cpu", film=False)
    table = run.columns("points")
    train = table["split"] == "train"
    assert np.array_equal(table["margin"][train], table["margin_unbounded"][train])
    frames = frames_from_run(run)
    data = json.loads(json.dumps(page_data(run, frames)))["drawing"]
    snapshots = build_paraview_snapshots(run, frames, lambda: None)
    layers = {options["name"]: (values, options) for values, options, _ in make_run_layout(frames, table).layers}
    vectors, options = layers["perturbations"]
    load_scene(str(run.path / "scene.yaml"))
    x = run.training_points["train"]
    for index, step in enumerate(run.steps):
        margin = np.abs(table["margin"][train & (table["step"] == step)])
        known = np.isfinite(margin)
        points = run.geometry()[f"closest/{step}"]
        # They lie on the boundary of the network.
        boundary = Boundary(run.network(step))
        predicted = boundary.predict(torch.from_numpy(x[known]))
        reached = boundary.logit_margin(torch.from_numpy(points[known]), predicted)
        initial = boundary.logit_margin(torch.from_numpy(x[known]), predicted)
        assert float((reached / initial).abs().max()) < 0.03
        np.testing.assert_allclose(np.linalg.norm(points - x, axis=1)[known], margin[known], rtol=1e-9)
        # The page shows those in the box, with six digits.
        closest = np.array(data["nearest"][index], dtype=float)
        shown = np.isfinite(closest).all(1)
        np.testing.assert_allclose(closest[shown], points[shown], rtol=1e-5, atol=1e-9)
        total = np.asarray(snapshots[index].point_arrays["perturbation"])
        np.testing.assert_allclose(np.linalg.norm(total, axis=1)[known], margin[known], rtol=1e-9)
        length = options["features"]["length"][options["features"]["step"] == step]
        np.testing.assert_allclose(length, margin[shown], rtol=1e-9)
        parts = data["measured"]["decomposition"]
        for row in np.flatnonzero(known):
            on, off = (float(re.sub("[^0-9.e-]", "", parts[name][index][row])) for name in ("on", "off"))
            assert np.isclose(np.hypot(on, off), margin[row], rtol=1e-2)
    assert len(vectors) > 0
