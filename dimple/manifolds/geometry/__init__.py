"""Geometry computed for any manifold: derivatives of charts, closest points, volumes, reach, covering radii."""
