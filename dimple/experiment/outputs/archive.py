"""The verb `pack`: a finished run in one file, which every other verb takes instead of its folder."""

from pathlib import Path

from dimple.errors import RunError, UsageError
from dimple.experiment.run import Run
from dimple.runs.archive import ARCHIVE_SUFFIX
from dimple.settings import expand_home


def pack(path: Path | str, out: Path | str | None = None, images: bool = True) -> Path:
    """Write a run, simulated or measured, into one file, for sending or for opening with napari.

    Args:
        path: the run folder.
        out: the file, whose name ends in `.dimple`; None for a file next to the folder, with the folder's name.
        images: pack the stored samples, and the pages and films that show some.

    Returns:
        The file.

    Raises:
        UsageError: for another suffix, or a run that is already packed.
        RunError: if the folder holds no finished run, or the file cannot be written.
    """
    run = Run.open(path)
    if run.archive_path is not None:
        raise UsageError(f"{path}: is already packed; copy it")
    if run.info.get("status") != "complete":
        raise RunError(f"{run.path}: is not finished; the command that started it continues it")
    folder = run.path.absolute()
    target = expand_home(out) if out is not None else folder.with_name(folder.name + ARCHIVE_SUFFIX)
    if target.suffix != ARCHIVE_SUFFIX:
        raise UsageError(f"{target}: the suffix is {target.suffix or 'missing'}; a packed run ends in {ARCHIVE_SUFFIX}")
    return run.pack(target, images)
