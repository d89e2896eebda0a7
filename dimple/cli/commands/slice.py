"""`dimple section`: the class regions of a network in a plane or space through images, beside a random one."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.flags import AsJson, Data, Device, Force, Model, Simulated, StateKey, Weights, request_of
from dimple.errors import UsageError

if TYPE_CHECKING:
    from dimple.runs import Run


def section(
    images: Annotated[
        str | None,
        typer.Option(metavar="I,J,K", help="Rows of the split, the first where all axes start; of a run, its points."),
    ] = None,
    model: Model = None,
    run: Simulated = None,
    weights: Weights = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="A quoted glob of weights files: the section along training.")
    ] = None,
    state_key: StateKey = None,
    data: Data = None,
    split: Annotated[str, typer.Option(help="Which samples: test or train.")] = "test",
    axes: Annotated[
        str | None,
        typer.Option(
            help="points (through the images, then off them where gaps change most), gradient (at the first image; of "
            "a run beside the tangent space), pca or random.  [default: points; gradient for a run]"
        ),
    ] = None,
    dim: Annotated[int, typer.Option(help="2 for a plane, 3 for a space.")] = 2,
    cells: Annotated[
        int | None, typer.Option(help="Of the lattice, a side.  [default: 256 in the plane, 64 in space]")
    ] = None,
    levelset: Annotated[
        str, typer.Option(help="adaptive (asks the network where classes change) or dense (everywhere).")
    ] = "adaptive",
    radius: Annotated[
        float | None, typer.Option(help="Half the side of the box around the first image; without it, all images fit.")
    ] = None,
    draws: Annotated[int, typer.Option(help="Random sections that everything is compared with.")] = 5,
    seed: Annotated[int, typer.Option(help="Draws the random sections.")] = 0,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder; runs/section-<model>-<images> without it.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show where a network's classes meet in a plane or space through images, beside random ones.

    The folder is a run like any other: dimple view, film and report take it.
    """
    from dimple import experiment
    from dimple.runs.atomic_io import without_infinities

    request = request_of(
        experiment.SectionRequest, model=model, data=data, weights=weights, checkpoints=checkpoints,
        state_key=state_key, run=run, split=split, axes=axes, dim=dim, cells=cells, levelset=levelset, radius=radius,
        draws=draws, seed=seed, **({} if images is None else {"images": _numbers(images)}),
    )  # fmt: skip
    name = request.model.replace(":", ".") if run is None else Path(run).name
    folder = out or Path("runs") / f"section-{name}-{'-'.join(map(str, request.images))}"
    done = experiment.section(request, folder, device=device, force=force, progress=console.progress)
    if as_json:
        line = {"run": str(done.path), **done.info["summary"], "seconds": done.info["seconds"]}
        typer.echo(json.dumps(without_infinities(line)))
    else:
        _print_summary(done)


def _numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise UsageError(f"--images is {text!r}; write rows of the split with commas between them, such as 3,17,42")
    return tuple(int(number) for number in text.split(","))


def _print_summary(run: "Run") -> None:
    from rich.console import Console

    from dimple.cli.tables import table_of
    from dimple.stats.null_bands import DRAWS, held
    from dimple.views.content.labels import words

    out, about, summary = Console(highlight=False), run.info["section"], run.info["summary"]
    steps, draws = run.metrics()["step"], about["draws"]
    images = len(run.points()["index"]) // len(steps)
    out.print(about["words"], markup=False)
    head = "in the section" if len(steps) == 1 else f"in the section, step {steps[-1]}"
    out.print(table_of(head, summary["final"] | summary["verdicts"], run.units(), words))
    said = f"margins are medians over {images} samples" if images > 1 else "margins are those of the one sample"
    said += (
        f"; nulls are medians over {draws} random sections" if draws > 1 else "; nulls are those of one random section"
    )
    if draws < DRAWS:
        said += f", whose band holds {held(draws):.0%} of further ones: --draws {DRAWS} makes it {held(DRAWS):.0%}"
    out.print(said, style="dim", markup=False)
    for file in ("film.mp4", "film.png", "page.html", "report.html"):
        if (run.path / file).exists():
            out.print(str(run.path / file), markup=False)
