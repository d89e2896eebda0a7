"""Terminal output besides the results: one-line notes and errors on stderr, and exit codes."""

import contextlib
import ctypes
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

from dimple.errors import DimpleError, printable, user_code_error

if TYPE_CHECKING:
    from dimple.runs import RunFolder

# Arguments of the functions behind the commands that have the names of flags.
ARGUMENTS_THAT_ARE_FLAGS = ("device", "force", "fps", "jobs", "out", "resolution", "size")

stderr = Console(stderr=True, highlight=False)


def print_note(message: str) -> None:
    """Print a line on stderr, without interpreting markup in it."""
    stderr.print(message, markup=False, soft_wrap=True)


def print_json(line: dict[str, Any]) -> None:
    """Print one line of JSON on stdout, with null for numbers that are not finite."""
    from dimple.runs.atomic_io import replace_nonfinite

    typer.echo(json.dumps(replace_nonfinite(line)))


def print_run(run: "RunFolder", as_json: bool, print_summary: Callable[["RunFolder"], None]) -> None:
    """Print the summary of a finished run on stdout, as one line of JSON or by a function."""
    if as_json:
        line = {"run": str(run.path), **run.info["summary"], "seconds": run.info["seconds"]}
        print_json(line | ({"replicas": run.info["replicas"]} if "replicas" in run.info else {}))
    else:
        print_summary(run)


def print_files(run: "RunFolder", names: Sequence[str]) -> None:
    """Print the paths of those files of a run that exist."""
    for name in names:
        if (run.path / name).exists():
            typer.echo(run.path / name)


@contextlib.contextmanager
def redirect_prints() -> Iterator[None]:
    """Send what the user's own network prints to stderr, so that stdout holds results only."""
    with contextlib.redirect_stdout(sys.stderr), _redirect_native_output():
        try:
            yield
        except SystemExit as stop:
            failure = user_code_error(stop)
            assert failure is not None
            raise failure from stop


@contextlib.contextmanager
def _redirect_native_output() -> Iterator[None]:
    """Send what is written to file descriptor 1, by libraries in C or by child processes, to file descriptor 2."""
    try:
        stdout = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        # One of the two is closed.
        yield
        return
    try:
        yield
    finally:
        _flush_native_output()
        os.dup2(stdout, 1)
        os.close(stdout)


def _flush_native_output() -> None:
    """Write what the library of C still holds in its buffers, so that it goes where it was sent."""
    # On Windows the program itself exports no such function.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).fflush(None)


def print_warnings_as_notes() -> None:
    """Print each warning as one line on stderr, without its position in the code."""

    def print_warning(message: Warning | str, *_args: Any, **_kwargs: Any) -> None:
        print_note(f"dimple: {printable(str(message))}")

    warnings.showwarning = print_warning


def exit_with_error(error: DimpleError) -> NoReturn:
    """Print one line for each sentence of an error, and exit with its exit code."""
    for sentence in error.args:
        line = " ".join(printable(str(sentence)).split())
        print_note(f"dimple: {name_flags(line)}")
    raise SystemExit(error.exit_code)


def name_flags(sentence: str) -> str:
    """Return a sentence about arguments of Python as one about flags of the command line.

    Example:
        >>> name_flags("jobs is 0; give at least 1")
        '--jobs is 0; give at least 1'
        >>> name_flags("choose another out=, or force=True")
        'choose another --out, or --force'
    """
    first = rf"^({'|'.join(ARGUMENTS_THAT_ARE_FLAGS)})(?= is )"
    anywhere = rf"\b({'|'.join(ARGUMENTS_THAT_ARE_FLAGS)})=(?:True\b|(?=[\s,;.]|$))"
    return re.sub(f"{first}|{anywhere}", lambda match: f"--{(match[1] or match[2]).replace('_', '-')}", sentence)


def configure_threads() -> None:
    """Keep waiting OpenMP threads from spinning, before torch is imported: small networks become ten times faster."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def exit_on_closed_pipe() -> NoReturn:
    """Exit without a message when the reader of stdout has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
