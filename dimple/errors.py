"""The errors that a user can meet, each with its exit code on the command line."""

import contextlib
import functools
import inspect
import sysconfig
import traceback
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar, final

# Of a message: a file of a stranger may hold a hundred thousand mistakes, or a word of a million letters.
MAX_SENTENCES = 20
MAX_LETTERS = 1900
P = ParamSpec("P")
R = TypeVar("R")


class DimpleError(Exception):
    """An error that the user can correct.

    Each argument is one sentence with the location, the value and the way out; several mistakes have a sentence each,
    of which the first twenty are kept.
    """

    exit_code = 1

    def __init__(self, *sentences: object) -> None:
        kept = [_shorten(str(sentence)) for sentence in sentences[:MAX_SENTENCES]]
        if len(sentences) > MAX_SENTENCES:
            kept[-1] = f"and {len(sentences) - MAX_SENTENCES + 1} more mistakes"
        super().__init__(*kept)

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


def printable(text: str) -> str:
    """Return a text with a question mark for every character that could control a terminal or turn the reading order.

    Example:
        >>> printable("red" + chr(27) + "[0m")
        'red?[0m'
    """
    if text.isprintable():
        return text
    # Spaces of other widths count as not printable.
    return "".join(
        character if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs" else "?"
        for character in text
    )


def _shorten(sentence: str) -> str:
    sentence = printable(sentence)
    return sentence if len(sentence) <= MAX_LETTERS else f"{sentence[: MAX_LETTERS - 300]} ... {sentence[-290:]}"


def warn(sentence: str) -> None:
    """Give a warning at the line of the user's code that called the package, however deep within it the cause is."""
    inside = (str(Path(__file__).parent), contextlib.__file__)
    level = 2
    frame = inspect.currentframe()
    while frame is not None and (frame := frame.f_back) is not None and frame.f_code.co_filename.startswith(inside):
        level += 1
    warnings.warn(sentence, stacklevel=level)


class UsageError(DimpleError, ValueError):
    """An unusable flag or argument."""

    exit_code = 2


class SceneError(DimpleError, ValueError):
    """Invalid settings in a scene file or in an object built in Python."""

    exit_code = 3


class ShapeError(SceneError):
    """A tensor whose shape, dtype or values do not meet the requirement of a function."""


class DataError(DimpleError, ValueError):
    """An image file, archive or folder that cannot be read as the requested data."""

    exit_code = 4


class MissingDataError(DataError):
    """A data set that is not on this machine.

    Attributes:
        dataset: its name.
    """

    def __init__(self, dataset: str, problem: str) -> None:
        super().__init__(problem)
        self.dataset = dataset


class ModelError(DimpleError, ValueError):
    """A weights file that is unsafe, damaged, or written for another network."""

    exit_code = 4


class RunError(DimpleError, OSError):
    """A run folder that cannot be written, read or continued."""

    exit_code = 5


class DivergedError(DimpleError, ArithmeticError):
    """A loss or weights that became infinite or nan in training; the snapshots before that step stay in the run."""

    exit_code = 6


class IncompleteError(DimpleError):
    """A measurement of which parts are missing, or killed the processes that measured them; the others are stored."""

    exit_code = 6


class DeviceError(DimpleError, RuntimeError):
    """A device, a system library or an optional package that is missing on this machine."""

    exit_code = 7


@final
class Mistakes:
    """The errors of several checks, which are raised together.

    Example:
        >>> mistakes = Mistakes()
        >>> for flag in ("--norm", "--probe"):
        ...     with mistakes.collect():
        ...         raise UsageError(f"{flag} is unknown")
        >>> mistakes.raise_all()
        Traceback (most recent call last):
        dimple.errors.UsageError: --norm is unknown
        --probe is unknown
    """

    def __init__(self) -> None:
        self._errors: list[DimpleError] = []

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Keep a `DimpleError` of the block, and go on after the block."""
        try:
            yield
        except DimpleError as error:
            self._errors.append(error)

    def __len__(self) -> int:
        """Return the number of errors so far."""
        return len(self._errors)

    def raise_all(self) -> None:
        """Raise one error with the sentences of all, of the kind of the first; nothing where there is none."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            kind = next(cls for cls in type(self._errors[0]).__mro__ if DimpleError in cls.__bases__)
            raise kind(*dict.fromkeys(str(sentence) for error in self._errors for sentence in error.args))


def find_user_code(error: BaseException) -> str | None:
    """Return the file and the line of the user's own code in which an error arose, None where it arose elsewhere.

    Code of the user is what belongs neither to dimple nor to installed packages or the standard library.
    """
    folders = (
        str(Path(__file__).parent),
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        "<",
    )
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(folders):
            return f"{frame.filename}, line {frame.lineno}"
    return None


def user_code_error(error: BaseException) -> ModelError | None:
    """Return the error of a model in words, where it arose in the user's own code or ends the program; else None."""
    if isinstance(error, SystemExit):
        return ModelError(f"the model ends the program, with exit code {error.code}; let it raise an error")
    if find_user_code(error) is None:
        return None
    return ModelError(f"the model fails: {describe_cause(error)}; --debug shows the traceback")


def file_error(error: BaseException) -> RunError | None:
    """Return a failure of the file system in words, with the name of the file; None for any other error."""
    if not isinstance(error, OSError) or isinstance(error, DimpleError | BrokenPipeError) or error.errno is None:
        return None
    return RunError(f"{error.filename or 'a file'}: cannot be used ({error.strerror}); choose another path")


def convert_file_errors(verb: Callable[P, R]) -> Callable[P, R]:
    """Make a verb raise a `RunError` where the file system fails; errors of the user's own code stay as they are."""

    @functools.wraps(verb)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return verb(*args, **kwargs)
        except OSError as error:
            failure = file_error(error)
            if failure is None or find_user_code(error) is not None:
                raise
            raise failure from error

    return call


def describe_cause(error: BaseException) -> str:
    """Return the class of an error of other code, the first line of its text, and its place in the user's code.

    Example:
        >>> describe_cause(KeyError("width"))
        "KeyError: 'width'"
    """
    lines = str(error).strip().splitlines()
    place = find_user_code(error)
    text = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
    return text if place is None else f"{text} ({place})"
