"""The verb `probe`: the package's probes on an image network, or on a series of its checkpoints."""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.data import Images, load_images
from dimple.errors import DataError
from dimple.experiment.models import Single, load_trajectory
from dimple.experiment.pictures import write_page
from dimple.experiment.provenance import describe, silent, versions
from dimple.experiment.request import ProbeRequest
from dimple.probes import LocalPCA, measure
from dimple.probes.nulls import margin_ratio, verdict
from dimple.probes.ratios import median, ratio_row
from dimple.protocols import Progress
from dimple.runs import Checkpoints, Run
from dimple.runs.files import write_table
from dimple.tensors import chunks, generator, resolve_device

Arrays = dict[str, NDArray[Any]]
CHUNK = 100
# Of the figures that sum up many samples, where they are not medians of a column in the column's own unit.
SUMMARY_UNITS = {
    "samples": "images",
    "accuracy": "share",
    **dict.fromkeys(("margin_found", "offset_found", "margin_on_found", "margin_off_found"), "share"),
    **dict.fromkeys(("on_ratio", "off_ratio"), "ratio to the free margin"),
}


def probe(
    request: ProbeRequest,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Progress = silent,
) -> Run:
    """Measure a model's boundary at test images; write the table, the summary and a page.

    An interrupted measurement continues with its first unfinished chunk of samples when asked the same again.

    Args:
        out: the folder for measurements.parquet, run.json and report.html.

    Returns:
        The finished run; `run.info["summary"]["rows"]` holds medians beside their nulls, one entry a checkpoint.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: each with one sentence for the user.
    """
    place = resolve_device(device)
    images = load_images(request.data, "test")
    trajectory = load_trajectory(request, images, place, progress)
    weights = request.weights or request.checkpoints or "trained on the spot"
    info = {
        "name": request.model,
        "weights": weights,
        "seed": request.seed,
        "device": describe(place),
        "versions": versions(),
    }
    asked = dataclasses.asdict(request) | {"contents": fingerprints(request, images, trajectory)}
    run = Run.create(out, info, yaml.safe_dump(asked, sort_keys=False), force)
    started = time.perf_counter()
    try:
        measuring = Measuring(request, images, run, place)
        with progress("probe", len(trajectory) * len(measuring.parts)) as advance:
            tables = [measuring.table(step, network, advance) for step, network in trajectory]
        measuring.write(tables)
    except KeyboardInterrupt:
        run.info["status"] = "interrupted"
        run.save()
        raise
    run.info["seconds"]["probe"] = round(time.perf_counter() - started, 3)
    *_, (_, last) = trajectory
    write_page(run, images, last, measuring.probes, measuring.tangents, place)
    run.drop_parts()
    run.info["status"] = "complete"
    run.save()
    return run


@final
class Measuring:
    """One network after another at the same images, chunk by chunk."""

    def __init__(self, request: ProbeRequest, images: Images, run: Run, device: torch.device) -> None:
        self.request = request
        self.images = images
        self.run = run
        self.device = device
        self.probes = request.build_probes()
        self.indices = sample_indices(len(images), request.samples, request.seed)
        self.parts = list(chunks(len(self.indices), CHUNK))
        self.tangents = self._local_pca() if any(probe.needs_tangents for probe in self.probes) else None

    def _local_pca(self) -> LocalPCA:
        training = load_images(self.request.data, "train")
        if len(training) <= self.request.neighbours:
            raise DataError(
                f"{self.request.data}: {len(training)} training images cannot give --neighbours "
                f"{self.request.neighbours}; ask for fewer"
            )
        cloud, _ = training.batch(torch.arange(len(training)))
        return LocalPCA(cloud.to(self.device), self.request.dim, self.request.neighbours)

    def table(self, step: int, network: nn.Module, advance: Callable[[], None]) -> Arrays:
        """The columns, and the draws of the nulls, of one network."""
        pieces = []
        for number, part in enumerate(self.parts):
            name = f"{step:08d}-{number:05d}"
            piece = self.run.read_part(name)
            if piece is None:
                piece = self._piece(step, network, self.indices[part])
                self.run.write_part(name, piece)
                self.run.save()
            pieces.append(piece)
            advance()
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def boundary(self, network: nn.Module) -> Boundary:
        """The network's boundary within the images' range, on the device."""
        return Boundary(network.to(self.device), self.images.box)

    def _piece(self, step: int, network: nn.Module, indices: Tensor) -> Arrays:
        x, y = self.images.batch(indices)
        result = measure(
            self.boundary(network), x.to(self.device), y.to(self.device), self.probes, self.tangents, chunk=CHUNK
        )
        self.run.info["units"] = {"step": "number of the checkpoint", "index": "row of the test set"} | result.units
        arrays: Arrays = {"step": np.full(len(indices), step), "index": indices.numpy()}
        arrays |= {name: values.cpu().numpy() for name, values in result.columns.items()}
        draws = {name: values.cpu().numpy() for name, values in result.details.items() if name.endswith("_draws")}
        return arrays | draws

    def write(self, tables: list[Arrays]) -> None:
        """measurements.parquet and the summary."""
        names = [name for name in tables[0] if not name.endswith("_draws")]
        joined = {name: np.concatenate([table[name] for table in tables]) for name in names}
        write_table(self.run.path / "measurements.parquet", joined, self.run.info["units"])
        dims = self.images.batch(self.indices[:1])[0].numel(), self.request.dim
        units = self.run.info["units"] | SUMMARY_UNITS
        rows = [summary_row(table, *dims) for table in tables]
        shown = dict.fromkeys(name for row in rows for name in row)
        self.run.info["summary"] = {"rows": rows, "units": {name: units[name] for name in shown if name in units}}
        self.run.save()


def fingerprints(request: ProbeRequest, images: Images, trajectory: Single | Checkpoints) -> dict[str, str]:
    """The sha256 of the images and of each weights file: a measurement goes on only with the same contents."""
    paths = trajectory.paths if isinstance(trajectory, Checkpoints) else [Path(request.weights or "")]
    contents = {"images": hashlib.sha256(images.pixels.numpy().tobytes()).hexdigest()}
    return contents | {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}


def sample_indices(count: int, wanted: int, seed: int) -> Tensor:
    """Rows of a set of `count`, rising: `wanted` of them without repetition, or all."""
    return torch.randperm(count, generator=generator(seed, "test images"))[:wanted].sort().values


def summary_row(table: Arrays, n: int, d: int) -> dict[str, Any]:
    """Accuracy and median confidence of all samples; margins, ratios and shares of the correctly classified ones.

    Margins and ratios are medians, shares are means; each that has a null stands beside it.
    """
    correct = table["correct"]
    row: dict[str, Any] = {
        "step": int(table["step"][0]),
        "samples": len(correct),
        "accuracy": float(correct.mean()),
        "confidence": median(table["confidence"]),
    }
    if not correct.any():
        return row
    if "margin" in table:
        margins = table["margin"][correct]
        row["margin"] = median(margins)
        row["margin_found"] = float(np.isfinite(margins).mean())
    if "offset" in table:
        row["offset"] = median(table["offset"][correct])
        row["offset_null"] = median(table["offset_null"][correct])
        row["offset_found"] = float(np.isfinite(table["offset"][correct]).mean())
        row |= _shares(table, correct, "gradient_off_share")
    if "margin_any" in table:
        columns = {name: values[correct] for name, values in table.items()}
        row["margin_any"] = median(columns["margin_any"])
        for way, dims in (("on", d), ("off", n - d)):
            row |= ratio_row(way, columns, columns[f"{way}_draws"])
            row[f"{way}_ratio_closed"] = margin_ratio(n, dims)
            row[f"{way}_ratio_verdict"] = verdict(
                row[f"{way}_ratio"], row[f"{way}_ratio_null_low"], row[f"{way}_ratio_null_high"]
            )
        row |= _shares(table, correct, "on_share") | _shares(table, correct, "gradient_off_share")
    return row


def _shares(table: Arrays, rows: NDArray[Any], name: str) -> dict[str, float]:
    """The mean of a share where it is defined, and its null."""
    values = table[name][rows]
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else float("nan")
    return {name: mean, f"{name}_null": float(table[f"{name}_null"][0])}
