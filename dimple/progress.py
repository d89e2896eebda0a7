"""Progress of long work: a bar in a terminal and in a notebook, nothing elsewhere."""

import contextlib
import html
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

# A drawing library loads bars that ask for a widget; those of this module need none.
warnings.filterwarnings("ignore", message="IProgress not found")

# Seconds before the first line in the log of a job, so that short jobs write none, and between two lines.
FIRST_LINE_SECONDS = 10.0
LINE_INTERVAL_SECONDS = 60.0
# Seconds between two changes of a bar in a notebook; each change is a message to the browser.
NOTEBOOK_INTERVAL = 0.2


def show_progress(stage: str, total: int, /) -> AbstractContextManager[Callable[[], None]]:
    """Show one stage of `total` parts as a bar, in a notebook or where stderr is a terminal; the default of every verb.

    Example:
        >>> with show_progress("probe", 2) as advance:
        ...     advance()
    """
    if (display := _notebook_display()) is not None:
        return _notebook_progress(display, stage, total)
    if sys.stderr.isatty():
        return _terminal_progress(stage, total)
    return _line_progress(stage, total) if _writes_lines else silent_progress(stage, total)


def write_progress_lines() -> None:
    """Write a line to stderr from time to time where it is no terminal; the program does, for the log of a job."""
    global _writes_lines  # noqa: PLW0603
    _writes_lines = True


_writes_lines = False


@contextlib.contextmanager
def silent_progress(_stage: str, _total: int, /) -> Iterator[Callable[[], None]]:
    """Show no progress."""
    yield lambda: None


@contextlib.contextmanager
def _line_progress(stage: str, total: int) -> Iterator[Callable[[], None]]:
    started = time.monotonic()
    next_line = started + FIRST_LINE_SECONDS
    done = 0

    def advance() -> None:
        nonlocal done, next_line
        done += 1
        if time.monotonic() >= next_line and done < total:
            next_line = time.monotonic() + LINE_INTERVAL_SECONDS
            seconds = time.monotonic() - started
            left = seconds / done * (total - done)
            sys.stderr.write(f"dimple: {stage} {done} of {total}, {seconds:.0f} s, about {left:.0f} s left\n")
            sys.stderr.flush()

    yield advance


@contextlib.contextmanager
def _terminal_progress(stage: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as bar:
        task = bar.add_task(stage, total=total)
        yield lambda: bar.advance(task)


def _notebook_display() -> Callable[..., Any] | None:
    """Return the function that shows an object below the cell of a notebook; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    return display if shell is not None and type(shell).__name__ == "ZMQInteractiveShell" else None


@contextlib.contextmanager
def _notebook_progress(display: Callable[..., Any], stage: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar of plain HTML, which needs no widget."""
    from IPython.display import HTML

    started = shown = time.monotonic()
    done = 0

    def bar() -> Any:
        seconds = time.monotonic() - started
        left = f", about {seconds / done * (total - done):.0f} s left" if 0 < done < total else ""
        text = f"{html.escape(stage)} {done} of {total}, {seconds:.0f} s{left}"
        return HTML(f'<progress value="{done}" max="{max(total, 1)}"></progress> {text}')  # type: ignore[no-untyped-call]

    handle = display(bar(), display_id=True)

    def advance() -> None:
        nonlocal done, shown
        done += 1
        if time.monotonic() - shown > NOTEBOOK_INTERVAL:
            shown = time.monotonic()
            handle.update(bar())

    try:
        yield advance
    finally:
        handle.update(bar())
