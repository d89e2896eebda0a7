"""`dimple simulate`: a scene, from its file to the film and the report."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import DeviceOption, ForceOption, JsonOption, OverridesOption, SceneDataOption

if TYPE_CHECKING:
    from dimple.runs import RunFolder


def simulate(
    scene: Annotated[
        str, typer.Argument(metavar="SCENE", help="Scene file, or the name of a built-in scene (see dimple scenes).")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Run folder.  [default: runs/<scene>-<seed>]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Seed.  [default: that of the scene]")] = None,
    data: SceneDataOption = None,
    replicas: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Seeds that are trained at once.  [default: those of the scene]"),
    ] = None,
    device: DeviceOption = "auto",
    overrides: OverridesOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", help="Grid cells of the level set along each axis.  [default: those of the scene]"
        ),
    ] = None,
    force: ForceOption = False,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Train with permuted labels and from a start on the data too, for comparison."),
    ] = False,
    no_film: Annotated[bool, typer.Option("--no-film", help="Run without film and web page.")] = False,
    only_estimate: Annotated[
        bool, typer.Option("--estimate", help="Print how long it takes, by a short trial, and keep nothing.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            envvar="DIMPLE_JOBS",
            metavar="NUMBER",
            help="Processes that measure and draw.  [default: one for each core, at most 8]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a scene's network and measure its boundary.

    The boundary is measured at snapshots along the training. The run has a film, a web page and a report. Code of yours
    that the scene names needs --allow-code FILE.
    """
    import loky

    from dimple.experiment.simulation.check_inputs import check_inputs
    from dimple.scene.find import locate_mistakes
    from dimple.workers import Workers, defer_interrupts

    changes = [*(overrides or ()), *([] if replicas is None else [f"replicas={replicas}"])]
    node = check_inputs(scene, changes, out, seed=seed, resolution=resolution, data=data, device=device, force=force)

    job_count = min(8, loky.cpu_count()) if jobs is None else jobs
    # The other processes import what they need while this process does the same.
    with locate_mistakes(node), Workers(job_count, 1, functools.partial(_preload, not no_film)) as workers:
        # An interrupt during the import would end in an error message of torch.
        with defer_interrupts():
            import torch

        from dimple import experiment
        from dimple.experiment.simulation.estimate import estimate_simulation
        from dimple.scene import load_scene

        torch.set_num_threads(1)
        loaded = load_scene(scene, changes, seed, resolution)
        if only_estimate:
            found = estimate_simulation(loaded, data=data, device=device, film=not no_film, jobs=job_count)
            console.print_json(dataclasses.asdict(found)) if as_json else typer.echo(found)
            return
        run = experiment.simulate(
            loaded,
            out,
            data=data,
            device=device,
            force=force,
            film=not no_film,
            controls=controls,
            workers=workers,
        )
    console.print_run(run, as_json, _print_summary)


def _preload(film: bool) -> None:
    """Import the packages that the measurement needs and, for a film, those that draw."""
    import dimple.experiment  # noqa: F401

    if film:
        import matplotlib.pyplot  # noqa: F401
        import pyvista.plotting  # noqa: F401

        from dimple.views.vtk.opengl import find_window_class

        find_window_class()


def _print_summary(run: "RunFolder") -> None:
    from rich.console import Console

    from dimple.runs.files import SLICE_FOLDER
    from dimple.views.content.run_header import (
        describe_conditions,
        describe_controls,
        describe_depth,
        describe_fall,
        describe_phases,
        describe_replicas,
        describe_verdict,
    )
    from dimple.views.report.tables import prediction_note
    from dimple.views.report.text_table import build_condition_table, build_table

    summary: dict[str, Any] = run.info["summary"]
    out = Console(highlight=False)
    for sentence in describe_replicas(run):
        out.print(sentence, markup=False)
    if "verdict" in summary:
        out.print(f"cling, then dimple: {summary['verdict'].upper()}", style="bold", markup=False)
        verdict = describe_verdict(summary)
        assert verdict is not None
        out.print(verdict["reason"], markup=False)
        for phase in describe_phases(summary, []):
            out.print(f"{phase['name']}: {phase['step']} ({phase['meaning']})", style="dim", markup=False)
        out.print(build_condition_table(describe_conditions(summary)))
        for sentence in (describe_depth(summary), describe_fall(summary), *describe_controls(summary)):
            if sentence:
                out.print(sentence, markup=False)
    else:
        note = "no verdict on clinging and dimpling, which needs the probe offset at points of a manifold"
        out.print(note, style="dim", markup=False)
    out.print(build_table("at the last step", summary["final"], run.units("metrics"), width=out.width))
    if prediction := prediction_note(summary["final"]):
        out.print(prediction, style="dim", markup=False)
    note = "margins and depths are medians over the training samples, negative where the prediction is wrong"
    out.print(note, style="dim", markup=False)
    slices = [] if run.views_path == run.path else [f"{SLICE_FOLDER}/film.mp4", f"{SLICE_FOLDER}/page.html"]
    console.print_files(run, ("film.mp4", "page.html", *slices, "report.html", "metrics.parquet"))
