"""Estimates of operator norms and of spectra, from products with vectors alone."""
