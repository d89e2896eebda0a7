"""Readers of a network: its sequential layers, its affine graph, its operations, its piecewise linear form."""
