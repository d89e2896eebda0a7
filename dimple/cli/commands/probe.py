"""`dimple probe`: measurement of a network on your own data, of checkpoints, or of a run."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import (
    CheckpointsOption,
    DataOption,
    DeviceOption,
    FilesArgument,
    ForceOption,
    JsonOption,
    MeanOption,
    ModelOption,
    RunOption,
    StateDictKeyOption,
    StdOption,
    WeightsOption,
    join_patterns,
    parse_numbers,
    parse_rows,
    read_config,
)
from dimple.errors import UsageError

if TYPE_CHECKING:
    from dimple.runs import RunFolder

# The largest number of rows of the printed table.
MAX_ROWS = 10
# A sentence about each probe, for `--list`.
PROBE_MEANINGS = {
    "margin": "The distance to the nearest boundary point, an upper bound of the true distance.",
    "onoff": "The margins along and off the data manifold, and how the perturbation and the gradient split.",
    "offset": "The distance to the boundary along the normal of a manifold, and the angle to it; with --run.",
    "curvature": "The principal curvatures of the boundary at its nearest point.",
    "certified": "The radius within which it is proven that no other class lies.",
    "exact": "The margin with a proven lower bound, by branch and bound; small networks of ReLU type.",
    "robust": "Clean and robust accuracy over the radii --eps, by the strongest of several attacks.",
    "subspace": "The margins within frequency bands (--subspaces dct) or principal directions (pca).",
    "confidence": "Calibration, and the rank correlation of confidence and margin.",
    "spectra": "Upper and lower bounds on how fast the scores can change, layer by layer.",
    "speed": "How fast the boundary moves away from the samples, from step to step or --along objectives.",
    "transfer": "The error of each step of a series at the boundary points of the others.",
}


def _list_probes(requested: bool) -> None:
    if requested:
        from dimple.cli.commands.scenes import format_columns

        for line in format_columns(PROBE_MEANINGS, None):
            typer.echo(line)
        raise typer.Exit


def probe(
    files: FilesArgument = None,
    model: ModelOption = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    checkpoints: CheckpointsOption = None,
    state_dict_key: StateDictKeyOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    data: DataOption = None,
    probes: Annotated[
        list[str] | None,
        typer.Option(
            "--probe",
            metavar="NAME",
            help="Probe: margin, onoff, offset, curvature, certified, exact, robust, subspace, confidence, spectra, "
            "speed, transfer, or your own as my_file.py:NAME, which is run; repeatable.  [default: margin, onoff]",
        ),
    ] = None,
    list_probes: Annotated[
        bool,
        typer.Option("--list", help="Print the probes, and measure nothing.", callback=_list_probes, is_eager=True),
    ] = False,
    norm: Annotated[str, typer.Option(metavar="NAME", help="Norm of the margin: l0, l1, l2 or linf.")] = "l2",
    bounds: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Inputs to which distances are measured: data, those in range, or none, any."
        ),
    ] = "data",
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Search method of the margin: closest, deepfool, fab, lbfgs, pgd, or bisection (no gradient).",
        ),
    ] = "closest",
    max_passes: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Maximum number of passes of a search; a forward with its backward pass counts as one.  [default: "
            "that of each probe; 15 with --quick]",
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Largest search tree of --probe exact at one sample.  [default: 2000]"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Longest search of --probe exact at one sample.  [default: no limit]"),
    ] = None,
    along: Annotated[
        list[str] | None,
        typer.Option(
            "--along",
            metavar="NAME",
            help="Objective along whose gradient --probe speed moves the weights: clean, adversarial, trades or "
            "boundary_aware; repeatable.  [default: none, the motion from step to step]",
        ),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            metavar="E,E",
            help="Radii of --probe robust, or the training radius of --along, in input units, such as 0.1,0.2,0.3.  "
            "[default: those of robust]",
        ),
    ] = None,
    subspaces: Annotated[
        str, typer.Option(metavar="NAME", help="Kind of subspaces that --probe subspace measures: dct or pca.")
    ] = "dct",
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the samples: test, train or both.")] = "test",
    samples: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Number of samples of each split.  [default: 200; 10 with --quick]"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Coarse look, to conclude nothing from: 10 samples, 5 random subspaces, 15 passes."
        ),
    ] = False,
    indices: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,K-L",
            help="Rows of each split to measure, instead of a random choice.  [default: a random choice]",
        ),
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="NAME", help="Samples to choose from: all, or correct (by the last network).")
    ] = "all",
    per_class: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER", help="Number of samples of each class, instead of --samples.  [default: as drawn]"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Seed of the choice of samples and of the random subspaces.")
    ] = 0,
    tangents: Annotated[
        str,
        typer.Option(metavar="NAME", help="Estimate of the tangent spaces: local_pca, class_pca or global_pca."),
    ] = "local_pca",
    dim: Annotated[
        str, typer.Option(metavar="NUMBER", help="Dimension of the tangent spaces, or auto to estimate it (TwoNN).")
    ] = "16",
    neighbors: Annotated[
        int, typer.Option(metavar="NUMBER", help="Number of training images in each estimate of a tangent space.")
    ] = 50,
    null_draws: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Number of random subspaces of each null; 39 give a 95 % band, and most of the cost.  [default: 39; "
            "5 with --quick]",
        ),
    ] = None,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Run folder.  [default: runs/probe-<model>-<seed>]"),
    ] = None,
    force: ForceOption = False,
    print_all: Annotated[
        bool, typer.Option("--all", help="Print all statistics, instead of ten with the headline first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the decision boundary of a network at its data.

    The probes measure margins, and their parts on and off the data manifold. A series of checkpoints, or the snapshots
    of a run, gives every statistic along training.
    """
    from dimple import experiment
    from dimple.experiment.probing.config import QUICK, describe_quick

    del list_probes
    if files_of_probes := dict.fromkeys(name.partition(":")[0] for name in probes or () if ".py:" in name):
        from dimple import allow_code

        for file in files_of_probes:
            allow_code(file)
    if quick:
        samples = QUICK["samples"] if samples is None else samples
        null_draws = QUICK["null_draws"] if null_draws is None else null_draws
        max_passes = QUICK["max_passes"] if max_passes is None else max_passes
    config, folder = read_config(
        experiment.ProbeConfig, out, device, force,
        {"mean": (parse_numbers, mean), "std": (parse_numbers, std), "eps": (parse_numbers, eps),
         "indices": (parse_rows, indices), "dim": (_parse_dim, dim)},
        model=model, data=data, weights=weights, checkpoints=join_patterns(checkpoints, files),
        state_dict_key=state_dict_key, run=run, split=split, probes=tuple(probes or ("margin", "onoff")),
        bounds=bounds, norm=norm, method=method, max_passes=max_passes, nodes=nodes, seconds=seconds,
        along=tuple(along or ()), subspaces=subspaces, samples=samples,
        seed=seed, tangents=tangents, neighbors=neighbors, null_draws=null_draws, only=only, per_class=per_class,
    )  # fmt: skip
    with console.redirect_prints():
        finished = experiment.probe(config, folder, device=device, force=force)
    console.print_run(finished, as_json, functools.partial(_print_summary, print_all))
    if quick:
        console.print_note(f"dimple: {describe_quick(config)}")


def _parse_dim(flag: str, text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise UsageError(f"{flag} is {text}; give a number, or auto")
    return text if text == "auto" else int(text)


def _print_summary(print_all: bool, run: "RunFolder") -> None:
    from rich.console import Console

    from dimple.experiment.probing.tables import describe_distances
    from dimple.views.report.measurement import flat_curvature_note, reliability_warning
    from dimple.views.report.tables import shown_columns
    from dimple.views.report.text_table import build_table, choose_rows

    out = Console(highlight=False)
    rows: list[dict[str, Any]] = run.info["summary"]["rows"]
    units: dict[str, str] = run.info["summary"]["units"]
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    levels = run.info.get("pixel_levels")
    if "bounds" in run.info:
        out.print(describe_distances(shown_columns(rows[-1]), units, run.info["bounds"]), markup=False)
    for row in last:
        statistics = {name: value for name, value in row.items() if name not in ("step", "split")}
        chosen, left_out = (statistics, 0) if print_all else choose_rows(statistics, MAX_ROWS)
        out.print(build_table(f"step {row['step']}, {row['split']}", chosen, units, width=out.width, levels=levels))
        if left_out:
            out.print(f"{left_out} more statistics: --all, the report, or dimple explain {run.path}", style="dim")
        if warning := reliability_warning(row):
            out.print(f"* {warning[0].lower()}{warning[1:]}", markup=False)
        if note := flat_curvature_note(row):
            out.print(note, markup=False)
    for note, style in _sample_notes(run, last):
        out.print(note, style=style, markup=False)
    if any("margin" in row for row in last):
        note = "margins are medians over the correctly classified samples, margin_misclassified over the others"
        out.print(note, style="dim", markup=False)
    if len(last) < len(rows):
        out.print(f"{len(rows) - len(last)} rows of earlier steps: see the page, or --json", markup=False)
    tables = [f"{name}.parquet" for name in ("measurements", "quantiles", "spectra", "speed", "transfer")]
    console.print_files(run, ["report.html", *tables])


def _sample_notes(run: "RunFolder", rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return sentences about the samples with their styles: how they were chosen, and an accuracy near chance."""
    from dimple.experiment.probing.tables import accuracy_warning, masking_statement

    chosen = [(f"samples: {text}", "") for name, text in run.info["facts"] if name == "samples"]
    warnings = [accuracy_warning(row) for row in rows if "accuracy" in row]
    chosen += [(statement, "") for statement in map(masking_statement, rows) if statement]
    return chosen + [(f"warning: {warning}", "bold") for warning in warnings if warning]
