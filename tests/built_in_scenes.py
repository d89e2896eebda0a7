"""The built-in scenes by the kind of their data."""

from dimple.scene import load_scene, shipped_scenes

MANIFOLD_SCENES = [name for name in sorted(shipped_scenes()) if load_scene(name).manifold is not None]
