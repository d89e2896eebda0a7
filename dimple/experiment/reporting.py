"""The verb `report`: the page of a finished run written again, where one wants it."""

from pathlib import Path

import torch
import yaml

from dimple.errors import RunError
from dimple.experiment.pictures import write_page
from dimple.experiment.probing import Measuring
from dimple.experiment.provenance import silent
from dimple.experiment.request import ProbeRequest
from dimple.experiment.subjects import load_subject
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.views.report import write_report


def report(path: Path | str, out: Path | str | None = None, progress: Progress = silent) -> Path:
    """Write the page of a simulated scene or of a measurement, from what its folder holds.

    The pictures of a measurement on images need its network and its data, which are read where they were.

    Args:
        out: the HTML file; report.html in the run folder without it.

    Returns:
        The file.

    Raises:
        RunError: if the folder holds no finished run, or a measurement's network or data have changed since.
        ModelError, DataError: if they are gone.
    """
    run = Run.open(path)
    target = Path(out) if out is not None else run.path / "report.html"
    if run.info.get("status") != "complete":
        raise RunError(f"{run.path}: is not finished; the command that began it continues it, and writes its report")
    if (run.path / "metrics.parquet").is_file():
        return write_report(run, target)
    asked = yaml.safe_load(run.scene_text)
    contents = asked.pop("contents")
    request = ProbeRequest(**asked | {"probes": tuple(asked["probes"])})
    device = torch.device("cpu")
    subject = load_subject(request, device, progress)
    if subject.contents != contents:
        raise RunError(f"{run.path}: the network or the data that it measured have changed; measure again with --force")
    *_, (_, last) = subject.networks
    measuring = Measuring(request, subject, run, device)
    write_page(run, subject, measuring.boundary(last), measuring.questions, target)
    return target
