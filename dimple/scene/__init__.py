"""Scenes: the settings of one simulation as a frozen object, read from a file or built in Python.

The names are imported on first use: finding a scene and checking its keys needs no torch.
"""

from typing import TYPE_CHECKING

from dimple.lazy import import_on_use

if TYPE_CHECKING:
    from dimple.scene.find import check_scene_names, find_scene, shipped_scenes
    from dimple.scene.library import load_run_scene, load_scene, scene_text
    from dimple.scene.own_code import allow_code
    from dimple.scene.scene import Scene

_HOMES = {
    "Scene": "scene",
    "allow_code": "own_code",
    "check_scene_names": "find",
    "find_scene": "find",
    "load_run_scene": "library",
    "load_scene": "library",
    "scene_text": "library",
    "shipped_scenes": "find",
}

__all__ = [
    "Scene",
    "allow_code",
    "check_scene_names",
    "find_scene",
    "load_run_scene",
    "load_scene",
    "scene_text",
    "shipped_scenes",
]


__getattr__ = import_on_use(__name__, _HOMES)
