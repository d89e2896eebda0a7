"""The errors that a user can meet, each with its exit code on the command line."""


class DimpleError(Exception):
    """An error that the user can correct.

    Each argument is one sentence with the location, the value and the way out; several mistakes have a sentence each.
    """

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


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


class ModelError(DimpleError, ValueError):
    """A weights file that is unsafe, damaged, or written for another network."""

    exit_code = 4


class RunError(DimpleError, OSError):
    """A run folder that cannot be written, read or continued."""

    exit_code = 5


class DivergedError(DimpleError, ArithmeticError):
    """A loss or weights that became infinite or nan in training; the snapshots before that step stay in the run."""

    exit_code = 6


class DeviceError(DimpleError, RuntimeError):
    """A device, a system library or an optional package that is missing on this machine."""

    exit_code = 7
