"""`dimple probe`: the same probes on a network and data of one's own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import AsJson, Data, Device, Force, Model, Simulated, StateKey, Weights, request_of

if TYPE_CHECKING:
    from dimple.runs import Run


def probe(
    model: Model = None,
    run: Simulated = None,
    weights: Weights = None,
    checkpoints: Annotated[
        str | None, typer.Option(help="A quoted glob of weights files, measured one after another.")
    ] = None,
    state_key: StateKey = None,
    data: Data = None,
    probes: Annotated[
        list[str] | None,
        typer.Option(
            "--probe",
            help="margin, onoff, subspace, confidence, spectra, speed, ...; repeatable. [default: margin, onoff]",
        ),
    ] = None,
    norm: Annotated[str, typer.Option(help="l1, l2 or linf, for the margin.")] = "l2",
    method: Annotated[str, typer.Option(help="Of the margin: closest, or deepfool and others of the literature.")] = (
        "closest"
    ),
    budget: Annotated[
        float | None, typer.Option(help="Passes that a search may take, a forward and a backward being one.")
    ] = None,
    bands: Annotated[str, typer.Option(help="Of the probe subspace: dct or pca.")] = "dct",
    split: Annotated[str, typer.Option(help="Which samples: test, train or both.")] = "test",
    samples: Annotated[int, typer.Option(help="How many samples of each split.")] = 200,
    seed: Annotated[int, typer.Option(help="Draws the images and the random subspaces.")] = 0,
    dim: Annotated[int, typer.Option(help="Dimension of the tangent spaces estimated by local PCA.")] = 16,
    neighbours: Annotated[int, typer.Option(help="Training images that each estimate looks at.")] = 50,
    draws: Annotated[
        int, typer.Option(help="Random subspaces of each null: 39 give a band of 95 %, and most of the cost.")
    ] = 39,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="The folder; runs/probe-<model>-<seed> without it.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Measure a network's decision boundary at its data: margins, and their parts on and off the data manifold.

    A series of checkpoints, or the snapshots of a run, gives every figure along training.
    """
    from dimple import experiment
    from dimple.runs.atomic_io import without_infinities

    request = request_of(
        experiment.ProbeRequest, model=model, data=data, weights=weights, checkpoints=checkpoints, state_key=state_key,
        run=run, split=split, probes=tuple(probes or ("margin", "onoff")), norm=norm, method=method, budget=budget,
        bands=bands, samples=samples, seed=seed, neighbours=neighbours, dim=dim, draws=draws,
    )  # fmt: skip
    name = request.model.replace(":", ".") if run is None else Path(run).name
    folder = out or Path("runs") / f"probe-{name}-{seed}"
    done = experiment.probe(request, folder, device=device, force=force, progress=console.progress)
    if as_json:
        line = {"run": str(done.path), **done.info["summary"], "seconds": done.info["seconds"]}
        typer.echo(json.dumps(without_infinities(line)))
    else:
        _print_summary(done)


def _print_summary(run: "Run") -> None:
    from rich.console import Console

    from dimple.cli.tables import table_of
    from dimple.views.report.measurement import caution

    out = Console(highlight=False)
    rows: list[dict[str, Any]] = run.info["summary"]["rows"]
    units: dict[str, str] = run.info["summary"]["units"]
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    for row in last:
        figures = {name: value for name, value in row.items() if name not in ("step", "split")}
        out.print(table_of(f"step {row['step']}, {row['split']}", figures, units))
        if doubt := caution(row):
            out.print(f"* {doubt[0].lower()}{doubt[1:]}", markup=False)
    if any("margin" in row for row in last):
        what = "margins are medians over the samples that are classified correctly, margin_wrong over the others"
        out.print(what, style="dim", markup=False)
    if len(last) < len(rows):
        out.print(f"{len(rows) - len(last)} rows of earlier steps: see the page, or --json", markup=False)
    for file in (
        "report.html",
        "measurements.parquet",
        "quantiles.parquet",
        "spectra.parquet",
        "speed.parquet",
        "transfer.parquet",
    ):
        if (run.path / file).exists():
            out.print(str(run.path / file), markup=False)
