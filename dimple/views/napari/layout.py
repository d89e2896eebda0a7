"""Layers and their layout in napari as plain data; this module does not import napari."""

import dataclasses
from typing import Any, TypeAlias, final

from dimple.views.content.camera import Camera

# The data of a layer, the keyword arguments of its napari class, and the kind of the layer, as readers of napari return
# them.
LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


@final
@dataclasses.dataclass(frozen=True)
class NapariLayout:
    """The layers of a napari viewer and how they are shown together.

    Attributes:
        layers: from the lowest to the highest. Their first axis is that of the slider, except for layers that do not
            change along it.
        captions: one text for each position of the slider.
        start_index: first position of the slider.
        active_layer: name of the layer whose values are shown under the cursor.
        color_bar_layer: name of the layer with a color bar; empty for none.
        camera: of a 3-D scene; None for 2-D layers.
        y_axis_up: whether the y axis of 2-D layers points up, as in a plot, or down, as in an image.
        side_by_side: whether each layer has its own grid cell.
        linked_layers: names of layers that share their contrast limits.
    """

    layers: tuple[LayerData, ...]
    captions: tuple[str, ...]
    start_index: int
    active_layer: str
    color_bar_layer: str = ""
    camera: Camera | None = None
    y_axis_up: bool = True
    side_by_side: bool = False
    linked_layers: tuple[str, ...] = ()
