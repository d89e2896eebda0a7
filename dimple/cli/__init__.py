"""Command line, one module for each command. It is the only part of the package that prints or exits."""

from dimple.cli.app import main

__all__ = ["main"]
