"""The verb `doctor`: what this installation and this machine have, and what to install for what is missing."""

import dataclasses
import importlib.util
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

import torch

from dimple.errors import describe_cause
from dimple.experiment.provenance import describe_device, versions
from dimple.locations import data_folders

# Libraries of extras and of others that dimple works with, by what they are for.
OPTIONAL = {
    "napari": ("the window of napari", "pip install 'dimple-lab[napari]'"),
    "PySide6": ("Qt, for the window of napari", "pip install 'dimple-lab[napari]'"),
    "ray": ("dimple probe --engine ray", "pip install 'dimple-lab[ray]'"),
    "foolbox": ("attacks as methods of the margin", "pip install foolbox"),
    "lightning": ("LightningCallback", "pip install lightning"),
    "transformers": ("TransformersCallback", "pip install transformers accelerate"),
    "tensorboard": ("statistics in TensorBoard", "pip install tensorboard"),
    "polars": ("tables as polars frames", "pip install polars"),
    "xarray": ("tables as xarray data sets", "pip install xarray"),
}
# The margin of the self-test is known to be this.
KNOWN_MARGIN = 2.0


@final
@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """The result of one check.

    Attributes:
        name: of the check.
        works: false where something is missing.
        detail: what was found.
        remedy: what to do where it is missing.
        is_needed: false for what only some commands or extras need.
    """

    name: str
    works: bool
    detail: str
    remedy: str = ""
    is_needed: bool = True


def examine() -> list[Diagnosis]:
    """Return what this installation and this machine have, with a self-test of some seconds.

    Example:
        >>> findings = examine()
        >>> [finding.name for finding in findings][:3], [f.works for f in findings if f.name == "self-test"]
        (['versions', 'system', 'device'], [True])
    """
    return [
        Diagnosis("versions", True, ", ".join(f"{name} {number}" for name, number in versions().items())),
        Diagnosis("system", True, f"{platform.platform()}, {os.cpu_count()} cores"),
        _device(),
        _threads(),
        *(_try(name, check) for name, check in CHECKS.items()),
        *map(_optional, OPTIONAL),
        _try("self-test", _self_test),
    ]


def _device() -> Diagnosis:
    if torch.cuda.is_available():
        return Diagnosis("device", True, f"{describe_device(torch.device('cuda'))}; --device cuda")
    if torch.backends.mps.is_available():
        return Diagnosis("device", True, "mps, Apple silicon, not tested; --device mps")
    return Diagnosis("device", True, "cpu only")


def _threads() -> Diagnosis:
    count = torch.get_num_threads()
    chosen = ", ".join(
        f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY") if name in os.environ
    )
    return Diagnosis("threads", True, f"{count} of torch{f' ({chosen})' if chosen else ''}")


def _try(name: str, check: Callable[[str], Diagnosis]) -> Diagnosis:
    """Return the finding of a check, or its error as a finding."""
    try:
        return check(name)
    except Exception as error:
        return Diagnosis(name, False, describe_cause(error), "reinstall dimple with the versions of constraints.txt")


def _opengl(name: str) -> Diagnosis:
    from dimple.views.vtk.opengl import SYSTEM_PACKAGES, find_window_class, has_display

    found = find_window_class()
    where = "windows and files" if found and has_display() else "files only, no display"
    return Diagnosis(name, bool(found), f"{found or 'no library draws'} ({where})", SYSTEM_PACKAGES)


def _ffmpeg(name: str) -> Diagnosis:
    import imageio_ffmpeg

    try:
        return Diagnosis(name, True, f"{imageio_ffmpeg.get_ffmpeg_version()}, {imageio_ffmpeg.get_ffmpeg_exe()}")
    except RuntimeError:
        return Diagnosis(name, False, "no program for films", "pip install --force-reinstall imageio-ffmpeg")


def _data_folders(name: str) -> Diagnosis:
    found = [f"{folder}{'' if folder.is_dir() else ' (not there)'}" for folder in data_folders()]
    return Diagnosis(name, True, ", ".join(found), is_needed=False)


def _compiled_code(name: str) -> Diagnosis:
    import numba

    from dimple.jit import jit_compile

    kernel = jit_compile(_add_one)
    works = kernel(1) == 2
    cached = getattr(getattr(kernel, "stats", None), "cache_path", None)
    detail = f"numba {numba.__version__}, cached in {cached}" if cached else f"numba {numba.__version__}, not cached"
    return Diagnosis(name, works, detail, "set NUMBA_CACHE_DIR to a folder that can be written")


def _add_one(x: int) -> int:
    return x + 1


def _documentation(name: str) -> Diagnosis:
    import dimple

    index = Path(dimple.__file__).parent / "site" / "index.html"
    detail = str(index) if index.is_file() else f"missing: {index}"
    return Diagnosis(name, index.is_file(), detail, "python3 dev.py docs, in the checkout", is_needed=False)


def _optional(module: str) -> Diagnosis:
    purpose, remedy = OPTIONAL[module]
    if importlib.util.find_spec(module) is None:
        return Diagnosis(module, False, f"missing: {purpose}", remedy, is_needed=False)
    distribution = {"PySide6": "PySide6-Essentials"}.get(module, module)
    return Diagnosis(module, True, f"{version(distribution)}: {purpose}", is_needed=False)


def _self_test(name: str) -> Diagnosis:
    """Measure margins that are known, and write and read them."""
    from dimple.experiment.probing.in_memory import measure
    from dimple.experiment.probing.measurement import Measurement
    from dimple.progress import silent_progress

    started = time.perf_counter()
    network = torch.nn.Linear(2, 2, bias=False).eval()
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    with tempfile.TemporaryDirectory() as folder:
        x = torch.tensor([[KNOWN_MARGIN, 1.0], [-KNOWN_MARGIN, 3.0]])
        file = measure(network, x, [0, 1], bounds=None, progress=silent_progress).save(f"{folder}/margins.safetensors")
        found: list[Any] = list(Measurement.load(file)["margin"])
    works = all(abs(margin - KNOWN_MARGIN) < 1e-3 for margin in found)
    seconds = time.perf_counter() - started
    detail = f"margins {', '.join(f'{margin:.4f}' for margin in found)} of {KNOWN_MARGIN:g}, written and read"
    return Diagnosis(
        name, works, f"{detail}, {seconds:.1f} s", f"report this, with {sys.executable} -m dimple doctor --json"
    )


CHECKS: dict[str, Callable[[str], Diagnosis]] = {
    "OpenGL": _opengl,
    "ffmpeg": _ffmpeg,
    "compiled code": _compiled_code,
    "data folders": _data_folders,
    "documentation": _documentation,
}
