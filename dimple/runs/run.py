"""A run folder: the settings, the snapshots, the measurements, and the progress of one experiment."""

import re
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from torch import Tensor, nn

from dimple.boundary.affine_slice import AffineSlice
from dimple.errors import RunError
from dimple.levelsets.mesh import Mesh
from dimple.renamed import (
    ARRAYS,
    new_column,
    new_value,
    upgrade_config,
    upgrade_info,
    upgrade_scene,
    upgrade_units,
)
from dimple.runs.archive import pack_folder, unpack
from dimple.runs.atomic_io import read_table, write_bytes, write_json, write_table
from dimple.runs.mesh_arrays import Arrays, mesh_from_arrays
from dimple.runs.schema import (
    MAKE_AGAIN,
    Record,
    check_geometry,
    check_images,
    check_info,
    check_table,
    parse_settings,
    read_info,
    read_text,
    require_file_size,
)
from dimple.runs.snapshot import read_snapshot_file, snapshot_bytes, to_safetensors
from dimple.settings import expand_home, format_value

FORMAT_VERSION = 2
CHOOSE_ANOTHER = "choose another out=, or force=True to replace it"
# The folder of the slice in a run.
SLICE_FOLDER = "slice"
# The format of version 0.1, which is read with the present names.
OLD_FORMAT = 1
# The names of all files and folders of a run, including those of version 0.1.
RUN_FILES_PATTERN = re.compile(
    r"((scene|config)\.yaml|run\.json|slice|snapshots|cache|parts|stills|(geometry|images|pictures)\.safetensors"
    r"|(metrics|replicas|points|measurements|quantiles|spectra|speed|transfer)\.parquet"
    r"|film\.(mp4|gif|png)|(page|report)\.html|boundary\.pvd|boundary_steps|boundary_\d+\.vtp|\.dimple-tmp-.*)"
)


class RunFolder:
    """The files of one experiment.

    Every file is written atomically, and no file is a pickle. A run of version 0.1 (format 1) is read with the present
    names of columns, arrays, keys and settings; its files are not changed.

    Each file is read once; what was read stays in memory until it is written again.

    A run is written in stages. A stage with an entry in `info["seconds"]` is finished, and is not repeated when the
    same scene is simulated into the same folder.

    Attributes:
        path: the run folder.
        info: the content of run.json.
        archive_path: the packed file that the run was opened from, or None.
    """

    def __init__(self, path: Path, info: dict[str, Any], archive_path: Path | None = None) -> None:
        self.path = path
        self.info = info
        self.archive_path = archive_path
        self._tables: dict[str, tuple[Arrays, dict[str, str]]] = {}
        self._arrays: dict[Path, Arrays] = {}

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open an existing run: a folder, or a file from `dimple pack`.

        A run of version 0.1 gives a warning.

        Raises:
            RunError: if the folder is missing, is not a run or has a newer format, or if the file is damaged or is not
                a packed run.
        """
        path = _expand(path)
        archive_path = path if path.is_file() else None
        if archive_path is not None:
            path = unpack(archive_path, RUN_FILES_PATTERN)
        if not path.is_dir():
            raise RunError(f"{path}: no such run folder; make one with dimple simulate SCENE --out {path}")
        try:
            info = read_info(path / "run.json")
        except FileNotFoundError:
            raise RunError(f"{path}: holds no run.json, so it is not a run of dimple; name a run folder") from None
        version = info.get("format")
        if type(version) is not int or not OLD_FORMAT <= version <= FORMAT_VERSION:
            raise RunError(
                f"{path / 'run.json'}: format is {version!r}; this version of dimple reads formats up to "
                f"{FORMAT_VERSION}: update dimple"
            )
        if version == OLD_FORMAT:
            # Level 1 makes all calls one location, so that Python shows the warning once per run.
            warnings.warn(
                f"{path}: was written by dimple 0.1; its columns and keys are read with their present names "
                "(docs/migration.md lists them)",
                stacklevel=1,
            )
            info = upgrade_info(info)
        return cls(path, check_info(info, path / "run.json"), archive_path)

    @classmethod
    def create(
        cls,
        path: Path | str,
        info: dict[str, Any],
        settings_text: str,
        force: bool = False,
        settings_file: str = "scene.yaml",
    ) -> Self:
        """Create a run in a missing or empty folder, or continue an unfinished run with the same settings.

        Args:
            path: the run folder.
            info: the entries of run.json except format, status and seconds: name, device, versions.
            settings_text: all settings as YAML.
            force: replace an existing run; a folder that is not a run is never changed.
            settings_file: the name of the settings file: scene.yaml for a simulation, config.yaml for a measurement.

        Raises:
            RunError: if the folder holds a finished run, a run with other settings, or other files.
        """
        path = _expand(path)
        if path.is_file():
            raise RunError(f"{path}: is a file, but a run is a folder; choose another out=")
        try:
            if path.exists() and any(path.iterdir()):
                if not (path / "run.json").exists():
                    raise RunError(f"{path}: is not empty and holds no run; choose another out=")
                existing = cls.open(path)
                if not force:
                    return existing._resume(info, settings_text)
                existing.clear()
            path.mkdir(parents=True, exist_ok=True)
        except RunError:
            raise
        except OSError as error:
            raise RunError(f"{path}: cannot be made ({error.strerror or error}); choose another out=") from None
        run = cls(path, {"format": FORMAT_VERSION, **info, "status": "running", "seconds": {}})
        write_bytes(path / settings_file, settings_text.encode())
        run.save()
        return run

    def _resume(self, info: dict[str, Any], settings_text: str) -> Self:
        if self.info.get("status") == "complete":
            raise RunError(
                f"{self.path}: already holds a finished run; choose another out=, or force=True to replace it"
            )
        if self._is_old:
            raise RunError(
                f"{self.path}: holds an unfinished run of dimple 0.1, which cannot be continued; {CHOOSE_ANOTHER}"
            )
        if not self.settings_path.is_file() or self.settings_text != settings_text:
            raise RunError(
                f"{self.path}: holds an unfinished run with other settings; choose another out=, or force=True"
            )
        if any(self.info.get(key) != info.get(key) for key in ("versions", "device")):
            raise RunError(
                f"{self.path}: was started with other versions or on another device; force=True starts again"
            )
        # Files of a process that was killed while it wrote them.
        for unfinished in self.path.glob("**/.dimple-tmp-*"):
            unfinished.unlink(missing_ok=True)
        self.info["status"] = "running"
        self.save()
        return self

    def clear(self) -> None:
        """Delete the run folder.

        Raises:
            RunError: if the folder holds other files, or is not a run of dimple; then nothing is deleted.
        """
        other_files = [entry.name for entry in self.path.iterdir() if not RUN_FILES_PATTERN.fullmatch(entry.name)]
        if other_files or not {"status", "seconds"} <= self.info.keys():
            reason = f"also holds {sorted(other_files)[0]!r}" if other_files else "has a run.json of another program"
            raise RunError(f"{self.path}: {reason}, so it is not replaced; choose another out=")
        shutil.rmtree(self.path)

    def pack(self, path: Path, images: bool = True) -> Path:
        """Write the run, or its files without samples, into one file, which `RunFolder.open` accepts; return it."""
        if not images and self.kind == "slice":
            raise RunError(f"{self.path}: is a slice, which shows its images; pack another run, or pack it with them")
        return pack_folder(self.path, path, RUN_FILES_PATTERN, images)

    def default_output_path(self, name: str) -> Path:
        """Return the default path of an output file: in the run folder, or next to the packed file."""
        if self.archive_path is None:
            return self.path / name
        return self.archive_path.with_name(f"{self.archive_path.stem}-{name}")

    def save(self) -> None:
        """Write `info` to run.json."""
        write_json(self.path / "run.json", self.info)

    @property
    def settings_path(self) -> Path:
        """The file with all settings: config.yaml of a measurement, scene.yaml of a simulation."""
        config = self.path / "config.yaml"
        return config if config.is_file() else self.path / "scene.yaml"

    @property
    def settings_text(self) -> str:
        """The settings as YAML, with the present names."""
        text = read_text(self.settings_path)
        return _upgrade_settings(text, self.settings_path) if self._is_old else text

    @property
    def settings(self) -> Record[Any]:
        """The settings by their names."""
        return parse_settings(self.settings_text, self.settings_path)

    @property
    def _is_old(self) -> bool:
        return bool(self.info.get("format") == OLD_FORMAT)

    @property
    def steps(self) -> list[int]:
        """The steps of the snapshots, in increasing order."""
        names = [file.stem for file in (self.path / "snapshots").glob("*.safetensors")]
        if wrong := [name for name in names if not re.fullmatch(r"[0-9]{8,18}", name)]:
            raise RunError(f"{self.path}: has a snapshot {format_value(wrong[0])}, which is no step; {MAKE_AGAIN}")
        return sorted(map(int, names))

    def write_snapshot(self, step: int, state: dict[str, Tensor], loss: float | list[float]) -> None:
        """Write the weights of the network at a step, with the step and the training loss.

        Those of replicas are the stacked weights `(R, *shape)` and a list of R losses.
        """
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        (self.path / "snapshots").mkdir(exist_ok=True)
        path = self.path / "snapshots" / f"{step:08d}.safetensors"
        write_bytes(path, snapshot_bytes(arrays, step, loss))

    def read_snapshot(self, step: int, replica: int | None = None) -> tuple[dict[str, Tensor], float]:
        """Return the weights and the training loss of a snapshot.

        Args:
            step: the step.
            replica: the number of the replica in a run of several; None for the one that the run shows.

        Raises:
            RunError: if the snapshot is missing or damaged.
        """
        path = self.path / "snapshots" / f"{step:08d}.safetensors"
        arrays, loss = read_snapshot_file(path, step)
        if isinstance(loss, list):
            row = self.shown_replica if replica is None else replica
            if row >= len(loss):
                raise RunError(f"{path}: has {len(loss)} replicas, and no replica {row}; {MAKE_AGAIN}")
            arrays = {name: array[row] for name, array in arrays.items()}
            loss = loss[row]
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, loss

    def load_weights(self, network: nn.Module, step: int, replica: int | None = None) -> float:
        """Load the weights of a snapshot into a network, in place, and return the training loss.

        Raises:
            RunError: if the snapshot is missing or damaged, or is one of another network.
        """
        state, loss = self.read_snapshot(step, replica)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            cause = " ".join(str(error).split())[:300]
            raise RunError(f"{self.path}: the snapshot of step {step} is none of its scene ({cause})") from None
        return loss

    @property
    def shown_replica(self) -> int:
        """The number of the replica that the tables, the film and the pages of a run show; 0 without replicas."""
        return int(self.info.get("replicas", {}).get("shown", 0))

    @property
    def kind(self) -> Literal["simulation", "measurement", "slice"]:
        """The kind of its content: a simulated scene, a measured network, or a slice of one."""
        if self.info.get("kind") == "slice":
            return "slice"
        # Version 0.1 called the settings of both scene.yaml.
        is_measurement = any((self.path / name).is_file() for name in ("config.yaml", "measurements.parquet"))
        return "measurement" if is_measurement else "simulation"

    def write_table(self, name: str, columns: Arrays, units: dict[str, str]) -> None:
        """Write the table `<name>.parquet`: metrics has a row for each snapshot, points for each point and snapshot."""
        write_table(self.path / f"{name}.parquet", columns, units)
        self._tables.pop(name, None)

    def read_table(self, name: str) -> tuple[Arrays, dict[str, str]]:
        """Return the columns of the table `<name>.parquet` and their units.

        Raises:
            RunError: if the run has no such table, or the file is damaged.
        """
        if name not in self._tables:
            path = self.path / f"{name}.parquet"
            if not path.exists():
                held = ", ".join(sorted(file.stem for file in self.path.glob("*.parquet"))) or "none yet"
                raise RunError(f"{path}: is missing; the tables of this {self.kind} are: {held}")
            require_file_size(path)
            columns, units = self._with_present_names(*read_table(path))
            self._tables[name] = check_table(columns, path), units
        columns, units = self._tables[name]
        return Record(columns, str(self.path / f"{name}.parquet")), dict(units)

    def _with_present_names(self, columns: Arrays, units: dict[str, str]) -> tuple[Arrays, dict[str, str]]:
        if self._is_old:
            columns = {new_column(column): values for column, values in columns.items()}
            for column in {"split", "statistic", "unit"} & columns.keys():
                values = [new_value(column, value) for value in columns[column].tolist()]
                columns[column] = np.array(values, dtype=object)
            units = upgrade_units(units)
        return _read_only(columns), units

    def columns(self, name: str) -> Arrays:
        """Return the columns of a table, such as metrics, points or measurements."""
        return self.read_table(name)[0]

    def units(self, name: str) -> dict[str, str]:
        """Return the unit of each column of a table."""
        return self.read_table(name)[1]

    def write_cache(self, name: str, arrays: Arrays) -> None:
        """Write an intermediate result, so that an interrupted run need not compute it again."""
        (self.path / "cache").mkdir(exist_ok=True)
        write_bytes(self.path / "cache" / f"{name}.safetensors", to_safetensors(arrays))

    def read_cache(self, name: str) -> Arrays | None:
        """Return an intermediate result, or None if it does not exist."""
        path = self.path / "cache" / f"{name}.safetensors"
        try:
            return load_arrays(path.read_bytes())
        except (OSError, SafetensorError):
            return None

    def clear_cache(self) -> None:
        """Delete all intermediate results, after the final result has been written."""
        shutil.rmtree(self.path / "cache", ignore_errors=True)

    def write_geometry(self, arrays: Arrays) -> None:
        """Write the arrays for drawing: `train`, `labels`, `low`, `high`, the meshes of manifold and boundary.

        `closest/<step>` holds the boundary points nearest to the training points.
        """
        self._write_arrays(self.path / "geometry.safetensors", arrays)

    def geometry(self) -> Arrays:
        """Return the arrays of `write_geometry`."""
        path = self.path / "geometry.safetensors"
        arrays = self._read_arrays(path)
        if self._is_old:
            arrays = {ARRAYS.get(name, name): array for name, array in arrays.items()}
        return check_geometry(arrays, path)

    def write_images(self, arrays: Arrays) -> None:
        """Write samples of a measurement with their perturbations, by `<split>/<name>`."""
        self._write_arrays(self._images_path, arrays)

    def images(self) -> Record[NDArray[Any]]:
        """Return the arrays of `write_images`."""
        return check_images(self._read_arrays(self._images_path), self._images_path)

    def _write_arrays(self, path: Path, arrays: Arrays) -> None:
        write_bytes(path, to_safetensors(arrays))
        self._arrays.pop(path, None)

    def _read_arrays(self, path: Path) -> Arrays:
        if path not in self._arrays:
            require_file_size(path)
            try:
                self._arrays[path] = load_arrays(path.read_bytes())
            except (OSError, SafetensorError) as error:
                raise RunError(f"{path}: is not readable ({error}); {MAKE_AGAIN}") from None
        return dict(self._arrays[path])

    @property
    def has_images(self) -> bool:
        """Return whether the run holds samples of a measurement on images."""
        return self._images_path.is_file()

    @property
    def _images_path(self) -> Path:
        return self.path / ("pictures.safetensors" if self._is_old else "images.safetensors")

    @property
    def training_points(self) -> Arrays:
        """The training points `train` `(N, n)` and their `labels` `(N,)`."""
        arrays = self.geometry()
        return {"train": arrays["train"], "labels": arrays["labels"]}

    @property
    def views_path(self) -> Path:
        """The folder of film, stills and page: that of the run, or of the slice in a run without a film."""
        has_slice = (self.path / SLICE_FOLDER).is_dir() and not (self.path / "film.mp4").is_file()
        return self.path / SLICE_FOLDER if has_slice else self.path

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample of a simulation or a slice."""
        recorded = self.info.get("samples", {}).get("shape")
        return tuple(self.geometry()["train"].shape[1:] if recorded is None else recorded)

    @property
    def display_points(self) -> NDArray[np.float64]:
        """The training points in the coordinates of the drawing, `(N, k)`: those of the slice if there is one."""
        arrays = self.geometry()
        return np.asarray(arrays.get("display_points", arrays["train"]), dtype=np.float64)

    @property
    def display_bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The corners of the drawn box."""
        arrays = self.geometry()
        return tuple(arrays["low"].tolist()), tuple(arrays["high"].tolist())

    @property
    def affine_slice(self) -> AffineSlice | None:
        """The slice in which a space of more than three dimensions is drawn; None for other spaces."""
        arrays = self.geometry()
        if "axes" not in arrays:
            return None
        return AffineSlice(torch.from_numpy(arrays["origin"]), torch.from_numpy(arrays["axes"]))

    @property
    def manifold_mesh(self) -> Mesh | None:
        """The mesh of the data manifold; None if it has too many dimensions."""
        return mesh_from_arrays(self.geometry(), "manifold")

    def meshes(self) -> list[Mesh]:
        """Return the mesh of the boundary at each snapshot, in the order of the steps.

        The list is empty if the boundary was not extracted.
        """
        arrays = self.geometry()
        return [mesh for step in self.steps if (mesh := mesh_from_arrays(arrays, f"boundary/{step}")) is not None]

    def mesh(self, step: int) -> Mesh:
        """Return the mesh of the boundary at a snapshot.

        Raises:
            RunError: if there is no such snapshot, or the boundary was not extracted.
        """
        if step not in self.steps:
            raise RunError(f"{self.path}: has no snapshot of step {step}; choose from {self.steps}")
        mesh = mesh_from_arrays(self.geometry(), f"boundary/{step}")
        if mesh is None:
            raise RunError(
                f"{self.path}: holds no mesh of the boundary, which was not extracted (levelset.kind is none)"
            )
        return mesh


def _upgrade_settings(text: str, path: Path) -> str:
    """Return the settings of a run of version 0.1 as YAML with the present names."""
    settings = dict(parse_settings(text, path))
    try:
        upgraded = upgrade_scene(settings) if "manifold" in settings else upgrade_config(settings)
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise RunError(f"{path}: is not readable ({error}); {MAKE_AGAIN}") from None
    return str(yaml.safe_dump(upgraded, sort_keys=False))


def _read_only(arrays: Arrays) -> Arrays:
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def _expand(path: Path | str) -> Path:
    """Return a path with the home folder for a leading tilde.

    Raises:
        RunError: if a name in the path is too long for the file system.
    """
    path = expand_home(path)
    try:
        path.exists()
    except OSError as error:
        raise RunError(f"{format_value(str(path))}: cannot be used ({error.strerror}); choose another path") from None
    return path
