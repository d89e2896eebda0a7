"""`dimple probe`: measurement of a network on your own data, of checkpoints, or of a run."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimple.cli import console
from dimple.cli.flags import (
    BoundsOption,
    ChannelsOption,
    CheckpointsOption,
    DataOption,
    DeviceOption,
    FilesArgument,
    ForceOption,
    JsonOption,
    LabelOption,
    LogitsOption,
    LogProbabilitiesOption,
    MeanOption,
    ModelOption,
    ProbabilitiesOption,
    RunOption,
    StateDictKeyOption,
    StdOption,
    WeightsOption,
    choose_scores,
    join_patterns,
    parse_bounds,
    parse_numbers,
    parse_rows,
    parse_shard,
    read_config,
    set_one_thread,
)
from dimple.errors import Mistakes, UsageError
from dimple.locations import list_series

if TYPE_CHECKING:
    from dimple.experiment import ProbeConfig
    from dimple.runs import RunFolder
    from dimple.workers import Engine

# The largest number of rows of the printed table.
MAX_ROWS = 10
# A sentence about each probe, for `--list`.
PROBE_MEANINGS = {
    "margin": "The distance to the nearest boundary point, an upper bound of the true distance.",
    "onoff": "The margins along and off the data manifold, and how the perturbation and the gradient split.",
    "offset": "The distance to the boundary along the normal of a manifold, and the angle to it; with --run.",
    "curvature": "The principal curvatures of the boundary at its nearest point.",
    "certified": "The radius within which it is proven that no other class lies, by bounds of --certificate.",
    "curve": "The robust accuracy at every radius, between certified radii and the examples found.",
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
    channels: ChannelsOption = None,
    logits: LogitsOption = False,
    probabilities: ProbabilitiesOption = False,
    log_probabilities: LogProbabilitiesOption = False,
    data: DataOption = None,
    label: LabelOption = None,
    bounds: BoundsOption = "data",
    probes: Annotated[
        list[str] | None,
        typer.Option(
            "--probe",
            metavar="NAME",
            help="Probe: margin, onoff, offset, curvature, certified, curve, exact, robust, subspace, confidence, "
            "spectra, speed, transfer, or your own as my_file.py:NAME, which is run; repeatable.  [default: margin, "
            "onoff]",
        ),
    ] = None,
    list_probes: Annotated[
        bool,
        typer.Option("--list", help="Print the probes, and measure nothing.", callback=_list_probes, is_eager=True),
    ] = False,
    norm: Annotated[str, typer.Option(metavar="NAME", help="Norm of the margin: l0, l1, l2 or linf.")] = "l2",
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
            help="Radii of --probe robust, those at which --probe curve runs the standard attacks, or the training "
            "radius of --along, in input units, such as 0.1,0.2,0.3.  [default: those of robust]",
        ),
    ] = None,
    certificate: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Bounds of --probe certified and curve: crown, ibp (loose, fast) or optimized (tight, slow).",
        ),
    ] = "crown",
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
        typer.Option(
            metavar="NAME",
            help="Estimate of the tangent spaces: local_pca, class_pca, global_pca, or autoencoder (or "
            "autoencoder:FILE), which is trained and kept in the cache.",
        ),
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
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="Processes that measure: local, on this machine, or ray, a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Running cluster of --engine ray, or auto to find one.  [default: none, a cluster of this machine]",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            envvar="DIMPLE_JOBS",
            metavar="NUMBER",
            help="Processes that measure; 1 is this process alone.  [default: one for each core, at most 8; on a GPU "
            "1; with ray, one for each place of the cluster]",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Part of the work to measure, from 0/N to N-1/N, for dimple gather; all parts have the same --out.  "
            "[default: none, the full measurement]",
        ),
    ] = None,
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
    of a run, gives every statistic along training. Several folders of checkpoints are measured one after the other and
    compared.
    """
    from dimple import experiment
    from dimple.engines import check_engine, make_engine
    from dimple.experiment.probing.config import QUICK

    del list_probes
    mistakes = Mistakes()
    with mistakes.collect():
        check_engine(engine, jobs, address)
    part = None
    with mistakes.collect():
        part = None if shard is None else parse_shard(shard, out, force)
    with mistakes.collect():
        _allow_probes(probes or ())
    if quick:
        samples = QUICK["samples"] if samples is None else samples
        null_draws = QUICK["null_draws"] if null_draws is None else null_draws
        max_passes = QUICK["max_passes"] if max_passes is None else max_passes
    patterns = join_patterns(checkpoints, files)
    several = list_series(patterns)
    if several and part is not None:
        raise UsageError("--shard divides one series, and several folders of checkpoints are named; name one")
    folders: dict[str, Path | None] = {name: (out or Path("runs/probe-series")) / name for name in several}
    tasks = []
    with mistakes.collect():
        tasks = [
            read_config(
                experiment.ProbeConfig, folder, device, force,
                {"mean": (parse_numbers, mean), "std": (parse_numbers, std), "eps": (parse_numbers, eps),
                 "indices": (parse_rows, indices), "dim": (_parse_dim, dim), "bounds": (parse_bounds, bounds)},
                model=model, data=data, weights=weights, checkpoints=several.get(name, patterns),
                state_dict_key=state_dict_key, run=run, split=split, probes=tuple(probes or ("margin", "onoff")),
                label=label, channels=channels, scores=choose_scores(logits, probabilities, log_probabilities),
                norm=norm, method=method, max_passes=max_passes, nodes=nodes, seconds=seconds,
                along=tuple(along or ()), certificate=certificate, subspaces=subspaces, samples=samples, seed=seed,
                tangents=tangents, neighbors=neighbors, null_draws=null_draws, only=only, per_class=per_class,
            )
            for name, folder in (folders or {"": out}).items()
        ]  # fmt: skip
    mistakes.raise_all()

    from dimple.tensors import resolve_device

    kind = resolve_device(device).type
    if kind == "cpu":
        set_one_thread()
    with make_engine(engine, jobs, address, kind) as processes:
        if part is not None:
            _measure_part(*tasks[0], part, device, processes, as_json)
            return
        for config, folder in tasks:
            with console.redirect_prints():
                finished = experiment.probe(config, folder, device=device, force=force, engine=processes)
            console.print_run(finished, as_json, functools.partial(print_summary, print_all))
    if several:
        _compare_series([folder for _, folder in tasks])
    _print_coarseness(tasks[0][0], quick)


def _print_coarseness(config: "ProbeConfig", is_quick: bool) -> None:
    from dimple.experiment.probing.build_probes import describe_band
    from dimple.experiment.probing.config import describe_quick

    if note := describe_quick(config) if is_quick else describe_band(config):
        console.print_note(f"dimple: {note}")


def _measure_part(
    config: "ProbeConfig", folder: Path, part: tuple[int, int], device: str, engine: "Engine", as_json: bool
) -> None:
    from dimple import experiment
    from dimple.experiment.probing.shard_status import gather_command

    with console.redirect_prints():
        experiment.probe_part(config, folder, *part, device=device, engine=engine)
    if as_json:
        console.print_json(dataclasses.asdict(experiment.status(folder)))
    name = "/".join(map(str, part))
    console.print_note(f"dimple: part {name} is measured; {gather_command(folder)} makes the tables of all parts")


def _compare_series(folders: Sequence[Path]) -> None:
    from dimple import experiment

    page = experiment.compare(folders, folders[0].parent / "comparison.html")
    console.print_note(f"dimple: {page} compares the series")


def _allow_probes(names: Iterable[str]) -> None:
    """Run the files of the user's own probes, which are named by that."""
    from dimple.object_reference import parse_reference, require_object

    references = [parse_reference(name, "--probe") for name in names if ":" in name]
    files = [reference for reference in references if reference.source == "file"]
    for reference in files:
        require_object(reference, "--probe")
    for file in dict.fromkeys(reference.place for reference in files):
        from dimple import allow_code

        allow_code(file)


def _parse_dim(flag: str, text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise UsageError(f"{flag} is {text}; give a number, or auto")
    return text if text == "auto" else int(text)


def print_summary(print_all: bool, run: "RunFolder") -> None:
    """Print the statistics of a measurement, ten of them or all."""
    from rich.console import Console

    from dimple.experiment.probing.tables import describe_distances
    from dimple.views.report.tables import prediction_note, shown_columns
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
        title = f"step {row['step']:,}, {row['split']}" if len(rows) > len(last) else str(row["split"])
        out.print(build_table(title, chosen, units, width=out.width, levels=levels))
        if left_out:
            out.print(f"{left_out} more statistics: --all, the report, or dimple explain {run.path}", style="dim")
    if prediction := prediction_note(last[-1]):
        out.print(prediction, style="dim", markup=False)
    for note, style in _sample_notes(run, last):
        out.print(note, style=style, markup=False)
    if any("margin" in row for row in last):
        note = "margins are medians over the correctly classified samples, margin_misclassified over the others"
        out.print(note, style="dim", markup=False)
    if len(last) < len(rows):
        earlier = len({row["step"] for row in rows}) - 1
        out.print(f"{earlier} earlier step{'s' if earlier > 1 else ''}: see the report, or --json", markup=False)
    tables = [f"{name}.parquet" for name in ("measurements", "quantiles", "spectra", "speed", "transfer")]
    console.print_files(run, ["report.html", *tables])


def _sample_notes(run: "RunFolder", rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return sentences about the samples with their styles: how they were chosen, and what makes numbers doubtful."""
    from dimple.stats.cautions import cautions_of_run

    chosen = [(f"samples: {text}", "") for name, text in run.info["facts"] if name == "samples"]
    return chosen + [(text, "bold" if text.startswith("warning: ") else "") for text in cautions_of_run(rows)]
