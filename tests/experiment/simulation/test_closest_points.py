"""One boundary point for all columns of a sample: the nearest that any probe found."""

import json
import re
from pathlib import Path

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.experiment import simulate
from dimple.experiment.outputs.paraview import build_paraview_snapshots
from dimple.scene import load_scene
from dimple.views.content.from_run import frames_from_run
from dimple.views.napari.run_layers import make_run_layout
from dimple.views.web.data import page_data

SHORT = [
    "training.steps=300", "snapshots.count=4", "data.test_points=5", "data.heldout_points=5", "levelset.resolution=24",
    "probes=[{kind: margin, restarts: 1, max_passes: 6}, {kind: onoff, null_draws: 3}]",
]  # fmt: skip


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
