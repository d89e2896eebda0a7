"""Work that takes long while a window is open: done in pieces between the beats of its clock, and told meanwhile."""

import time
from collections.abc import Callable, Generator
from typing import TypeAlias, final

from dimple.errors import DimpleError

# Does a piece of the work whenever it is resumed, and says how far it is.
Pieces: TypeAlias = Generator[str, None, None]
# For how many seconds the window may stand still.
PATIENCE = 0.2


@final
class Errand:
    """One thing at a time.

    Args:
        say: told how far it is, and what went wrong.

    Example:
        >>> said = []
        >>> errand = Errand(said.append)
        >>> errand.begin(f"{number} of 2" for number in (1, 2))
        >>> errand.busy, said
        (False, ['2 of 2'])
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._pieces: Pieces | None = None

    @property
    def busy(self) -> bool:
        """Whether something is left to do."""
        return self._pieces is not None

    def begin(self, pieces: Pieces) -> None:
        """Begin, unless something else is not done yet."""
        if self.busy:
            self._say("still busy; f stops it")
            return
        self._pieces = pieces
        self.proceed()

    def proceed(self) -> None:
        """Do the next pieces, for a moment."""
        if self._pieces is None:
            return
        message, until = None, time.monotonic() + PATIENCE
        try:
            message = next(self._pieces)
            # To draw a message may take longer than a piece.
            while time.monotonic() < until:
                message = next(self._pieces)
        except StopIteration:
            self._pieces = None
        except DimpleError as error:
            self._pieces, message = None, str(error)
        if message is not None:
            self._say(message)

    def stop(self) -> None:
        """Leave it undone."""
        if self._pieces is not None:
            self._pieces.close()
        self._pieces = None
