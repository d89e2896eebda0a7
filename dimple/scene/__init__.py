"""Scenes: the settings of one simulation as a frozen object, read from a file or built in Python.

The names are imported on first use: finding a scene and checking its keys needs no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"dimple.scene.{_HOMES[name]}"), name)
