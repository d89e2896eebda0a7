"""Loading of scene files: built-in scenes by name, other files by path."""

import json
from collections.abc import Sequence
from pathlib import Path

import dimple
from dimple.errors import SceneError
from dimple.runs.run import RunFolder
from dimple.scene.build import build
from dimple.scene.dump import dump
from dimple.scene.overrides import override
from dimple.scene.own_code import require_code
from dimple.scene.scene import FAMILIES, Scene
from dimple.scene.yaml_nodes import parse_yaml
from dimple.scene.yaml_text import read_text
from dimple.settings import suggest_word


def shipped_scenes() -> dict[str, Path]:
    """Return the files of the scenes that are part of the package, by name in alphabetical order.

    The folder is `dimple/scenes` of an installed package and `scenes` of a checkout.
    """
    package = Path(dimple.__file__).parent
    folder = next(path for path in (package / "scenes", package.parent / "scenes") if path.is_dir())
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_scene(name: str) -> Path:
    """Return the file of a scene: `name` is a path, or the name of a built-in scene.

    Raises:
        SceneError: if it is neither; the error suggests the most similar name.

    Example:
        >>> find_scene("sphere_in_3d").name
        'sphere_in_3d.yaml'
    """
    path = Path(name)
    if path.exists() or path.suffix in (".yaml", ".yml") or "/" in name:
        return path
    built_in = shipped_scenes()
    if name not in built_in:
        hint = suggest_word(name, built_in, "dimple scenes lists the built-in scenes")
        raise SceneError(f"scene {name!r} is neither a file nor a built-in scene; {hint}")
    return built_in[name]


def load_scene(
    name: str, overrides: Sequence[str] = (), seed: int | None = None, resolution: int | None = None
) -> Scene:
    """Load the scene `name` (see `find_scene`) with changes such as `training.steps=500`.

    `seed` and `resolution` (of the level set) are the values of the flags `--seed` and `--resolution`; an error names
    the flag. A scene file without a `name` gets the name of the file.

    Raises:
        SceneError: if the scene is invalid; the error gives the file and line, or the change.

    Example:
        >>> load_scene("sphere_in_3d", ["training.steps=500"]).training.steps
        500
    """
    path = find_scene(name)
    return _build_scene(read_text(path), path, overrides, seed, resolution)


def load_run_scene(run: RunFolder, overrides: Sequence[str] = ()) -> Scene:
    """Load the scene that a run was simulated from, with changes such as `training.steps=500`.

    Raises:
        SceneError: if the settings of the run are not a scene, or name classes of code that was not allowed.
    """
    require_code(run)
    return _build_scene(run.settings_text, run.settings_path, overrides)


def _build_scene(
    text: str, path: Path, overrides: Sequence[str], seed: int | None = None, resolution: int | None = None
) -> Scene:
    node = parse_yaml(text, str(path))
    if isinstance(node.content, dict) and "name" not in node.content:
        overrides = [f"name={json.dumps(path.stem)}", *overrides]
    for change in overrides:
        node = override(node, change)
    for key, flag, value in (("seed", "--seed", seed), ("levelset.resolution", "--resolution", resolution)):
        if value is not None:
            node = override(node, f"{key}={value}", flag)
    return build(node, Scene, FAMILIES)


def scene_text(scene: Scene) -> str:
    """Return a scene file with every value written out, which loads to an equal scene."""
    return dump(scene, FAMILIES)
