"""The verbs `report` and `compare`: the page of a finished run written again, and several runs on one page."""

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from dimple.errors import RunError, UsageError
from dimple.experiment.probing.config import ProbeRequest
from dimple.experiment.probing.probe import Measuring
from dimple.experiment.probing.report_images import write_page
from dimple.experiment.probing.sources import load_subject
from dimple.experiment.provenance import silent
from dimple.experiment.slices.config import SectionRequest
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.views.content.from_slice import is_section
from dimple.views.content.run_header import simulate_again
from dimple.views.report.comparison import MOST, write_comparison
from dimple.views.report.run_summary import account_of, is_simulated
from dimple.views.report.simulation import write_report
from dimple.views.report.slice_report import write_section_report


def report(path: Path | str, out: Path | str | None = None, progress: Progress = silent) -> Path:
    """Write the page of a simulated scene or of a measurement, from what its folder holds.

    The pictures of a measurement on images need its network and its data, which are read where they were.

    Args:
        out: the HTML file; report.html in the run folder, or beside a packed run, without it.

    Returns:
        The file.

    Raises:
        RunError: if the folder holds no finished run, or a measurement's network or data have changed since.
        ModelError, DataError: if they are gone.
    """
    run = _finished(path)
    target = Path(out) if out is not None else run.beside("report.html")
    if is_simulated(run):
        return write_report(run, target)
    if is_section(run):
        return write_section_report(run, _again(run), target)
    request, contents = _asked(run)
    device = torch.device("cpu")
    subject = load_subject(request, device, progress)
    if subject.contents != contents:
        raise RunError(f"{run.path}: the network or the data that it measured have changed; measure again with --force")
    *_, (_, last) = subject.networks
    measuring = Measuring(request, subject, run, device)
    write_page(run, subject, measuring.boundary(last), measuring.questions, target)
    return target


def compare(paths: Sequence[Path | str], out: Path | str) -> Path:
    """Write one page about several runs, simulated or measured: what differs, and all figures side by side.

    Args:
        paths: the run folders, in the order of their columns.
        out: the HTML file.

    Returns:
        The file.

    Raises:
        UsageError: for fewer than two runs, or more than can be told apart.
        RunError: if a folder holds no finished run, or the page cannot be written.
    """
    if not 2 <= len(paths) <= MOST:
        raise UsageError(f"{len(paths)} runs cannot be told apart on one page; name 2 to {MOST}")
    runs = [_finished(path) for path in paths]
    if sections := [run for run in runs if is_section(run)]:
        raise UsageError(
            f"{sections[0].path}: is a section, which has a page of its own; dimple report writes it alone"
        )
    return write_comparison([(account_of(run), _again(run)) for run in runs], out)


def _finished(path: Path | str) -> Run:
    run = Run.open(path)
    if run.info.get("status") != "complete":
        raise RunError(f"{run.path}: is not finished; the command that began it continues it, and writes its report")
    return run


def _again(run: Run) -> str:
    """The command that makes a run again."""
    if is_simulated(run):
        return simulate_again(run)
    if is_section(run):
        asked = yaml.safe_load(run.scene_text)
        del asked["contents"]
        return SectionRequest(**asked).command
    return _asked(run)[0].command


def _asked(run: Run) -> tuple[ProbeRequest, dict[str, str]]:
    """What a measurement was asked, and the digests of what it depended on."""
    asked = yaml.safe_load(run.scene_text)
    contents = asked.pop("contents")
    return ProbeRequest(**asked | {"probes": tuple(asked["probes"])}), contents
