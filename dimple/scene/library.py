"""Loading of scenes: from a file, with changes, and from a run."""

from collections.abc import Sequence
from pathlib import Path

from dimple.runs.run import RunFolder
from dimple.scene.build import build
from dimple.scene.dump import dump
from dimple.scene.find import find_scene, parse_scene
from dimple.scene.own_code import require_code
from dimple.scene.scene import FAMILIES, Scene
from dimple.scene.yaml_text import read_text


def load_scene(
    name: str, overrides: Sequence[str] = (), seed: int | None = None, resolution: int | None = None
) -> Scene:
    """Load the scene `name` (see `find_scene`) with changes such as `training.steps=500`.

    `seed` and `resolution` (of the level set) are the values of the flags `--seed` and `--resolution`; an error names
    the flag. A scene file without a `name` gets the name of the file.

    Raises:
        SceneError: if the scene is invalid; the error gives the file and line, or the change.

    Example:
        >>> load_scene("sphere_in_3d", ["training.steps=500"]).training.stop.steps
        500
    """
    path = find_scene(name)
    return _build_scene(read_text(path), path, overrides, seed, resolution)


def load_run_scene(run: RunFolder, overrides: Sequence[str] = ()) -> Scene:
    """Load the scene that a run was simulated from, with changes such as `training.steps=500`.

    For a run of replicas it is the scene of the replica that the run shows.

    Raises:
        SceneError: if the settings of the run are not a scene, or name classes of code that was not allowed.
    """
    require_code(run)
    scene = _build_scene(run.settings_text, run.settings_path, overrides)
    return scene if scene.replicas == 1 else scene.replica(run.shown_replica)


def _build_scene(
    text: str, path: Path, overrides: Sequence[str], seed: int | None = None, resolution: int | None = None
) -> Scene:
    return build(parse_scene(text, path, overrides, seed, resolution), Scene, FAMILIES)


def scene_text(scene: Scene) -> str:
    """Return a scene file with every value written out, which loads to an equal scene."""
    return dump(scene, FAMILIES)
