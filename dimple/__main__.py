"""The command line as `python -m dimple`."""

from dimple.cli import main

main()
