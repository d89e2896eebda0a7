"""Proven bounds: linear relaxations, branch and bound, Lipschitz constants."""
