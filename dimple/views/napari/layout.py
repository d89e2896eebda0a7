"""What an image viewer is to show, and how, as plain data: nothing here imports one."""

import dataclasses
from typing import Any, TypeAlias, final

from dimple.views.content.camera import Camera

# Data, the words that napari's class of that kind takes, and the kind: what a reader of napari gives.
LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


@final
@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Layers, the lowest first, and how they are shown together.

    Attributes:
        layers: all of them have the same first axis, the slider's, but for what never changes.
        captions: a text for each place of the slider.
        start: the place that is shown first.
        active: the name of the layer whose values are told under the cursor.
        legend: the name of the layer whose colours are explained by a bar; empty for none.
        camera: how space is seen; None for what is flat.
        upwards: whether the second axis of what is flat grows upwards, as in a plot, and not as in an image.
        side_by_side: a layer a cell instead of one above the other.
        linked: names of layers that share their contrast.
    """

    layers: tuple[LayerData, ...]
    captions: tuple[str, ...]
    start: int
    active: str
    legend: str = ""
    camera: Camera | None = None
    upwards: bool = True
    side_by_side: bool = False
    linked: tuple[str, ...] = ()
