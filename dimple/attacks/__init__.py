"""Minimum-norm attacks: searches for the nearest point of another class, with one interface."""
