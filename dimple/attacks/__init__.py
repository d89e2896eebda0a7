"""Minimum-norm attacks: searches for the nearest point of another class, behind one interface."""
