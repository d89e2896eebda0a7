"""Simulation of a scene: training, measuring each snapshot, level sets and their completeness."""
