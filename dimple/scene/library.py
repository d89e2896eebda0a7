"""Finding and reading scene files: those that ship with the package by name, any other by path."""

import json
from collections.abc import Sequence
from pathlib import Path

import dimple
from dimple.errors import SceneError
from dimple.scene.build import build
from dimple.scene.dump import dump
from dimple.scene.overrides import override
from dimple.scene.scene import FAMILIES, Scene
from dimple.scene.yaml_nodes import parse_yaml
from dimple.scene.yaml_text import read_text
from dimple.settings import nearest


def shipped_scenes() -> dict[str, Path]:
    """The scenes that come with the package, name to file, in alphabetical order.

    They stand in `dimple/scenes` of an installed package and in `scenes` of a checkout.
    """
    package = Path(dimple.__file__).parent
    folder = next(place for place in (package / "scenes", package.parent / "scenes") if place.is_dir())
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_scene(name: str) -> Path:
    """The file of a scene: a path as it is, or the name of one that ships.

    Raises:
        SceneError: if it is neither, with the nearest name.

    Example:
        >>> find_scene("sphere_in_3d").name
        'sphere_in_3d.yaml'
    """
    path = Path(name)
    if path.exists() or path.suffix in (".yaml", ".yml") or "/" in name:
        return path
    shipped = shipped_scenes()
    if name not in shipped:
        near = nearest(name, shipped)
        hint = f"did you mean {near!r}?" if near else "dimple scenes lists those that ship"
        raise SceneError(f"scene {name!r} is neither a file nor a scene that ships; {hint}")
    return shipped[name]


def load_scene(name: str, changes: Sequence[str] = (), seed: int | None = None, cells: int | None = None) -> Scene:
    """The scene called `name` (see `find_scene`), with changes such as `training.steps=500`.

    `seed` and `cells`, of its level set, stand for the flags of these names, and a mistake in one is named so.
    A file that names no scene is named after itself.

    Raises:
        SceneError: naming the file and line, or the change, that makes no scene.

    Example:
        >>> load_scene("sphere_in_3d", ["training.steps=500"]).training.steps
        500
    """
    path = find_scene(name)
    node = parse_yaml(read_text(path), str(path))
    if isinstance(node.content, dict) and "name" not in node.content:
        changes = [f"name={json.dumps(path.stem)}", *changes]
    for change in changes:
        node = override(node, change)
    for key, flag, value in (("seed", "--seed", seed), ("levelset.cells", "--cells", cells)):
        if value is not None:
            node = override(node, f"{key}={value}", flag)
    return build(node, Scene, FAMILIES)


def scene_text(scene: Scene) -> str:
    """The scene with every default filled in, as a file that loads to an equal scene."""
    return dump(scene, FAMILIES)
