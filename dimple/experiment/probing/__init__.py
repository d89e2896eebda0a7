"""Measurement of a network, of a series of checkpoints or of a run, by the probes of the package."""
