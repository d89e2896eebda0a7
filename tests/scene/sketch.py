"""A small scene with every form of field, to test the reader without the real scene."""

from typing import Annotated, Literal, final

from annotated_types import MaxLen

from dimple.errors import SceneError
from dimple.settings import Count, Finite, Flag, Positive, Seed, settings


class Shape:
    """A family."""


@final
@settings
class Torus(Shape):
    """A ring of two radii. It has a hole."""

    major: Positive = 1.0
    minor: Positive = 0.25

    def __post_init__(self) -> None:
        if self.minor >= self.major:
            raise SceneError(f"Torus: minor {self.minor} must be below major {self.major}")


@final
@settings
class Plane(Shape):
    """A plane at a position."""

    offset: tuple[Finite, ...]
    corners: tuple[tuple[Finite, Finite], ...] = ()

    def __post_init__(self) -> None:
        if len(self.offset) == 0:
            raise SceneError("Plane: the offset is empty; give numbers")


class Probe:
    """Another family."""


@final
@settings
class Margin(Probe):
    """A probe."""

    norm: Literal["l2", "linf"] = "l2"
    steps: Count = 50


@final
@settings
class Spectrum(Probe):
    """A probe without fields."""


@final
@settings
class Film:
    """A settings class that is not in a family."""

    size: tuple[Count, Count] = (640, 480)
    spin: Flag = True
    caption: str | None = None


@final
@settings
class Sketch:
    """A full scene."""

    shape: Shape
    name: Annotated[str, MaxLen(64)] = "sketch"
    seed: Seed = 0
    torus: Shape = Torus(major=3.0)
    probes: tuple[Probe, ...] = (Margin(),)
    film: Film = Film(spin=False)
    backdrop: Plane | None = None


FAMILIES: dict[type, dict[str, type]] = {
    Shape: {"torus": Torus, "plane": Plane},
    Probe: {"margin": Margin, "spectrum": Spectrum},
}
