"""Estimates of operator norms and spectra, from products with vectors alone."""
