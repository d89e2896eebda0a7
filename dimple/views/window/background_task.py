"""Long work while a window is open, done in short steps between timer events, with progress messages."""

import time
from collections.abc import Callable, Generator
from typing import TypeAlias, final

from dimple.errors import DimpleError

# A generator that does one step of the work whenever it is resumed, and yields a progress message.
TaskSteps: TypeAlias = Generator[str, None, None]
# Seconds for which the window may be blocked at a time.
MAX_BLOCKING_SECONDS = 0.2


@final
class BackgroundTask:
    """A runner of background work, one task at a time.

    Args:
        on_message: called with progress messages, and with the text of a `DimpleError`, which ends the task.

    Example:
        >>> messages = []
        >>> task = BackgroundTask(messages.append)
        >>> task.start(f"{number} of 2" for number in (1, 2))
        >>> task.is_busy, messages
        (False, ['2 of 2'])
    """

    def __init__(self, on_message: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._steps: TaskSteps | None = None

    @property
    def is_busy(self) -> bool:
        """True while a task is not finished."""
        return self._steps is not None

    def start(self, steps: TaskSteps) -> None:
        """Start a task, unless another one is not finished."""
        if self.is_busy:
            self._on_message("busy with another task; press f to stop it")
            return
        self._steps = steps
        self.run_steps()

    def run_steps(self) -> None:
        """Run the next steps, for about `MAX_BLOCKING_SECONDS`, and report the last message."""
        if self._steps is None:
            return
        message = None
        deadline = time.monotonic() + MAX_BLOCKING_SECONDS
        try:
            message = next(self._steps)
            # Only the last message is shown, because drawing one may take longer than a step.
            while time.monotonic() < deadline:
                message = next(self._steps)
        except StopIteration:
            self._steps = None
        except DimpleError as error:
            self._steps = None
            message = str(error)
        if message is not None:
            self._on_message(message)

    def stop(self) -> None:
        """Stop the task, if there is one; its generator is closed."""
        if self._steps is not None:
            self._steps.close()
        self._steps = None
