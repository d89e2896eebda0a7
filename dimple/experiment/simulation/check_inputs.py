"""Refusal of what `simulate` and `train` cannot work with, before torch is loaded and before data are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dimple.errors import Mistakes, UsageError
from dimple.locations import dataset_path, locate_dataset, require_device_name, require_free_folder
from dimple.names import DATASETS
from dimple.scene.find import check_scene_names
from dimple.scene.yaml_nodes import YamlNode


def default_folder(name: object, seed: object) -> Path:
    """Return the folder of a simulation where none is given."""
    return Path("runs") / f"{name}-{seed}"


def check_inputs(
    scene: str,
    overrides: Sequence[str],
    out: Path | None,
    *,
    seed: int | None = None,
    resolution: int | None = None,
    data: str | None = None,
    device: str = "auto",
    force: bool = False,
) -> YamlNode:
    """Refuse a missing scene, unknown keys, and data, devices and folders that are not there, all of them at once.

    Returns:
        The scene with the changes, for `locate_mistakes`.

    Raises:
        SceneError, UsageError, DataError, DeviceError, RunError: with one sentence for each mistake.
    """
    mistakes = Mistakes()
    node = YamlNode({}, scene)
    with mistakes.collect():
        node = check_scene_names(scene, overrides, seed, resolution)
        entries = node.to_python()
        with mistakes.collect():
            _require_data(entries.get("data"), data, entries.get("name"))
        if out is None:
            out = default_folder(entries.get("name", "scene"), entries.get("seed", 0))
    with mistakes.collect():
        require_device_name(device)
    if out is not None:
        with mistakes.collect():
            require_free_folder(out, force)
    mistakes.raise_all()
    return node


def _require_data(settings: Any, location: str | None, scene: object) -> None:
    """Refuse the data set of a scene where it is not there, or where another one is given."""
    settings = settings if isinstance(settings, dict) else {}
    kind = settings.get("kind", "synthetic")
    if kind in DATASETS:
        path = settings.get("path")
        named = f"{kind}:{path}" if path and location is None else locate_dataset(kind, location)
        dataset_path(named)
    elif location is not None and kind != "digits":
        raise UsageError(f"data is {location!r}, and the scene {scene} makes its data itself; leave it out")
