"""Measurement of a network, or of a series of checkpoints, on a data set."""
