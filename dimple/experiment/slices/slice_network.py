"""The verb `slice`: class regions and boundaries of a network in an affine slice of its input space."""

import dataclasses
import functools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from dimple.boundary import AffineSlice, Boundary, restrict_to_slice
from dimple.boundary.root_finding import refine_to_boundary
from dimple.boundary.valid_region import valid_fraction, valid_region_vertices
from dimple.errors import convert_file_errors
from dimple.experiment.probing.check_inputs import check_inputs
from dimple.experiment.probing.sources import Sources, load_sources
from dimple.experiment.provenance import describe_device, versions
from dimple.experiment.run import Run
from dimple.experiment.slices.axes import choose_slice_domain
from dimple.experiment.slices.config import SliceConfig
from dimple.experiment.slices.tables import (
    SliceMeasurement,
    build_metrics,
    build_slice_point_table,
    build_summary,
    metric_units,
    point_units,
)
from dimple.levelsets.closest_points import closest_points_on_mesh
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.multiclass import NO_CLASS, class_regions
from dimple.levelsets.sampled_grid import SampledGrid, refinement_levels, sample_scores
from dimple.probes import run_probes
from dimple.probes.subspaces import Subspace, SubspaceMargin
from dimple.progress import show_progress
from dimple.protocols import Progress
from dimple.runs.mesh_arrays import surfaces_to_arrays
from dimple.tensors import norm, resolve_device, run_eagerly
from dimple.views.content.from_run import frames_from_run
from dimple.views.content.metadata import run_metadata
from dimple.views.film.film import write_film, write_frames, write_stills
from dimple.views.film.settings import Film
from dimple.views.report.slice_report import write_slice_report
from dimple.views.web.page import write_web_page

Arrays = dict[str, NDArray[Any]]
# The factor by which the grid of the random slices is coarser, by the dimension of the slice. The statistics of the
# slice are computed on the same coarser grid, so that they compare.
CONTROL_COARSENING = {2: 4, 3: 2}
# The regions of a plane are drawn with this many squares for each cell, so that their edges are as smooth as the
# boundary.
REGION_REFINEMENT = 2
# Smallest number of squares along each side of a plane, or of a face of the box in space.
MIN_REGION_SQUARES = 256
# The arrays that hold classes, and all arrays that views draw of a slice at each step.
CLASS_ARRAYS = ("regions", "sides")
DISPLAY_ARRAYS = ("vertices", "faces", "pairs", *CLASS_ARRAYS)
# Samples within this distance of the slice, as a fraction of the side of the box, are drawn in it.
IN_SLICE_TOLERANCE = 1e-3
FILM_SETTINGS = Film(fps=4)
# The effort of the searches in the slice and in random subspaces; a boundary in a plane has several local minima.
SEARCH_PASSES = 60.0
SEARCH_RESTARTS = 4


@convert_file_errors
def slice_network(
    config: SliceConfig,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Progress = show_progress,
) -> Run:
    """Compute the class regions and boundaries of a network in a slice of its input space, and in random slices.

    An interrupted run continues with its first unfinished slice when it is started with the same settings and the same
    folder.

    Args:
        out: the folder of the run, which `view`, `export_run` and `report` take.
        device: `auto`, `cpu`, `cuda` or `mps`.
        force: replace a run that is already in the folder.

    Returns:
        The finished run; `run.info["summary"]` holds the statistics of the last step and their nulls.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: with one sentence for the user.
    """
    check_inputs(config.probe_config, out, device, force)
    torch_device = resolve_device(device)
    sources = load_sources(config.probe_config, torch_device, progress)
    # A network that is compiled somewhere is known as such only now that its code is imported.
    with run_eagerly():
        return slice_sources(config, sources, out, torch_device, force, progress)


def slice_sources(
    config: SliceConfig,
    sources: Sources,
    out: Path | str,
    device: torch.device,
    force: bool,
    progress: Progress,
    command: str = "",
) -> Run:
    """Compute the slice of networks and samples that are at hand; `command` makes it again, by default `config`'s."""
    samples = sources.samples[config.split]
    x, y = samples.batch(torch.tensor(config.images))
    noun = "images" if sources.image_dataset is not None else "points"
    info = {
        "kind": "slice",
        "name": f"{sources.facts[0][1]}: {noun} {', '.join(map(str, config.images))}",
        "facts": sources.facts,
        "seed": config.seed,
        "device": describe_device(device),
        "versions": versions(),
    }
    runner = SliceRunner(config, sources, device, x, y)
    settings = dataclasses.asdict(config) | {"images": list(config.images), "checksums": sources.checksums}
    run = Run.create(out, info, yaml.safe_dump(settings, sort_keys=False), force, "config.yaml")
    stages: dict[str, Callable[[], None]] = {
        "slice": lambda: runner.measure(run, progress),
        "images": lambda: draw_slice(run, progress),
        "report": lambda: _write_pages(run, command or config.command),
    }
    with run.finishing():
        for name, stage in stages.items():
            if name not in run.info["seconds"]:
                started = time.perf_counter()
                stage()
                run.info["seconds"][name] = round(time.perf_counter() - started, 3)
                run.save()
    return run


def draw_slice(run: Run, progress: Progress) -> None:
    """Draw the slice: as a film where it has several steps, else as an image and stills."""
    frames = frames_from_run(run)
    metadata = run_metadata(run)
    with progress("film", len(frames)) as advance:
        if len(frames) > 1:
            write_film(frames, run.path / "film.mp4", FILM_SETTINGS, advance, metadata)
        else:
            stills = write_frames(frames, [run.path / "film.png"], FILM_SETTINGS, advance=advance, metadata=metadata)
            write_stills(stills, run.path / "stills", metadata)


def _write_pages(run: Run, command: str) -> None:
    write_web_page(run, frames_from_run(run), run.path / "page.html")
    write_slice_report(run, command, run.path / "report.html")


@final
class SliceRunner:
    """Measurement of one network after another in the same slice and the same random slices."""

    def __init__(self, config: SliceConfig, sources: Sources, device: torch.device, x: Tensor, y: Tensor) -> None:
        self.config = config
        self.sources = sources
        self.device = device
        self.x = x.to(device, sources.dtype(device))
        self.y = y.to(device)
        *_, (_, last_network) = sources.networks
        self.domain = choose_slice_domain(config, sources, self._make_boundary(last_network), self.x)
        initial_resolution, self.levels = refinement_levels(config.grid_resolution, config.dim)
        self.resolution = initial_resolution << self.levels
        # A grid that is refined by halving keeps the corners of the coarser one.
        self.coarsening = min(CONTROL_COARSENING[config.dim], 1 << self.levels)
        self.control_levels = refinement_levels(self.resolution // self.coarsening, config.dim)[1]

    def measure(self, run: Run, progress: Progress) -> None:
        """Measure all networks in all slices, and write the tables and the geometry that the views read."""
        measurements: list[SliceMeasurement] = []
        geometry = self._static_arrays()
        ticks = self.levels + 2 + self.config.null_draws * (self.control_levels + 1)
        with progress("slice", ticks * len(self.sources.networks)) as advance:
            for step, network in self.sources.networks:
                measurement = self._measure_network(run, step, self._make_boundary(network), advance)
                measurements.append(measurement)
                for prefix, arrays in (("", measurement.slice_arrays), ("control/", measurement.control_arrays[0])):
                    geometry |= {f"{prefix}{name}/{step}": arrays[name] for name in DISPLAY_ARRAYS if name in arrays}
        run.write_geometry(geometry)
        valid = [valid_fraction(vertices, self.domain.low, self.domain.high) for vertices in self._valid_vertices]
        run.write_table("metrics", build_metrics(measurements, valid), metric_units(self.config.dim))
        run.write_table(
            "points", build_slice_point_table(measurements, self.config), point_units(self.sources.step_unit)
        )
        run.info["summary"] = build_summary(measurements, valid, self.sources.classes)
        run.info["slice"] = {
            "description": self.domain.description,
            "dim": self.config.dim,
            "images": list(self.config.images),
            "classes": list(self.sources.classes),
            "resolution": self.resolution,
            "control_resolution": self.resolution // self.coarsening,
            "levelset": self.config.levelset,
            "null_draws": self.config.null_draws,
            "step_unit": self.sources.step_unit,
        }

    def _measure_network(
        self, run: Run, step: int, boundary: Boundary, advance: Callable[[], None]
    ) -> "SliceMeasurement":
        """Measure one network in the slice, in the random slices and at the images."""

        def cached(name: str, ticks: int, compute: Callable[[], Arrays]) -> Arrays:
            arrays = run.read_cache(f"{step:08d}-{name}")
            if arrays is None:
                arrays = compute()
                run.write_cache(f"{step:08d}-{name}", arrays)
            else:
                for _ in range(ticks):
                    advance()
            return arrays

        slice_arrays = cached("slice", self.levels + 1, lambda: self._measure_slice(boundary, advance))
        control_arrays = [
            cached(
                f"control-{draw:03d}", self.control_levels + 1, partial(self._measure_control, boundary, draw, advance)
            )
            for draw in range(self.config.null_draws)
        ]
        samples = cached("samples", 0, lambda: self._measure_samples(boundary, slice_arrays))
        advance()
        return SliceMeasurement(step, slice_arrays, control_arrays, samples)

    def _measure_slice(self, boundary: Boundary, advance: Callable[[], None]) -> Arrays:
        """Return the arrays to draw of the slice, and its statistics on the coarser grid of the random slices."""
        grid = self._sample_scores(boundary, self.domain.affine_slice, self.resolution, advance)
        return self._display_arrays(grid) | self._region_statistics(grid.subsample(self.coarsening))

    def _measure_control(self, boundary: Boundary, draw: int, advance: Callable[[], None]) -> Arrays:
        """Return the statistics of a random slice; of the first one also the arrays to draw."""
        grid = self._sample_scores(boundary, self.domain.controls[draw], self.resolution // self.coarsening, advance)
        return self._region_statistics(grid) | (self._display_arrays(grid) if draw == 0 else {})

    def _sample_scores(
        self, boundary: Boundary, affine_slice: AffineSlice, resolution: int, advance: Callable[[], None]
    ) -> SampledGrid:
        sliced = restrict_to_slice(boundary, affine_slice)
        dense = self.config.levelset == "dense"
        return sample_scores(
            sliced, self.domain.low, self.domain.high, resolution, self.device, dense=dense, advance=advance
        )

    def _display_arrays(self, grid: SampledGrid) -> Arrays:
        """Return one mesh of the boundaries of all pairs of classes, the pair of each face, and the class regions."""
        arrays = surfaces_to_arrays(grid.pairwise_boundaries(), len(grid.low))
        if len(grid.low) == 2:
            squares = max(REGION_REFINEMENT * grid.resolution, MIN_REGION_SQUARES)
            arrays["regions"] = class_regions(Boundary(grid), grid.low, grid.high, squares)
        else:
            arrays |= {"regions": grid.corner_classes(), "sides": grid.box_face_classes(MIN_REGION_SQUARES)}
        # Of 256 numbers one is left for the points without a class, which have a negative number.
        class_dtype = np.int8 if len(self.sources.classes) <= 128 else np.int16
        return {name: values.astype(class_dtype) if name in CLASS_ARRAYS else values for name, values in arrays.items()}

    def _region_statistics(self, grid: SampledGrid) -> Arrays:
        """Return the fraction of the box of each class, and the size of the boundary of each pair of classes."""
        classes = grid.corner_classes()
        count = np.bincount(classes[classes != NO_CLASS], minlength=grid.scores.shape[-1])
        boundaries = grid.pairwise_boundaries()
        return {
            "class_fraction": count / classes.size,
            "class_pairs": np.array([boundary.pair for boundary in boundaries], dtype=np.int64).reshape(-1, 2),
            "class_pair_sizes": np.array([boundary.mesh.area for boundary in boundaries], dtype=np.float64),
        }

    def _measure_samples(self, boundary: Boundary, slice_arrays: Arrays) -> Arrays:
        """Return the predictions at the images, and their distances from the boundary in the slice and anywhere.

        The distance in the slice is that of the nearest point that a search found or the drawn boundary shows.

        Args:
            slice_arrays: the arrays to draw of the slice.
        """
        probe = SubspaceMargin(
            {"in_slice": Subspace(self.domain.affine_slice.axes)},
            null_draws=self.config.null_draws,
            max_passes=SEARCH_PASSES,
            restarts=SEARCH_RESTARTS,
            seed=self.config.seed,
        )
        result = run_probes(boundary, self.x, self.y, [probe])
        columns = {name: values.cpu().numpy() for name, values in result.columns.items()}
        sign = np.sign(columns["margin_in_slice"])
        in_slice = np.minimum(np.abs(columns["margin_in_slice"]), self._mesh_distances(boundary, slice_arrays))
        # A boundary point in the slice is a point of the full boundary too.
        unbounded = np.minimum(np.abs(columns["margin_unbounded"]), in_slice)
        return columns | {"margin_in_slice": sign * in_slice, "margin_unbounded": sign * unbounded}

    def _mesh_distances(self, boundary: Boundary, slice_arrays: Arrays) -> NDArray[np.float64]:
        """Return the distance of each image from the drawn boundary of its class, measured on the network; else inf.

        The drawn boundary is interpolated, so the crossing is found on the ray from the image that goes to it and half
        a cell beyond.
        """
        distances = np.full(len(self.x), np.inf)
        affine_slice = self.domain.affine_slice
        free = Boundary(boundary.model)
        predicted = free.predict(self.x)
        positions = affine_slice.coordinates(self.x).double().cpu().numpy()
        inside = affine_slice.distance(self.x).cpu().numpy() <= self._inside_tolerance
        half_cell = (self.domain.high[0] - self.domain.low[0]) / self.resolution / 2
        for row in np.flatnonzero(inside):
            faces = slice_arrays["faces"][(slice_arrays["pairs"] == int(predicted[row])).any(1)]
            if len(faces) == 0:
                continue
            mesh = Mesh(slice_arrays["vertices"].astype(np.float64), faces.astype(np.int64))
            step = closest_points_on_mesh(mesh, positions[row : row + 1]) - positions[row]
            step *= 1 + half_cell / max(float(np.linalg.norm(step)), half_cell)
            x = self.x[row : row + 1]
            ray = torch.from_numpy(step).to(affine_slice.axes) @ affine_slice.axes.T
            label = predicted[row : row + 1]
            end, _, logit_margin = refine_to_boundary(free, x, x + ray.reshape(x.shape).to(x), label)
            if bool(logit_margin <= 0):
                distances[row] = float(norm(end - x))
        return distances

    def _make_boundary(self, network: nn.Module) -> Boundary:
        return self.sources.make_boundary(network, self.device, ["a slice"])

    @property
    def _inside_tolerance(self) -> float:
        """The distance within which samples are in the slice."""
        return IN_SLICE_TOLERANCE * (self.domain.high[0] - self.domain.low[0])

    @functools.cached_property
    def _valid_vertices(self) -> list[NDArray[np.float64]]:
        """The vertices of the part with valid inputs, of the slice and then of each random slice."""
        domain = self.domain
        bounds = self.sources.bounds
        if bounds is None:
            return []
        return [
            valid_region_vertices(affine_slice, bounds, domain.low, domain.high)
            for affine_slice in (domain.affine_slice, *domain.controls)
        ]

    def _static_arrays(self) -> Arrays:
        """Return the arrays to draw that are the same at every step."""
        domain = self.domain
        affine_slice = domain.affine_slice
        inside = affine_slice.distance(self.x) <= self._inside_tolerance
        arrays = {
            "train": affine_slice.coordinates(self.x).double().cpu().numpy(),
            "labels": self.y.cpu().numpy(),
            "inside": inside.cpu().numpy(),
            "low": np.array(domain.low),
            "high": np.array(domain.high),
            "origin": affine_slice.origin.cpu().numpy(),
            "axes": affine_slice.axes.cpu().numpy(),
        }
        if self._valid_vertices:
            arrays |= {"valid": self._valid_vertices[0], "control/valid": self._valid_vertices[1]}
        if self.sources.image_dataset is not None:
            arrays["images"] = self.x.float().cpu().numpy()
        return arrays
