"""The command line: one verb a module; nothing else in the package prints or exits."""

from dimple.cli.app import main

__all__ = ["main"]
