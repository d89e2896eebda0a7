"""The static site of `dimple gallery`: an index of scenes, and a page for each."""
