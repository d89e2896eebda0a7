"""Progress of long work: a bar in a terminal and in a notebook, nothing elsewhere."""

import contextlib
import html
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dimple.protocols import Advance

# A drawing library loads bars that ask for a widget; those of this module need none.
warnings.filterwarnings("ignore", message="IProgress not found")

# A stage that takes less has no line in the log of a job. The first line comes when this is known, after a second.
SHORT_STAGE_SECONDS = 10.0
FIRST_LINE_SECONDS = 1.0
LINE_INTERVAL_SECONDS = 60.0
# Seconds between two changes of a bar in a notebook; each change is a message to the browser.
NOTEBOOK_INTERVAL = 0.2


def show_progress(stage: str, total: int, /) -> "AbstractContextManager[Advance]":
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
def silent_progress(_stage: str, _total: int, /) -> "Iterator[Advance]":
    """Show no progress."""
    yield lambda _count=1, _note="": None


def announce(stage: str, sentence: str) -> None:
    """Say something about a stage before or after it, where its progress is shown.

    Example:
        >>> announce("probe", "about 3 min")
    """
    if (display := _notebook_display()) is not None:
        display(f"{stage}: {sentence}")
    elif sys.stderr.isatty() or _writes_lines:
        _write_line(f"{stage}: {sentence}")


def _write_line(text: str) -> None:
    sys.stderr.write(f"dimple: {text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def _line_progress(stage: str, total: int) -> "Iterator[Advance]":
    started = time.monotonic()
    next_line = started + FIRST_LINE_SECONDS
    done = calls = 0
    has_line = False

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, calls, next_line, has_line
        done += count
        calls += 1
        now = time.monotonic()
        seconds = now - started
        # The first part of a stage often holds its warm-up, from which no time follows.
        is_warm_up = calls == 1 and seconds < SHORT_STAGE_SECONDS
        if now < next_line or is_warm_up or not 0 < done < total:
            return
        left = seconds / done * (total - done)
        if has_line or seconds + left >= SHORT_STAGE_SECONDS:
            has_line = True
            # The line after the first part does not know the time that is left; the next one follows soon.
            next_line = now + (FIRST_LINE_SECONDS if calls == 1 else LINE_INTERVAL_SECONDS)
            rest = "" if calls == 1 else f", about {left:.0f} s left"
            _write_line(f"{stage} {done} of {total}, {seconds:.0f} s{rest}{note and f', {note}'}")

    yield advance


@contextlib.contextmanager
def _terminal_progress(stage: str, total: int) -> "Iterator[Advance]":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(bar_width=max(6, min(40, console.width - 74))),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, ratio=1)),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task(stage, total=total, note="")
        yield lambda count=1, note="": bar.update(task, advance=count, note=note)


def _notebook_display() -> Callable[..., Any] | None:
    """Return the function that shows an object below the cell of a notebook; None elsewhere."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    return display if shell is not None and type(shell).__name__ == "ZMQInteractiveShell" else None


@contextlib.contextmanager
def _notebook_progress(display: Callable[..., Any], stage: str, total: int) -> "Iterator[Advance]":
    """Show a bar of plain HTML, which needs no widget."""
    from IPython.display import HTML

    started = shown = time.monotonic()
    done = 0
    said = ""

    def bar() -> Any:
        seconds = time.monotonic() - started
        left = f", about {seconds / done * (total - done):.0f} s left" if 0 < done < total else ""
        text = f"{html.escape(stage)} {done} of {total}, {seconds:.0f} s{left}{said and f', {html.escape(said)}'}"
        return HTML(f'<progress value="{done}" max="{max(total, 1)}"></progress> {text}')  # type: ignore[no-untyped-call]

    handle = display(bar(), display_id=True)

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, shown, said
        done += count
        said = note
        if time.monotonic() - shown > NOTEBOOK_INTERVAL:
            shown = time.monotonic()
            handle.update(bar())

    try:
        yield advance
    finally:
        handle.update(bar())
