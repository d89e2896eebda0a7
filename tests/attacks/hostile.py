"""Attempts in a measured process, and random changes of files, for the tests of hostile files."""

import dataclasses
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dimple.errors import DimpleError

# What a file may take beyond what its declared content needs.
MAX_BYTES = 300 * 2**20
MAX_SECONDS = 5.0
MAX_MESSAGE = 2000
# What stops an attempt that is out of hand, before the machine suffers.
STOP_BYTES = 3 * 2**30
STOP_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Attempt:
    """The outcome of a call: `answer` is `read`, the text of a DimpleError, or another error."""

    answer: str
    megabytes: float
    seconds: float

    def require_bounded(self) -> None:
        assert self.answer.startswith(("refused: ", "read")), self
        assert self.seconds < MAX_SECONDS and self.megabytes < MAX_BYTES / 2**20, self
        assert len(self.answer) < MAX_MESSAGE and self.answer.isprintable(), self


def attempt(function: Callable[..., Any], *arguments: Any) -> Attempt:
    """Call a function in a process of its own, and measure its processor time and its memory."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(STOP_SECONDS):
            return Attempt("hang", 0.0, STOP_SECONDS)
        return Attempt(*receiver.recv())
    except EOFError:
        process.join()
        return Attempt(f"killed, exit code {process.exitcode}", 0.0, 0.0)
    finally:
        process.kill()
        process.join()


def _report(sender: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    before = _peak_kilobytes()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + STOP_BYTES,) * 2)
    started = time.process_time()
    answer = describe(function, *arguments)
    seconds = time.process_time() - started
    sender.send((answer, (_peak_kilobytes() - before) / 2**10, seconds))
    sender.close()


def _peak_kilobytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def describe(function: Callable[..., Any], *arguments: Any) -> str:
    """Return what came of a call: `read`, `refused: ...`, or an error that is no DimpleError."""
    try:
        function(*arguments)
    except DimpleError as error:
        return f"refused: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "read"


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Return the content with some bytes replaced, left out, repeated or put in, or cut short."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(len(content) - 1, 0)))
        end = min(len(content), start + draw(st.integers(1, 24)))
        middle = draw(st.sampled_from(("replace", "leave out", "repeat", "put in", "cut")))
        changed = {
            "replace": draw(st.binary(min_size=end - start, max_size=end - start)),
            "leave out": b"",
            "repeat": content[start:end] * 2,
            "put in": draw(st.binary(min_size=1, max_size=8)) + content[start:end],
            "cut": b"",
        }[middle]
        content = content[:start] + changed + (b"" if middle == "cut" else content[end:])
    return content


def try_many(check: Callable[[Any], None], strategy: st.SearchStrategy[Any], count: int) -> None:
    """Call `check` with `count` values of a strategy."""
    trial = settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )(given(strategy)(check))
    trial()


def require_answer(function: Callable[..., Any], *arguments: Any) -> None:
    """Require that a call returns or raises a DimpleError of a short text without control characters."""
    answer = describe(function, *arguments)
    assert answer.startswith(("refused: ", "read")), answer
    assert len(answer) < MAX_MESSAGE and answer.replace("\n", "").isprintable(), answer
