"""`dimple gather`: the tables of a probe whose parts were measured apart; `dimple status`: how far a probe is."""

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.commands.probe import print_summary
from dimple.cli.flags import DeviceOption, JsonOption, require_runs, set_one_thread

if TYPE_CHECKING:
    from dimple.experiment import ShardStatus

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a probe, its --out.")]


def gather(
    out: FolderArgument,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Print the parts that are missing, as --array=3,17,40-42, and gather nothing."),
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Make the tables of a probe from its parts.

    The parts are those of dimple probe --shard. The exit code is 6 if shards are missing. --missing prints nothing
    where no shard is missing.
    """
    require_runs(out)
    from dimple import experiment

    if missing:
        from dimple.runs.shards import format_numbers

        parts = experiment.missing_parts(out)
        if as_json:
            console.print_json({"run": str(out), "missing_parts": parts})
        elif parts:
            typer.echo(f"--array={format_numbers(parts)}")
        return
    from dimple.tensors import resolve_device

    if resolve_device(device).type == "cpu":
        set_one_thread()
    with console.redirect_prints():
        run = experiment.gather(out, device=device)
    console.print_run(run, as_json, functools.partial(print_summary, False))


def status(out: FolderArgument, as_json: JsonOption = False) -> None:
    """Say how far a probe is, and how long it takes.

    It prints the shards that are measured, missing or poison, and the time that is left by the passes a second. A
    shard is one network at a range of samples. Poison is one that killed its process twice.
    """
    require_runs(out)
    from dimple import experiment

    found = experiment.status(out)
    if as_json:
        console.print_json(dataclasses.asdict(found))
        return
    for line in _describe(found):
        typer.echo(line)


def _describe(status: "ShardStatus") -> list[str]:
    from dimple.experiment.probing.config import format_duration
    from dimple.experiment.probing.shard_status import gather_command
    from dimple.runs.shards import format_numbers

    if not status.shards:
        return [f"{status.run}: finished"]
    lines = [f"{status.run}: {status.done} of {status.shards} shards measured, {status.missing} missing"]
    if status.poison:
        lines[0] += f", {status.poison} of these poison (killed their process twice; fewer --jobs leave more memory)"
    if status.missing_parts:
        lines.append(f"parts with missing shards: --array={format_numbers(status.missing_parts)}, of {status.parts}")
    if status.done:
        alone = status.passes / max(status.seconds, 1e-9)
        now = status.passes_per_second
        rate = "no process has finished a shard lately" if now is None else f"{now:.4g} by all lately"
        lines.append(f"passes a second: {alone:.4g} by one process" + (f", {rate}" if status.missing else ""))
    if status.missing and status.seconds_left is not None:
        base = "with one process" if status.passes_per_second is None else "at this rate"
        lines.append(f"time left: about {format_duration(status.seconds_left)} {base}")
    if not status.missing:
        lines.append(f"next: {gather_command(status.run)}")
    return lines
