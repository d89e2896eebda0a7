"""Simulation of a scene: training, measurement of each snapshot, level sets and their completeness."""
