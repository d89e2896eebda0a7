"""`dimple probe`: the same probes on a network and data of one's own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.errors import UsageError

if TYPE_CHECKING:
    from dimple.experiment import ProbeRequest
    from dimple.runs import Run


def probe(
    model: Annotated[
        str, typer.Option(help="resnet20, mnist_convnet, ... or package.module:factory for your own.")
    ] = "digits_convnet",
    weights: Annotated[str | None, typer.Option(help="The weights file: safetensors, or torch without code.")] = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="A quoted glob of weights files, measured one after another.")
    ] = None,
    state_key: Annotated[str | None, typer.Option(help="Which state dict, where a file holds several.")] = None,
    data: Annotated[str, typer.Option(help="digits, cifar10:PATH, mnist:DIR, folder:DIR or npz:FILE.")] = "digits",
    probes: Annotated[
        list[str] | None, typer.Option("--probe", help="margin, onoff, offset; repeatable. [default: margin, onoff]")
    ] = None,
    norm: Annotated[str, typer.Option(help="l2 or linf, for the margin.")] = "l2",
    samples: Annotated[int, typer.Option(help="How many test images.")] = 200,
    seed: Annotated[int, typer.Option(help="Draws the images and the random subspaces.")] = 0,
    dim: Annotated[int, typer.Option(help="Dimension of the tangent spaces estimated by local PCA.")] = 16,
    neighbours: Annotated[int, typer.Option(help="Training images that each estimate looks at.")] = 50,
    draws: Annotated[int, typer.Option(help="Random subspaces of the null.")] = 20,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:INDEX or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="The folder; runs/probe-<model>-<seed> without it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is already there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON on stdout.")] = False,
) -> None:
    """Measure a network's decision boundary at test images: margins, and their parts on and off the data manifold."""
    from dimple import experiment
    from dimple.runs.files import without_infinities

    request = _request(
        model=model,
        data=data,
        weights=weights,
        checkpoints=checkpoints,
        state_key=state_key,
        probes=tuple(probes or ("margin", "onoff")),
        norm=norm,
        samples=samples,
        seed=seed,
        neighbours=neighbours,
        dim=dim,
        draws=draws,
    )
    folder = out or Path("runs") / f"probe-{model.replace(':', '.')}-{seed}"
    run = experiment.probe(request, folder, device=device, force=force, progress=console.progress)
    if as_json:
        line = {"run": str(run.path), **run.info["summary"], "seconds": run.info["seconds"]}
        typer.echo(json.dumps(without_infinities(line)))
    else:
        _print_summary(run)


def _request(**settings: Any) -> "ProbeRequest":
    """The request, its mistakes named by their flags."""
    from dimple.experiment import ProbeRequest
    from dimple.settings import SettingError

    try:
        return ProbeRequest(**settings)
    except SettingError as error:
        raise UsageError(f"--{error.field.replace('_', '-')} {error.problem}") from None


def _print_summary(run: "Run") -> None:
    from rich.console import Console
    from rich.table import Table

    from dimple.cli.figures import null, number

    out = Console(highlight=False)
    rows: list[dict[str, Any]] = run.info["summary"]["rows"]
    units: dict[str, str] = run.info["summary"]["units"]
    table = Table("step", "figure", "value", "null", "verdict", "unit", box=None, pad_edge=False)
    for row in rows:
        for name, value in row.items():
            if name != "step" and "_null" not in name and not name.endswith(("_closed", "_verdict")):
                beside = null(row, name), row.get(f"{name}_verdict", ""), units.get(name, "")
                table.add_row(str(row["step"]), name, number(value), *beside)
    out.print(table)
    for file in ("report.html", "measurements.parquet"):
        out.print(str(run.path / file), markup=False)
