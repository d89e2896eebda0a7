"""A run folder: the settings, the snapshots, the measurements, and the progress of one experiment."""

import contextlib
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from torch import Tensor

from dimple.boundary.affine_slice import AffineSlice
from dimple.errors import DivergedError, RunError
from dimple.levelsets.mesh import Mesh
from dimple.locations import require_free_folder, require_run, run_path
from dimple.renamed import ARRAYS, upgrade_info
from dimple.runs.archive import pack_folder, unpack
from dimple.runs.atomic_io import make_folder, read_table, write_bytes, write_json, write_table
from dimple.runs.files import (
    CACHE_FOLDER,
    SLICE_FOLDER,
    clear_folder,
    is_started,
    remove_abandoned_files,
    remove_temporary_files,
    renew_manifest,
)
from dimple.runs.lock import lock_folder, unlock_folder
from dimple.runs.manifest import MANIFEST, Manifest, is_manifest, list_files, manifest_text
from dimple.runs.mesh_arrays import Arrays, mesh_from_arrays
from dimple.runs.old_format import upgrade_settings, upgrade_table
from dimple.runs.safetensors_io import pack_entry, to_safetensors, unpack_entry
from dimple.runs.schema import (
    MAKE_AGAIN,
    MAX_INFO_BYTES,
    MAX_SETTINGS_BYTES,
    Record,
    check_geometry,
    check_images,
    check_info,
    check_table,
    describe_difference,
    parse_info,
    parse_settings,
    read_text,
    require_file_size,
)
from dimple.runs.shards import ShardFolder
from dimple.runs.snapshot import parse_snapshot, snapshot_bytes
from dimple.settings import format_value

FORMAT_VERSION = 2
# The format of version 0.1, which is read with the present names.
OLD_FORMAT = 1


class RunFolder:
    """The files of one experiment.

    Every file is written atomically, its check sum stands in `manifest.jsonl`, and no file is a pickle. A run of
    version 0.1 (format 1) is read with the present names of columns, arrays, keys and settings, and never changed.

    Each file is read once, and checked; what was read stays in memory until it is written again.

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
        self._manifest = Manifest(path)
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
        path = run_path(path)
        require_run(path)
        archive_path = path if path.is_file() else None
        if archive_path is not None:
            path = unpack(archive_path)
        remove_abandoned_files(path)
        info = parse_info(read_text(Manifest(path).read_bytes, path / "run.json", MAX_INFO_BYTES), path / "run.json")
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
        patience: float = 0.0,
    ) -> Self:
        """Create a run in a missing or empty folder, or continue an unfinished run with the same settings.

        Args:
            path: the run folder.
            info: the entries of run.json except format, status and seconds: name, device, versions.
            settings_text: all settings as YAML.
            force: replace an existing run; a folder that is not a run is never changed.
            settings_file: the name of the settings file: scene.yaml for a simulation, config.yaml for a measurement.
            patience: for how many seconds to wait for a process that has locked the folder.

        Raises:
            RunError: if the folder holds a finished run, a run with other settings, or other files.
        """
        path = run_path(path)
        require_free_folder(path, force)
        try:
            if path.exists() and not (path / "run.json").exists() and not is_started(path):
                raise RunError(f"{path}: is not empty and holds no run; choose another out=")
            path.mkdir(parents=True, exist_ok=True)
            lock_folder(path, patience)
            remove_temporary_files(path)
            return cls._create(path, info, settings_text, force, settings_file)
        except BaseException as error:
            unlock_folder(path)
            # A sentence of ours is a RunError, which is an OSError too.
            if isinstance(error, OSError) and not isinstance(error, RunError):
                raise RunError(f"{path}: cannot be made ({error.strerror or error}); choose another out=") from None
            raise

    @classmethod
    def _create(cls, path: Path, info: dict[str, Any], settings_text: str, force: bool, settings_file: str) -> Self:
        """Begin or continue a run in a folder that this process has locked."""
        if (path / "run.json").exists():
            try:
                existing = cls.open(path)
                if not force:
                    return existing._resume(info, settings_text)
            except RunError:
                if not (force and is_manifest(path / MANIFEST)):
                    raise
        clear_folder(path)
        run = cls(path, {"format": FORMAT_VERSION, **info, "status": "running", "seconds": {}})
        write_bytes(path / MANIFEST, manifest_text({}).encode())
        write_bytes(path / settings_file, settings_text.encode())
        run.save()
        return run

    def _resume(self, info: dict[str, Any], settings_text: str) -> Self:
        if self._is_old:
            raise RunError(f"{self.path}: holds an unfinished run of dimple 0.1; choose another out=, or force=True")
        if not self.settings_path.is_file() or self.settings_text != settings_text:
            found = self.settings if self.settings_path.is_file() else {}
            names = describe_difference(found, parse_settings(settings_text, self.settings_path))
            raise RunError(
                f"{self.path}: holds an unfinished run with other settings{names}; choose another out=, or force=True"
            )
        if any(self.info.get(key) != info.get(key) for key in ("versions", "device")):
            raise RunError(
                f"{self.path}: was started with other versions or on another device; force=True starts again"
            )
        renew_manifest(self.path, may_miss=True)
        self.info["status"] = "running"
        self.save()
        return self

    @contextlib.contextmanager
    def finishing(self, status: str = "complete") -> Iterator[None]:
        """Record how the block ends in run.json, with `status` or as interrupted or diverged, and unlock the folder."""
        try:
            yield
            self._end(status)
        except (KeyboardInterrupt, DivergedError) as error:
            self._end("diverged" if isinstance(error, DivergedError) else "interrupted")
            raise
        finally:
            unlock_folder(self.path)

    def _end(self, status: str) -> None:
        self.info["status"] = status
        self.save()
        if status == "complete":
            self.clear_cache()
        # An interrupt may come between the line about a file and the file.
        renew_manifest(self.path, may_miss=status == "interrupted")

    def clear(self) -> None:
        """Delete the run folder.

        Raises:
            RunError: if the folder holds other files, or is not a run of dimple; then nothing is deleted.
        """
        clear_folder(self.path)
        unlock_folder(self.path)
        self.path.rmdir()

    def pack(self, path: Path, images: bool = True) -> Path:
        """Write the run, or its files without samples, into one file, which `RunFolder.open` accepts; return it."""
        if not images and self.kind == "slice":
            raise RunError(f"{self.path}: is a slice, which shows its images; pack another run, or pack it with them")
        return pack_folder(self.path, path, images)

    def default_output_path(self, name: str) -> Path:
        """Return the default path of an output file: in the run folder, or next to the packed file."""
        if self.archive_path is None:
            return self.path / name
        return self.archive_path.with_name(f"{self.archive_path.stem}-{name}")

    def save(self) -> None:
        """Write `info` to run.json."""
        write_json(self.path / "run.json", self.info)

    def read_bytes(self, path: Path) -> bytes:
        """Return the content of a file of the run.

        Raises:
            RunError: if it is not as the run wrote it.
            OSError: if it cannot be read.
        """
        require_file_size(path)
        inner = self.path / SLICE_FOLDER
        return (Manifest(inner) if path.is_relative_to(inner) else self._manifest).read_bytes(path)

    @property
    def settings_path(self) -> Path:
        """The file with all settings: config.yaml of a measurement, scene.yaml of a simulation."""
        config = self.path / "config.yaml"
        return config if config.is_file() else self.path / "scene.yaml"

    @property
    def settings_text(self) -> str:
        """The settings as YAML, with the present names."""
        text = read_text(self.read_bytes, self.settings_path, MAX_SETTINGS_BYTES)
        return upgrade_settings(text, self.settings_path) if self._is_old else text

    @property
    def settings(self) -> Record[Any]:
        """The settings by their names."""
        return parse_settings(self.settings_text, self.settings_path)

    @property
    def _is_old(self) -> bool:
        return bool(self.info.get("format") == OLD_FORMAT)

    @property
    def steps(self) -> list[int]:
        """The steps of the snapshots, or of a measurement of checkpoints, which keeps none, in increasing order."""
        names = [file.stem for file in list_files(self.path / "snapshots") if file.suffix == ".safetensors"]
        if wrong := [name for name in names if not re.fullmatch(r"[0-9]{8,18}", name)]:
            raise RunError(f"{self.path}: has a snapshot {format_value(wrong[0])}, which is no step; {MAKE_AGAIN}")
        rows = (self.info.get("summary") or {}).get("rows", [])
        return sorted(map(int, names) if names else {row["step"] for row in rows})

    def write_snapshot(self, step: int, state: dict[str, Tensor], loss: float | list[float]) -> None:
        """Write the weights of the network at a step, with the step and the training loss.

        Those of replicas are the stacked weights `(R, *shape)` and a list of R losses.
        """
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}
        path = make_folder(self.path / "snapshots") / f"{step:08d}.safetensors"
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
        arrays, loss = parse_snapshot(self.read_bytes(path) if path.is_file() else b"", path, step)
        if isinstance(loss, list):
            row = self.shown_replica if replica is None else replica
            if row >= len(loss):
                raise RunError(f"{path}: has {len(loss)} replicas, and no replica {row}; {MAKE_AGAIN}")
            arrays = {name: array[row] for name, array in arrays.items()}
            loss = loss[row]
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, loss

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
            columns, units = read_table(path, self.read_bytes)
            if self._is_old:
                columns, units = upgrade_table(columns, units)
            for values in columns.values():
                values.flags.writeable = False
            self._tables[name] = check_table(columns, path), units
        columns, units = self._tables[name]
        return Record(columns, str(self.path / f"{name}.parquet")), dict(units)

    def columns(self, name: str) -> Arrays:
        """Return the columns of a table, such as metrics, points or measurements."""
        return self.read_table(name)[0]

    def units(self, name: str) -> dict[str, str]:
        """Return the unit of each column of a table."""
        return self.read_table(name)[1]

    def write_cache(self, name: str, arrays: Arrays, about: Mapping[str, Any] = {}) -> None:
        """Write an intermediate result, so that an interrupted run need not compute it again.

        Args:
            name: the name of the result.
            arrays: the result, which `read_cache` returns in the same order.
            about: what else belongs to it, as JSON has it, for `read_cache_entry`.
        """
        make_folder(self.path / CACHE_FOLDER)
        write_bytes(self._cache_path(name), pack_entry(arrays, about))

    def read_cache(self, name: str) -> Arrays | None:
        """Return an intermediate result, or None if it does not exist or is damaged."""
        entry = self.read_cache_entry(name)
        return None if entry is None else entry[0]

    def read_cache_entry(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Return an intermediate result and what belongs to it, or None if it does not exist or is damaged."""
        try:
            return unpack_entry(self.read_bytes(self._cache_path(name)))
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def _cache_path(self, name: str) -> Path:
        return self.path / CACHE_FOLDER / f"{name}.safetensors"

    def clear_cache(self) -> None:
        """Delete all intermediate results, after the final result has been written."""
        shutil.rmtree(self.path / CACHE_FOLDER, ignore_errors=True)
        ShardFolder(self.path).clear()

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
            try:
                self._arrays[path] = load_arrays(self.read_bytes(path))
            except RunError:
                raise
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
