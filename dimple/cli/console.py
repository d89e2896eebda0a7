"""What the user sees besides the results: progress on stderr, one-line errors, exit codes."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dimple.errors import DimpleError

stderr = Console(stderr=True, highlight=False)


@contextlib.contextmanager
def progress(stage: str, total: int, /) -> Iterator[Callable[[], None]]:
    """A bar for one stage where stderr is a terminal, and nothing where it is not."""
    if not stderr.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr) as bar:
        task = bar.add_task(stage, total=total)
        yield lambda: bar.advance(task)


def note(message: str) -> None:
    """A remark on stderr, taken literally."""
    stderr.print(message, markup=False, soft_wrap=True)


def fail(error: DimpleError) -> NoReturn:
    """The line that a mistake gets, one for each, and the exit code."""
    for sentence in error.args:
        line = " ".join(printable(str(sentence)).split())
        note(f"dimple: {line}")
    raise SystemExit(error.exit_code)


def printable(text: str) -> str:
    """The text without characters that could steer a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def settle_threads() -> None:
    """Keep OpenMP from spinning, before torch is imported: on small networks waiting threads cost a factor of ten."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def close_pipe() -> NoReturn:
    """End quietly when the reader of stdout has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
