"""The verb `section`: a network's class regions and boundaries in a flat piece of its input space, and random ones."""

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

from dimple.boundary import Boundary, Section, restricted
from dimple.boundary.valid_region import valid_corners, valid_share
from dimple.experiment.probing.sources import Subject, load_subject
from dimple.experiment.provenance import describe, silent, versions
from dimple.experiment.slices.axes import lay
from dimple.experiment.slices.config import SectionRequest
from dimple.experiment.slices.tables import Looked, metric_units, metrics_of, point_units, points_of, summary_of
from dimple.levelsets.multiclass import class_regions
from dimple.levelsets.sampled_grid import Sampled, levels_of, sample_scores
from dimple.probes import measure
from dimple.probes.subspaces import Subspace, SubspaceMargin
from dimple.protocols import Progress
from dimple.runs import Run
from dimple.runs.run import pair_arrays
from dimple.tensors import resolve_device
from dimple.views.content.from_run import frames_of_run
from dimple.views.content.metadata import imprint_of
from dimple.views.film.film import write_film, write_pictures, write_stills
from dimple.views.film.settings import Film
from dimple.views.report.slice_report import write_section_report
from dimple.views.web.page import write_web_page

Arrays = dict[str, NDArray[Any]]
# Random sections are drawn on a lattice so many times coarser, and the chosen one is compared with them on theirs.
COARSER = {2: 4, 3: 2}
# The regions of a plane are drawn with so many squares a cell, so that their rims are as smooth as the boundary, and
# like the sides of a box in space with so many a side at least.
FINER, SQUARES = 2, 256
# What a view draws of a section at each step, and what of it are classes.
RASTERS = ("regions", "sides")
DRAWN = ("vertices", "faces", "pairs", *RASTERS)
# Samples this near to the section, in shares of the box, are drawn in it.
NEAR = 1e-3
FILM = Film(fps=4)


def section(
    request: SectionRequest,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    progress: Progress = silent,
) -> Run:
    """Show where the classes of a network meet in a section of its input space, and in random ones beside it.

    An interrupted run continues with its first unfinished section when asked the same again.

    Args:
        out: the folder of the run, which `view`, `film` and `report` take.

    Returns:
        The finished run; `run.info["summary"]` holds the last figures beside their nulls.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: each with one sentence for the user.
    """
    place = resolve_device(device)
    subject = load_subject(request.of_network, place, progress)
    samples = subject.samples[request.split]
    x, y = samples.batch(torch.tensor(request.images))
    of = "images" if subject.images is not None else "points"
    name = f"{subject.facts[0][1]}: {of} {', '.join(map(str, request.images))}"
    info = {
        "kind": "section",
        "name": name,
        "facts": subject.facts,
        "seed": request.seed,
        "device": describe(place),
        "versions": versions(),
    }
    sectioning = Sectioning(request, subject, place, x, y)
    asked = dataclasses.asdict(request) | {"images": list(request.images), "contents": subject.contents}
    run = Run.create(out, info, yaml.safe_dump(asked, sort_keys=False), force)
    stages: dict[str, Callable[[], None]] = {
        "section": lambda: sectioning.measure(run, progress),
        "pictures": lambda: draw(run, progress),
        "report": lambda: _write(run, request),
    }
    try:
        for name, stage in stages.items():
            if name not in run.info["seconds"]:
                started = time.perf_counter()
                stage()
                run.info["seconds"][name] = round(time.perf_counter() - started, 3)
                run.save()
    except KeyboardInterrupt:
        run.info["status"] = "interrupted"
        run.save()
        raise
    run.drop_parts()
    run.info["status"] = "complete"
    run.save()
    return run


def draw(run: Run, progress: Progress) -> None:
    """The pictures of a section, and the film where it has several steps."""
    frames, imprint = frames_of_run(run), imprint_of(run)
    with progress("film", len(frames)) as advance:
        if len(frames) > 1:
            write_film(frames, run.path / "film.mp4", FILM, advance, imprint)
        else:
            stills = write_pictures(frames, [run.path / "film.png"], FILM, advance=advance, imprint=imprint)
            write_stills(stills, run.path / "stills", imprint)


def _write(run: Run, request: SectionRequest) -> None:
    write_web_page(run, frames_of_run(run), run.path / "page.html")
    write_section_report(run, request.command, run.path / "report.html")


@final
class Sectioning:
    """One network after another in the same section and the same random ones, piece by piece."""

    def __init__(self, request: SectionRequest, subject: Subject, device: torch.device, x: Tensor, y: Tensor) -> None:
        self.request, self.subject, self.device = request, subject, device
        dtype = torch.float64 if subject.images is None and device.type != "mps" else torch.float32
        self.x, self.y = x.to(device, dtype), y.to(device)
        *_, (_, last) = subject.networks
        self.laid = lay(request, subject, self._boundary(last), self.x)
        coarse, levels = levels_of(request.fineness, request.dim)
        self.cells = coarse << levels
        # Halvings leave the corners of a lattice on those of a coarser one.
        self.coarser = min(COARSER[request.dim], 1 << levels)
        self.levels, self.control_levels = levels, levels_of(self.cells // self.coarser, request.dim)[1]

    def measure(self, run: Run, progress: Progress) -> None:
        """All pieces, and then the tables and the geometry that the views read."""
        steps: list[Looked] = []
        geometry = self._still()
        ticks = self.levels + 2 + self.request.draws * (self.control_levels + 1)
        with progress("section", ticks * len(self.subject.networks)) as advance:
            for step, network in self.subject.networks:
                looked = self._look(run, step, self._boundary(network), advance)
                steps.append(looked)
                geometry |= {f"{name}/{step}": looked.chosen[name] for name in DRAWN if name in looked.chosen}
                control = looked.controls[0]
                geometry |= {f"control/{name}/{step}": control[name] for name in DRAWN if name in control}
        run.write_geometry(geometry)
        valid = [valid_share(corners, self.laid.low, self.laid.high) for corners in self._valid]
        run.write_metrics(metrics_of(steps, valid), metric_units(self.request.dim))
        run.write_points(points_of(steps, self.request), point_units(self.subject.step_unit))
        run.info["summary"] = summary_of(steps, valid, self.subject.classes)
        run.info["section"] = {
            "words": self.laid.words,
            "dim": self.request.dim,
            "images": list(self.request.images),
            "classes": list(self.subject.classes),
            "cells": self.cells,
            "control_cells": self.cells // self.coarser,
            "levelset": self.request.levelset,
            "draws": self.request.draws,
            "step_unit": self.subject.step_unit,
        }

    def _look(self, run: Run, step: int, boundary: Boundary, advance: Callable[[], None]) -> "Looked":
        """All that is asked of one network."""

        def piece(name: str, ticks: int, make: Callable[[], Arrays]) -> Arrays:
            found = run.read_part(f"{step:08d}-{name}")
            if found is None:
                found = make()
                run.write_part(f"{step:08d}-{name}", found)
            else:
                for _ in range(ticks):
                    advance()
            return found

        chosen = piece("chosen", self.levels + 1, lambda: self._chosen(boundary, advance))
        controls = [
            piece(f"control-{draw:03d}", self.control_levels + 1, partial(self._control, boundary, draw, advance))
            for draw in range(self.request.draws)
        ]
        samples = piece("samples", 0, lambda: self._samples(boundary))
        advance()
        return Looked(step, chosen, controls, samples)

    def _chosen(self, boundary: Boundary, advance: Callable[[], None]) -> Arrays:
        """The section that was asked for: drawn in full, and in figures as coarse as those of the random ones."""
        known = self._sampled(boundary, self.laid.section, self.cells, advance)
        return self._drawn(known) | self._figures(known.coarser(self.coarser))

    def _control(self, boundary: Boundary, draw: int, advance: Callable[[], None]) -> Arrays:
        """A random one: in figures, and the first of them also drawn."""
        known = self._sampled(boundary, self.laid.controls[draw], self.cells // self.coarser, advance)
        return self._figures(known) | (self._drawn(known) if draw == 0 else {})

    def _sampled(self, boundary: Boundary, section: Section, cells: int, advance: Callable[[], None]) -> Sampled:
        within, dense = restricted(boundary, section), self.request.levelset == "dense"
        return sample_scores(within, self.laid.low, self.laid.high, cells, self.device, dense=dense, advance=advance)

    def _drawn(self, known: Sampled) -> Arrays:
        """One mesh of all pairs that meet, the classes on both sides of each face, and the regions of a plane."""
        arrays = pair_arrays(known.surfaces(), len(known.low))
        if len(known.low) == 2:
            squares = max(FINER * known.cells, SQUARES)
            arrays["regions"] = class_regions(Boundary(known), known.low, known.high, squares)
        else:
            arrays |= {"regions": known.winners(), "sides": known.sides(SQUARES)}
        small = np.uint8 if len(self.subject.classes) <= 256 else np.int16
        return {name: values.astype(small) if name in RASTERS else values for name, values in arrays.items()}

    def _figures(self, known: Sampled) -> Arrays:
        """The share of the box that each class has, and the size of the boundary of each pair that meets."""
        count = np.bincount(known.winners().ravel(), minlength=known.scores.shape[-1])
        surfaces = known.surfaces()
        return {
            "class_share": count / count.sum(),
            "met": np.array([surface.pair for surface in surfaces], dtype=np.int64).reshape(-1, 2),
            "met_size": np.array([surface.mesh.area for surface in surfaces], dtype=np.float64),
        }

    def _samples(self, boundary: Boundary) -> Arrays:
        """The images themselves: what they are put into, and how far the boundary is, in the section and anywhere."""
        probe = SubspaceMargin(
            {"section": Subspace(self.laid.section.axes)}, draws=self.request.draws, seed=self.request.seed
        )
        result = measure(boundary, self.x, self.y, [probe])
        columns = {name: values.cpu().numpy() for name, values in result.columns.items()}
        # A place of the boundary in the section is one of the whole boundary.
        anywhere, here = np.abs(columns["margin_any"]), np.abs(columns["margin_section"])
        columns["margin_any"] = np.sign(columns["margin_any"]) * np.minimum(anywhere, here)
        return columns

    def _boundary(self, network: nn.Module) -> Boundary:
        return Boundary(network.to(self.device, self.x.dtype), self.subject.box)

    @functools.cached_property
    def _valid(self) -> list[NDArray[np.float64]]:
        """The corners of the part of each section, the random ones after the chosen, that are inputs at all."""
        laid, box = self.laid, self.subject.box
        if box is None:
            return []
        return [valid_corners(each, box, laid.low, laid.high) for each in (laid.section, *laid.controls)]

    def _still(self) -> Arrays:
        """What is drawn and does not change from step to step."""
        laid = self.laid
        near = laid.section.distance(self.x) <= NEAR * (laid.high[0] - laid.low[0])
        arrays = {
            "train": laid.section.coordinates(self.x).double().cpu().numpy(),
            "labels": self.y.cpu().numpy(),
            "inside": near.cpu().numpy(),
            "low": np.array(laid.low),
            "high": np.array(laid.high),
            "origin": laid.section.origin.cpu().numpy(),
            "axes": laid.section.axes.cpu().numpy(),
        }
        if self._valid:
            arrays |= {"valid": self._valid[0], "control/valid": self._valid[1]}
        if self.subject.images is not None:
            arrays["images"] = self.x.float().cpu().numpy()
        return arrays
