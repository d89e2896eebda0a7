"""A run folder: what was asked, the snapshots, what was measured, and how far it got."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor

from dimple.levelsets.mesh import Mesh
from dimple.levelsets.multiclass import Surface
from dimple.boundary.affine_slice import Section
from dimple.errors import RunError
from dimple.runs.atomic_io import read_table, write_bytes, write_json, write_table
from dimple.runs.archive import pack_folder, unpacked

FORMAT = 1
# The names of all that a run writes into its folder, or did in an earlier version.
OURS = re.compile(
    r"(scene\.yaml|run\.json|snapshots|parts|stills|(metrics|points|measurements|quantiles|spectra|speed|transfer)\.parquet"
    r"|(geometry|pictures)\.safetensors"
    r"|film\.(mp4|gif|png)|(page|report)\.html|boundary\.pvd|boundary_steps|boundary_\d+\.vtp|\.dimple-tmp-.*)"
)
Arrays = dict[str, NDArray[Any]]


@final
class Run:
    """One experiment on disk. Every file is written whole or not at all, and nothing in it is a pickle.

    A run is written stage by stage: a stage whose name stands in `info["seconds"]` is finished and is not done again
    when the same scene is simulated into the same folder.
    """

    def __init__(self, path: Path, info: dict[str, Any], packed: Path | None = None) -> None:
        self.path = path
        self.info = info
        self.packed = packed

    @classmethod
    def open(cls, path: Path | str) -> "Run":
        """An existing run: a folder, or the file that `dimple pack` made of one.

        Raises:
            RunError: if the folder is missing, holds no run, or was written in a newer format, or the file is damaged
                or none of ours.
        """
        path = Path(path)
        packed = path if path.is_file() else None
        if packed is not None:
            path = unpacked(packed, OURS)
        if not path.is_dir():
            raise RunError(f"{path}: no such run folder; make one with dimple simulate SCENE --out {path}")
        try:
            info = json.loads((path / "run.json").read_text())
        except FileNotFoundError:
            raise RunError(f"{path}: holds no run.json, so it is no run of dimple; name a folder made by it") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{path / 'run.json'}: cannot be read ({error}); make the run again with --force") from None
        version = info.get("format") if isinstance(info, dict) else None
        if not isinstance(version, int) or version > FORMAT:
            raise RunError(f"{path / 'run.json'}: format is {version!r}; this dimple reads up to {FORMAT}: update it")
        return cls(path, info, packed)

    @classmethod
    def create(cls, path: Path | str, info: dict[str, Any], asked: str, force: bool = False) -> "Run":
        """A new run in an absent or empty folder, or an unfinished run of the same, to be continued.

        Args:
            info: what run.json holds besides the status: name, device, versions.
            asked: all settings as YAML, kept as scene.yaml.
            force: begin again where a run is already; what is no run is never touched.

        Raises:
            RunError: if the folder holds a finished run, a run of another scene, or something else.
        """
        path = Path(path)
        if path.is_file():
            raise RunError(f"{path}: is a file, and a run is a folder; choose another --out")
        try:
            if path.exists() and any(path.iterdir()):
                if not (path / "run.json").exists():
                    raise RunError(f"{path}: is not empty and holds no run; choose another --out")
                existing = cls.open(path)
                if not force:
                    return existing._continued(info, asked)
                existing.clear()
            path.mkdir(parents=True, exist_ok=True)
        except RunError:
            raise
        except OSError as error:
            raise RunError(f"{path}: cannot be made ({error.strerror or error}); choose another --out") from None
        run = cls(path, {"format": FORMAT, **info, "status": "running", "seconds": {}})
        write_bytes(path / "scene.yaml", asked.encode())
        run.save()
        return run

    def _continued(self, info: dict[str, Any], asked: str) -> "Run":
        if self.info.get("status") == "complete":
            raise RunError(f"{self.path}: already holds a finished run; choose another --out, or --force to replace it")
        if not (self.path / "scene.yaml").is_file() or self.scene_text != asked:
            raise RunError(f"{self.path}: holds an unfinished run of another scene; choose another --out, or --force")
        if any(self.info.get(key) != info.get(key) for key in ("versions", "device")):
            raise RunError(f"{self.path}: was begun with other versions or another device; --force begins again")
        # Left by a process that was killed while it wrote.
        for torn in self.path.glob("**/.dimple-tmp-*"):
            torn.unlink(missing_ok=True)
        self.info["status"] = "running"
        self.save()
        return self

    def clear(self) -> None:
        """Delete what a run consists of.

        Raises:
            RunError: if the folder holds anything else, or is no run of ours; then nothing is deleted.
        """
        strange = [entry.name for entry in self.path.iterdir() if not OURS.fullmatch(entry.name)]
        if strange or not {"status", "seconds"} <= self.info.keys():
            what = f"also holds {sorted(strange)[0]!r}" if strange else "has a run.json of something else"
            raise RunError(f"{self.path}: {what}, so it is not replaced; choose another --out")
        shutil.rmtree(self.path)

    def pack(self, path: Path) -> Path:
        """Write the run as one file, which opens wherever its folder does; see `dimple.runs.archive`."""
        return pack_folder(self.path, path, OURS)

    def beside(self, name: str) -> Path:
        """Where a file about the run belongs that was given no place: in its folder, or next to the packed file."""
        return self.path / name if self.packed is None else self.packed.with_name(f"{self.packed.stem}-{name}")

    def save(self) -> None:
        """Write `info` to run.json."""
        write_json(self.path / "run.json", self.info)

    @property
    def scene_text(self) -> str:
        """The resolved scene, as YAML."""
        return (self.path / "scene.yaml").read_text()

    @property
    def steps(self) -> list[int]:
        """The steps of the snapshots, rising."""
        return sorted(int(file.stem) for file in (self.path / "snapshots").glob("*.safetensors"))

    def write_snapshot(self, step: int, state: dict[str, Tensor], loss: float) -> None:
        """The network's weights at a step, with the training loss there."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        (self.path / "snapshots").mkdir(exist_ok=True)
        metadata = {"step": str(step), "loss": repr(loss)}
        write_bytes(self.path / "snapshots" / f"{step:08d}.safetensors", _packed(arrays, metadata))

    def read_snapshot(self, step: int) -> tuple[dict[str, Tensor], float]:
        """The weights and the loss of a snapshot."""
        path = self.path / "snapshots" / f"{step:08d}.safetensors"
        content = path.read_bytes() if path.is_file() else b""
        try:
            arrays = load_arrays(content)
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            loss = float(header["__metadata__"]["loss"])
        except (SafetensorError, ValueError, KeyError) as error:
            raise RunError(f"{path}: is no readable snapshot ({error}); make the run again with --force") from None
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, loss

    def write_metrics(self, columns: Arrays, units: dict[str, str]) -> None:
        """The table with one row a snapshot."""
        write_table(self.path / "metrics.parquet", columns, units)

    def metrics(self) -> Arrays:
        """The columns of metrics.parquet, `step` first."""
        return read_table(self.path / "metrics.parquet")[0]

    def units(self) -> dict[str, str]:
        """The unit of each column of metrics.parquet."""
        return read_table(self.path / "metrics.parquet")[1]

    def write_points(self, columns: Arrays, units: dict[str, str]) -> None:
        """The table with one row a point and snapshot."""
        write_table(self.path / "points.parquet", columns, units)

    def points(self) -> Arrays:
        """The columns of points.parquet."""
        return read_table(self.path / "points.parquet")[0]

    def write_part(self, name: str, arrays: Arrays) -> None:
        """Keep a piece of unfinished work, so that an interrupted run need not do it again."""
        (self.path / "parts").mkdir(exist_ok=True)
        write_bytes(self.path / "parts" / f"{name}.safetensors", _packed(arrays))

    def read_part(self, name: str) -> Arrays | None:
        """That piece, or None if it was not finished."""
        path = self.path / "parts" / f"{name}.safetensors"
        try:
            return load_arrays(path.read_bytes())
        except (OSError, SafetensorError):
            return None

    def drop_parts(self) -> None:
        """Forget the pieces, once the whole has been written."""
        shutil.rmtree(self.path / "parts", ignore_errors=True)

    def write_geometry(self, arrays: Arrays) -> None:
        """What the views draw: `train`, `labels`, `low`, `high`, and the manifold's and the boundary's meshes."""
        write_bytes(self.path / "geometry.safetensors", _packed(arrays))

    def geometry(self) -> Arrays:
        """The arrays of `write_geometry`."""
        return _arrays(self.path / "geometry.safetensors")

    def write_pictures(self, arrays: Arrays) -> None:
        """Samples of a measurement with their perturbations, by `<split>/<what>`."""
        write_bytes(self.path / "pictures.safetensors", _packed(arrays))

    def pictures(self) -> Arrays:
        """The arrays of `write_pictures`."""
        return _arrays(self.path / "pictures.safetensors")

    @property
    def positions(self) -> Arrays:
        """The training points `train` `(N, n)` and their `labels` `(N,)`."""
        arrays = self.geometry()
        return {"train": arrays["train"], "labels": arrays["labels"]}

    @property
    def drawn(self) -> NDArray[np.float64]:
        """The training points where they are drawn, `(N, k)`: in the coordinates of a section where there is one."""
        arrays = self.geometry()
        return np.asarray(arrays.get("drawn", arrays["train"]), dtype=np.float64)

    @property
    def box(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The corners of the domain that is drawn."""
        arrays = self.geometry()
        return tuple(arrays["low"].tolist()), tuple(arrays["high"].tolist())

    @property
    def section(self) -> Section | None:
        """The piece of a space of more than three dimensions in which it is drawn; None for other spaces."""
        arrays = self.geometry()
        if "axes" not in arrays:
            return None
        return Section(torch.from_numpy(arrays["origin"]), torch.from_numpy(arrays["axes"]))

    @property
    def manifold_mesh(self) -> Mesh | None:
        """The data manifold for drawing; None where it has too many dimensions."""
        return _mesh(self.geometry(), "manifold")

    def meshes(self) -> list[Mesh]:
        """The boundary at each snapshot, in the order of the steps; empty where it could not be drawn."""
        arrays = self.geometry()
        return [mesh for step in self.steps if (mesh := _mesh(arrays, f"boundary/{step}")) is not None]


def _packed(arrays: Arrays, metadata: dict[str, str] | None = None) -> bytes:
    """The arrays as a safetensors file, which takes the bytes of an array as they lie in memory, in whatever order."""
    return save_arrays({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata)


def mesh_arrays(mesh: Mesh, name: str) -> Arrays:
    """A mesh as entries of `Run.write_geometry`."""
    return {f"{name}/vertices": mesh.vertices.astype(np.float32), f"{name}/faces": mesh.faces.astype(np.int32)}


def pair_arrays(surfaces: Sequence[Surface], dim: int) -> Arrays:
    """The surfaces of several pairs of classes as one mesh: `vertices`, `faces`, and `pairs` `(F, 2)` of its faces."""
    first = np.cumsum([0, *[len(surface.mesh.vertices) for surface in surfaces]])
    vertices = [surface.mesh.vertices for surface in surfaces]
    faces = [surface.mesh.faces + start for surface, start in zip(surfaces, first, strict=False)]
    pairs = [np.tile(surface.pair, (len(surface.mesh.faces), 1)) for surface in surfaces]
    return {
        "vertices": np.concatenate([np.zeros((0, dim)), *vertices]).astype(np.float32),
        "faces": np.concatenate([np.zeros((0, dim)), *faces]).astype(np.int32),
        "pairs": np.concatenate([np.zeros((0, 2)), *pairs]).astype(np.int32),
    }


def _arrays(path: Path) -> Arrays:
    try:
        return load_arrays(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: is not readable ({error}); make the run again with --force") from None


def _mesh(arrays: Arrays, name: str) -> Mesh | None:
    if f"{name}/vertices" not in arrays:
        return None
    return Mesh(arrays[f"{name}/vertices"].astype(np.float64), arrays[f"{name}/faces"].astype(np.int64))
