"""`dimple scenes`: what ships."""

import typer


def scenes() -> None:
    """List the scenes that ship, with one line each."""
    from dimple.scene import shipped_scenes

    shipped = shipped_scenes()
    width = max(map(len, shipped), default=0)
    for name, file in shipped.items():
        first = file.read_text().partition("\n")[0]
        typer.echo(f"{name:<{width}}  {first.removeprefix('#').strip()}")
