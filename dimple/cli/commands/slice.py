"""`dimple slice`: class regions of a network in a plane or space through images, compared with random ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    parse_words,
    read_config,
)

if TYPE_CHECKING:
    from dimple.runs import RunFolder


def slice_network(
    files: FilesArgument = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,K",
            help="Numbers of the images in the split, with commas; the first is the origin.  [default: 0]",
        ),
    ] = None,
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
    split: Annotated[str, typer.Option(metavar="NAME", help="Split of the images: test or train.")] = "test",
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Axes: points (through the images, further axes along gradients), gradient (along gradients at the "
            "first image; with --run the tangent directions first), pca (widest directions of the training data) or "
            "random.  [default: points; gradient with --run]",
        ),
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C",
            help="In place of --axes, a direction for each axis: boundary (to the nearest boundary point), tangent "
            "(along the data manifold, with --run) or normal (steepest direction off it).  [default: none]",
        ),
    ] = None,
    dim: Annotated[int, typer.Option(metavar="NUMBER", help="Dimension of the slice: 2 or 3.")] = 2,
    resolution: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="Grid cells along each axis.  [default: 256 in a plane, 64 in a space]"),
    ] = None,
    levelset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Level set: adaptive (scores where classes change) or dense (scores everywhere)."
        ),
    ] = "adaptive",
    radius: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER", help="Half the side of the box around the first image.  [default: all images fit]"
        ),
    ] = None,
    null_draws: Annotated[int, typer.Option(metavar="NUMBER", help="Number of random slices to compare with.")] = 5,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Seed of the random slices.")] = 0,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Run folder.  [default: runs/slice-<model>-<images>]"),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compute class regions in a plane or space of inputs.

    The slice contains the given images. Random slices through the first image are computed for comparison. The folder
    is a run, which dimple view, export, report and napari take.
    """
    from dimple import experiment

    config, folder = read_config(
        experiment.SliceConfig, out, device, force,
        {"mean": (parse_numbers, mean), "std": (parse_numbers, std), "images": (parse_rows, images),
         "through": (parse_words, through),
         "bounds": (parse_bounds, bounds)},
        label=label, channels=channels, scores=choose_scores(logits, probabilities, log_probabilities),
        model=model, data=data, weights=weights, checkpoints=join_patterns(checkpoints, files),
        state_dict_key=state_dict_key, run=run, split=split, axes=axes, dim=dim, resolution=resolution,
        levelset=levelset, radius=radius, null_draws=null_draws, seed=seed,
    )  # fmt: skip
    with console.redirect_prints():
        finished = experiment.slice_network(config, folder, device=device, force=force)
    console.print_run(finished, as_json, _print_summary)


def _print_summary(run: "RunFolder") -> None:
    from rich.console import Console

    from dimple.stats.null_bands import DEFAULT_NULL_DRAWS, interval_coverage
    from dimple.views.content.labels import column_label
    from dimple.views.report.text_table import build_table

    out = Console(highlight=False)
    summary = run.info["summary"]
    null_draws = run.info["slice"]["null_draws"]
    steps = run.columns("metrics")["step"]
    images = len(run.columns("points")["index"]) // len(steps)
    out.print(run.info["slice"]["description"], markup=False)
    heading = "in the slice" if len(steps) == 1 else f"in the slice, step {steps[-1]}"
    out.print(build_table(heading, summary["final"], run.units("metrics"), column_label, width=out.width))
    note = f"classes and boundary are counted on {run.info['slice']['control_resolution']} cells a side; "
    note += f"margins are medians over {images} samples" if images > 1 else "margins are those of the one sample"
    note += (
        f"; comparison: median over {null_draws} random slices" if null_draws > 1 else "; comparison: a random slice"
    )
    if null_draws < DEFAULT_NULL_DRAWS:
        note += (
            f", whose band holds {interval_coverage(null_draws):.0%} of further ones "
            f"({interval_coverage(DEFAULT_NULL_DRAWS):.0%} with --null-draws {DEFAULT_NULL_DRAWS})"
        )
    out.print(note, style="dim", markup=False)
    console.print_files(run, ("film.mp4", "film.png", "page.html", "report.html"))
