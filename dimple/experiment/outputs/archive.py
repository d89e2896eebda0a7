"""The verb `pack`: a finished run as one file that every other verb takes in the place of its folder."""

from pathlib import Path

from dimple.errors import RunError, UsageError
from dimple.runs import Run
from dimple.runs.archive import SUFFIX


def pack(path: Path | str, out: Path | str | None = None) -> Path:
    """Write a run, simulated or measured, as one file to send or to drop into napari.

    Args:
        path: the run folder.
        out: the file, whose name ends in `.dimple`; the folder's name with this suffix, beside it, without it.

    Returns:
        The file.

    Raises:
        UsageError: for another suffix, or a run that is packed already.
        RunError: if the folder holds no finished run, or the file cannot be written.
    """
    run = Run.open(path)
    if run.packed is not None:
        raise UsageError(f"{path}: is packed already; copy it")
    if run.info.get("status") != "complete":
        raise RunError(f"{run.path}: is not finished; the command that began it continues it")
    folder = run.path.absolute()
    target = Path(out) if out is not None else folder.with_name(folder.name + SUFFIX)
    if target.suffix != SUFFIX:
        raise UsageError(f"--out {target}: the suffix is {target.suffix or 'missing'}; a packed run ends in {SUFFIX}")
    return run.pack(target)
