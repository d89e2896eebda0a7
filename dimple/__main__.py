"""`python -m dimple` is `dimple`."""

from dimple.cli import main

main()
