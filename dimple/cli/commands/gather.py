"""`dimple gather`: the results of parts that were run apart; `dimple status`: how far they are."""

import dataclasses
import functools
import shlex
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from dimple.cli import console
from dimple.cli.commands.probe import print_summary
from dimple.cli.flags import DeviceOption, JsonOption, require_runs, set_one_thread

if TYPE_CHECKING:
    from dimple.experiment import ShardStatus

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a probe or of claims, its --out.")]


def gather(
    out: FolderArgument,
    missing: Annotated[
        bool,
        typer.Option("--missing", help="Print the parts that are missing, as --array=3,17,40-42, and gather nothing."),
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Join the parts of a probe, or of claims.

    The parts are those of dimple probe --shard, which give tables, or of dimple claims --shard, which give verdicts.
    The exit code is 6 if shards are missing. --missing prints nothing where no shard is missing.
    """
    work = _import_work(out)
    if missing:
        from dimple.runs.shards import format_numbers

        parts = work.missing_parts(out)
        if as_json:
            console.print_json({"run": str(out), "missing_parts": parts})
        elif parts:
            typer.echo(f"--array={format_numbers(parts)}")
        return
    from dimple.tensors import resolve_device

    torch_device = resolve_device(device)
    if _holds_claims(out):
        from dimple.cli.commands.claims import print_claims

        print_claims(work.gather(out, torch_device), out, as_json, {})
        return
    if torch_device.type == "cpu":
        set_one_thread()
    with console.redirect_prints():
        run = work.gather(out, device=device)
    console.print_run(run, as_json, functools.partial(print_summary, False))


def status(out: FolderArgument, as_json: JsonOption = False) -> None:
    """Say how far a probe is, or claims in parts.

    It prints the shards that are stored, missing or poison, and the time that is left, of a probe by the passes a
    second. A shard is one network at a range of samples, or one seed of a claim. Poison is one that killed its process
    twice.
    """
    found = _import_work(out).status(out)
    if as_json:
        console.print_json(dataclasses.asdict(found))
        return
    for line in _describe(found):
        typer.echo(line)


def _holds_claims(out: Path) -> bool:
    return (out / "rows").is_dir()


def _import_work(out: Path) -> ModuleType:
    """Return the module with the status and the results of what a folder holds, which is a run or claims."""
    if _holds_claims(out):
        from dimple.claims import shards

        return shards
    require_runs(out)
    from dimple import experiment

    return experiment


def _name_gather(out: Path) -> str:
    if _holds_claims(out):
        return shlex.join(["dimple", "gather", str(out)])
    from dimple.experiment.probing.shard_status import gather_command

    return gather_command(out)


def _describe(status: "ShardStatus") -> list[str]:
    from dimple.experiment.probing.config import format_duration
    from dimple.runs.shards import format_numbers

    if not status.shards:
        return [f"{status.run}: finished"]
    lines = [f"{status.run}: {status.done} of {status.shards} shards measured, {status.missing} missing"]
    if status.poison:
        lines[0] += f", {status.poison} of these poison (killed their process twice; fewer --jobs leave more memory)"
    if status.missing_parts:
        lines.append(f"parts with missing shards: --array={format_numbers(status.missing_parts)}, of {status.parts}")
    if status.passes:
        alone = status.passes / max(status.seconds, 1e-9)
        now = status.passes_per_second
        rate = "no process has finished a shard lately" if now is None else f"{now:.4g} by all lately"
        lines.append(f"passes a second: {alone:.4g} by one process" + (f", {rate}" if status.missing else ""))
    if status.missing and status.seconds_left is not None:
        base = "with one process" if status.passes_per_second is None else "at this rate"
        lines.append(f"time left: about {format_duration(status.seconds_left)} {base}")
    if not status.missing:
        lines.append(f"next: {_name_gather(Path(status.run))}")
    return lines
