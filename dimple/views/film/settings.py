"""Settings of a film."""

from typing import Annotated, final

from annotated_types import Interval
from pydantic import Strict

from dimple.settings import Finite, Flag, settings


@final
@settings
class Film:
    """Settings of a film.

    Attributes:
        fps: snapshots per second.
        hold: seconds for which the first snapshot, the last one, and those at which a phase is complete are shown.
        turn: rotation of the camera about the scene from the first snapshot to the last, in degrees. A small rotation
            makes depth visible; at 0 only the boundary moves.
        quality: constant rate factor of the encoder; a lower factor gives better quality and a larger file.
        gif: if True, also write a gif of half the width and height.
    """

    fps: Annotated[int, Strict(), Interval(ge=1, le=240)] = 8
    hold: Annotated[float, Strict(), Interval(ge=0, le=600)] = 1.0
    turn: Finite = 24.0
    quality: Annotated[int, Strict(), Interval(ge=0, le=51)] = 20
    gif: Flag = False
