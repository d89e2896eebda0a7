"""Readers of image files; each returns pixels and labels and refuses what it cannot read."""
