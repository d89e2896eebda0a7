"""Settings of a film."""

from typing import Annotated, final

from annotated_types import Interval
from pydantic import Strict

from dimple.settings import Count, Finite, Flag, NonNegative, settings


@final
@settings
class Film:
    """How a film is made.

    Attributes:
        fps: snapshots a second.
        hold: seconds for which the first and last snapshots stay, and those at which a phase is complete.
        turn: degrees by which the camera goes round the scene from the first snapshot to the last. A little of it
            shows depth; at 0 nothing but the boundary moves.
        quality: the encoder's constant rate factor, lower is better and larger.
        gif: whether to write a gif, half as wide and high, beside the mp4.
    """

    fps: Count = 8
    hold: NonNegative = 1.0
    turn: Finite = 24.0
    quality: Annotated[int, Strict(), Interval(ge=0, le=51)] = 20
    gif: Flag = False
