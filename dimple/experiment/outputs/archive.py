"""The verbs `pack`, a finished run in one file, and `check`, whether the files are as the run wrote them."""

from pathlib import Path

from dimple.errors import RunError, UsageError, convert_file_errors
from dimple.experiment.run import Run
from dimple.runs.archive import ARCHIVE_SUFFIX, unpack
from dimple.runs.files import FilesCheck, check_files, remove_abandoned_files
from dimple.settings import expand_home


@convert_file_errors
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


@convert_file_errors
def check(path: Path | str) -> FilesCheck:
    """Compare the files of a run with the check sums in its manifest.

    Args:
        path: the run, a folder or packed.

    Returns:
        The number of files that are as the run wrote them, and a problem for each other file.

    Raises:
        RunError: if there is no run, a packed run is damaged, or the run has no manifest.
    """
    path = expand_home(path)
    if path.is_file():
        return check_files(unpack(path))
    if not path.is_dir():
        raise RunError(f"{path}: no such run; name the folder of a run, or a packed run")
    remove_abandoned_files(path)
    return check_files(path)
