"""`dimple train`: the network of a scene and its snapshots, without measurements."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dimple.cli.flags import DeviceOption, ForceOption, JsonOption, OverridesOption, SceneArgument, SceneDataOption


def train(
    scene: SceneArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Run folder.  [default: runs/<scene>-<seed>]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Seed.  [default: that of the scene]")] = None,
    data: SceneDataOption = None,
    device: DeviceOption = "auto",
    overrides: OverridesOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a scene's network and keep its snapshots.

    Nothing is measured: dimple simulate into the same folder, or dimple probe --run, does that later.
    """
    from dimple.experiment.simulation.check_inputs import check_inputs
    from dimple.scene.find import locate_mistakes

    node = check_inputs(scene, overrides or (), out, seed=seed, data=data, device=device, force=force)
    from dimple import experiment
    from dimple.scene import load_scene

    with locate_mistakes(node):
        run = experiment.train(load_scene(scene, overrides or (), seed), out, data=data, device=device, force=force)
    losses = [run.read_snapshot(step)[1] for step in run.steps]
    if as_json:
        line = {"run": str(run.path), "steps": run.steps, "loss": losses, "seconds": run.info["seconds"]}
        typer.echo(json.dumps(line))
    else:
        typer.echo(f"{run.path}: {len(run.steps)} snapshots up to step {run.steps[-1]}, loss {losses[-1]:.3g}")
