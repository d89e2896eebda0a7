"""The errors a user can meet, each with the exit code that the command line gives it."""


class DimpleError(Exception):
    """Something the user can mend: one sentence with the place, the value and the way out; of several, one each."""

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class UsageError(DimpleError, ValueError):
    """A flag or an argument that cannot be served."""

    exit_code = 2


class SceneError(DimpleError, ValueError):
    """A scene file, or an object built by hand, whose settings make no experiment."""

    exit_code = 3


class ShapeError(SceneError):
    """A tensor of another shape than the one that was promised."""


class DataError(DimpleError, ValueError):
    """An image file, archive or folder that cannot be read as the data it was named as."""

    exit_code = 4


class ModelError(DimpleError, ValueError):
    """A weights file that is unsafe, damaged, or made for another network."""

    exit_code = 4


class RunError(DimpleError, OSError):
    """A run folder that cannot be written, read or continued."""

    exit_code = 5


class DivergedError(DimpleError, ArithmeticError):
    """Training left the finite numbers; what was recorded before that step is kept."""

    exit_code = 6


class DeviceError(DimpleError, RuntimeError):
    """A device, a system library or an optional package that this machine lacks."""

    exit_code = 7
