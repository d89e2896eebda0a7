"""Layers for napari and its window."""
