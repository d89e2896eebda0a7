"""Scenes: the settings of one simulation as a frozen object, read from a file or built in Python."""

from dimple.scene.library import find_scene, load_run_scene, load_scene, scene_text, shipped_scenes
from dimple.scene.own_code import allow_code
from dimple.scene.scene import Scene

__all__ = ["Scene", "allow_code", "find_scene", "load_run_scene", "load_scene", "scene_text", "shipped_scenes"]
