"""Readers of the structure of a network: sequential layers, affine graph, operation trace, piecewise linear form."""
