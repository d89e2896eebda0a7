"""The program `dimple`: its commands, and the handling of errors and interrupts."""

import os
import re
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Annotated, NoReturn

import typer

import dimple
from dimple import renamed
from dimple.cli import console
from dimple.cli.commands.claims import claims
from dimple.cli.commands.compare import compare
from dimple.cli.commands.completeness import completeness
from dimple.cli.commands.docs import docs
from dimple.cli.commands.doctor import doctor
from dimple.cli.commands.explain import explain
from dimple.cli.commands.export import export
from dimple.cli.commands.fetch import fetch
from dimple.cli.commands.gallery import gallery
from dimple.cli.commands.gather import gather, status
from dimple.cli.commands.napari import napari
from dimple.cli.commands.pack import check, pack
from dimple.cli.commands.probe import probe
from dimple.cli.commands.report import report
from dimple.cli.commands.scenes import scenes
from dimple.cli.commands.simulate import simulate
from dimple.cli.commands.slice import slice_network
from dimple.cli.commands.train import train
from dimple.cli.commands.view import view
from dimple.cli.examples import format_examples
from dimple.errors import DimpleError, UsageError, file_error, user_code_error
from dimple.memory import configure_memory
from dimple.progress import write_progress_lines
from dimple.workers import STOP_SIGNALS

INTERRUPT_EXIT_CODE = 130
# "Try again", for the scripts of batch systems.
STOPPED_EXIT_CODE = 75

app = typer.Typer(
    name="dimple",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=format_examples(""),
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "simulate": simulate,
    "train": train,
    "view": view,
    "export": export,
    "probe": probe,
    "gather": gather,
    "status": status,
    "slice": slice_network,
    "report": report,
    "compare": compare,
    "explain": explain,
    "claims": claims,
    "fetch": fetch,
    "gallery": gallery,
    "napari": napari,
    "pack": pack,
    "check": check,
    "completeness": completeness,
    "docs": docs,
    "doctor": doctor,
}
for _name, _command in _COMMANDS.items():
    app.command(_name, epilog=format_examples(_name))(_command)
app.add_typer(scenes, name="scenes", epilog=format_examples("scenes"))


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"dimple {dimple.__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Traceback of an error.")] = False,
    allow_code: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-code",
            metavar="FILE",
            help="File of Python code to run, whose classes scenes may name.  [default: none]",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Version of dimple.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Measure how a decision boundary clings to a data manifold and dimples around its points, and show it."""
    del debug, version
    for file in allow_code or ():
        from dimple.scene import allow_code as run_code

        run_code(file)


def _answer_old_names(words: list[str]) -> None:
    """Refuse a command or a flag of version 0.1, and name the new one."""
    command = next((word for word in words if not word.startswith("-")), "")
    if command in renamed.COMMANDS:
        raise UsageError(renamed.sentence(f"dimple {command}", f"dimple {renamed.COMMANDS[command]}"))
    for word in words:
        flag = word.partition("=")[0]
        if flag in renamed.FLAGS:
            raise UsageError(renamed.sentence(flag, renamed.FLAGS[flag]))


def _options_of_the_program_first(words: list[str]) -> list[str]:
    """Return the words of a command line with the options of all commands before the command.

    Example:
        >>> _options_of_the_program_first(["view", "runs/mine", "--allow-code", "mine.py", "--debug"])
        ['--allow-code', 'mine.py', '--debug', 'view', 'runs/mine']
    """
    first: list[str] = []
    rest = list(words)
    while (found := next((word for word in rest if re.match(r"--(debug|allow-code(=.*)?)$", word)), None)) is not None:
        place = rest.index(found)
        count = 2 if found == "--allow-code" else 1
        first += rest[place : place + count]
        del rest[place : place + count]
    return first + rest


def _expand_home(word: str) -> str:
    """Return a word or the value of a flag with the home folder for a leading tilde, as a shell does without quotes."""
    flag, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return flag + equals + (os.path.expanduser(value) if value.startswith("~") else value)  # noqa: PTH111 (see images)


def _exit_as_stopped(received: list[int]) -> NoReturn:
    """Print which signal stopped the program, and exit with the code for it."""
    name = signal.Signals(received[0]).name
    console.print_note(f"dimple: stopped by {name}; the same command continues an unfinished run")
    raise SystemExit(STOPPED_EXIT_CODE) from None


def _exit_with_other_error(error: Exception, received: list[int]) -> NoReturn:
    """Print one line about an error of the user's code or the file system, or an internal error, and exit."""
    if received:
        # A signal in the middle of an import leaves half a module, whose next use may fail in any way.
        _exit_as_stopped(received)
    if (failure := user_code_error(error)) is not None:
        console.exit_with_error(failure)
    if (failed := file_error(error)) is not None:
        console.exit_with_error(failed)
    console.print_note(
        f"dimple: internal error, {type(error).__name__}: {error}; --debug shows the traceback, please report it"
    )
    raise SystemExit(1)


def _interrupt_at_signals() -> list[int]:
    """Turn the signals with which batch systems end a job into an interrupt; the returned list gets those that came."""
    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt

    for name in STOP_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt)
    return received


def main() -> None:
    """Run the program, and exit with 0, or with one line on stderr and the exit code of the error."""
    console.configure_threads()
    configure_memory()
    console.print_warnings_as_notes()
    write_progress_lines()
    received = _interrupt_at_signals()
    debug = "--debug" in sys.argv
    sys.argv[1:] = [_expand_home(word) for word in _options_of_the_program_first(sys.argv[1:])]
    try:
        _answer_old_names(sys.argv[1:])
        app()
    except SystemExit as stop:
        # The command-line library turns an interrupt into this exit code without a message.
        if stop.code == INTERRUPT_EXIT_CODE and received:
            _exit_as_stopped(received)
        if stop.code == INTERRUPT_EXIT_CODE:
            console.print_note("dimple: interrupted; the same command continues an unfinished run")
        raise
    except DimpleError as error:
        if debug:
            raise
        console.exit_with_error(error)
    except BrokenPipeError:
        console.exit_on_closed_pipe()
    except MemoryError:
        console.print_note("dimple: out of memory; use fewer samples, a lower --resolution or fewer neighbors")
        raise SystemExit(7) from None
    except Exception as error:
        if debug:
            raise
        _exit_with_other_error(error, received)
