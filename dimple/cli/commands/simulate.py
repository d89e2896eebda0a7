"""`dimple simulate`: a scene, from its file to the film and the report."""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import AsJson, Changes, Device, Force

if TYPE_CHECKING:
    from dimple.runs import Run


def simulate(
    scene: Annotated[str, typer.Argument(help="A scene file, or the name of a scene that ships (see dimple scenes).")],
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/<scene>-<seed> without it.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the scene's seed.")] = None,
    device: Device = "auto",
    changes: Changes = None,
    cells: Annotated[int | None, typer.Option(help="Of the level set along each axis, instead of the scene's.")] = None,
    force: Force = False,
    no_film: Annotated[bool, typer.Option("--no-film", help="Draw nothing.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(envvar="DIMPLE_JOBS", help="Processes that measure; without it one a core, up to 8."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a scene's network, follow its boundary through training, film it and report."""
    import joblib

    from dimple.workers import Workers, interrupts_deferred

    count = min(8, joblib.cpu_count()) if jobs is None else jobs
    # The other processes load what they need while this one does the same.
    with Workers(count, 1, functools.partial(_load, not no_film)) as workers:
        # An interrupt in the middle of it would end torch in a message of its own.
        with interrupts_deferred():
            import torch

        from dimple import experiment
        from dimple.runs.atomic_io import without_infinities
        from dimple.scene import load_scene

        torch.set_num_threads(1)
        run = experiment.simulate(
            load_scene(scene, changes or (), seed, cells),
            out,
            device=device,
            force=force,
            film=not no_film,
            progress=console.progress,
            workers=workers,
        )
    if as_json:
        line = {"run": str(run.path), **run.info["summary"], "seconds": run.info["seconds"]}
        typer.echo(json.dumps(without_infinities(line)))
    else:
        _print_summary(run)


def _load(film: bool) -> None:
    """Load what measuring takes, and what a film takes."""
    import dimple.experiment  # noqa: F401

    if film:
        import matplotlib.pyplot  # noqa: F401
        import pyvista.plotting  # noqa: F401

        from dimple.views.vtk.opengl import window_kind

        window_kind()


def _print_summary(run: "Run") -> None:
    from rich.console import Console

    from dimple.cli.tables import table_of
    from dimple.stats.aggregate import VERDICT

    summary: dict[str, Any] = run.info["summary"]
    out = Console(highlight=False)
    if "verdict" in summary:
        out.print(f"cling, then dimple: {summary['verdict'].upper()}", style="bold", markup=False)
        out.print(f"  {summary['verdict_reason']}", markup=False)
        clung, dimpled = (
            "never" if at is None else f"at step {at}" for at in (summary["cling_step"], summary["dimple_step"])
        )
        out.print(f"  clung {clung}, dimpled {dimpled}", markup=False)
    verdicts = {name: value for name, value in summary.items() if name.endswith(VERDICT)}
    out.print(table_of("at the last step", summary["final"] | verdicts, run.units()))
    out.print(
        "margins and depths are medians over the training points, negative where wrong", style="dim", markup=False
    )
    for file in ("film.mp4", "page.html", "report.html", "metrics.parquet"):
        if (run.path / file).exists():
            out.print(str(run.path / file), markup=False)
