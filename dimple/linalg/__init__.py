"""Operator norms, spectra and eigenvectors of symmetric matrices."""
