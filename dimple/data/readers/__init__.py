"""Readers of image data sets; each returns pixels and labels, and refuses unreadable files."""
