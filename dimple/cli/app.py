"""The program `dimple`: its commands, and what becomes of an error or an interrupt."""

import sys
from typing import Annotated

import typer

import dimple
from dimple.cli import console
from dimple.cli.commands.completeness import certify
from dimple.cli.commands.export import film
from dimple.cli.commands.gallery import gallery
from dimple.cli.commands.napari import napari
from dimple.cli.commands.pack import pack
from dimple.cli.commands.probe import probe
from dimple.cli.commands.report import report
from dimple.cli.commands.scenes import scenes
from dimple.cli.commands.simulate import simulate
from dimple.cli.commands.slice import section
from dimple.cli.commands.tangents import tangents
from dimple.cli.commands.view import view
from dimple.errors import DimpleError
from dimple.memory import settle_memory

INTERRUPTED = 130

app = typer.Typer(
    name="dimple",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(simulate)
app.command()(view)
app.command()(film)
app.command()(probe)
app.command()(section)
app.command()(report)
app.command()(gallery)
app.command()(napari)
app.command()(pack)
app.command()(certify)
scenes.command()(tangents)
app.add_typer(scenes, name="scenes")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dimple {dimple.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Watch a decision boundary cling to a data manifold and dimple around its points, and measure whether it does."""


def main() -> None:
    """Run the program: exit 0, or one line on stderr and the code of what went wrong."""
    console.settle_threads()
    settle_memory()
    debug = "--debug" in sys.argv
    sys.argv[1:] = (["--debug"] if debug else []) + [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app()
    except SystemExit as stop:
        # The command-line library turns an interrupt into this exit code and says nothing.
        if stop.code == INTERRUPTED:
            console.note("dimple: interrupted; the same command continues an unfinished run")
        raise
    except DimpleError as error:
        if debug:
            raise
        console.fail(error)
    except BrokenPipeError:
        console.close_pipe()
    except MemoryError:
        console.note("dimple: out of memory; ask for fewer samples, cells or neighbours")
        raise SystemExit(7) from None
    except Exception as error:
        if debug:
            raise
        console.note(f"dimple: internal error, {type(error).__name__}: {error}; --debug shows where, please report it")
        raise SystemExit(1) from None
