"""`dimple fetch`: published data sets and weights, into the cache."""

from typing import Annotated

import typer

from dimple.cli import console


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Data sets and networks: mnist, fashion_mnist, cifar10, resnet20, resnet32, resnet44, resnet56, "
            "resnet110.  [default: the list of them]",
        ),
    ] = None,
) -> None:
    """Get published data sets and weights into the cache.

    Checksums are compared. Then --data cifar10 needs no path, and --model resnet20 no --weights. Without a name it
    lists what there is, and what of it is in the cache.
    """
    from dimple.locations import require_fetchable

    if not names:
        _print_list()
        return
    require_fetchable(names)
    from dimple.data.fetch import fetch as get

    for name in names:
        for path in get(name, progress=console.stderr.is_terminal):
            typer.echo(path)


def _print_list() -> None:
    from dimple.cli.commands.scenes import format_columns
    from dimple.data.fetch import PUBLISHED
    from dimple.locations import cache_folder

    about = {}
    for name, published in PUBLISHED.items():
        is_there = all((cache_folder() / file.target).is_file() for file in published.files)
        is_checked = all(file.checked for file in published.files)
        known = "address not tried" if is_checked else "address and checksum not tried"
        about[name] = f"{published.meaning}; {'in the cache' if is_there else known}"
    for line in format_columns(about, None):
        typer.echo(line)
    console.print_note(f"dimple: the cache is {cache_folder()}; XDG_CACHE_HOME moves it")
