"""A picture that stays in a corner of a VTK renderer, in front of the scene, pixel by pixel."""

from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import pyvista as pv


@final
class Overlay:
    """One place for a picture within a renderer; it follows when the window changes its size.

    Args:
        anchor: the place as shares of the width and height that the picture leaves free: (0, 1) is the upper left
            corner, (0.5, 0.5) the middle.
        margin: pixels between the picture and the rim.
        beneath: another one at the same height, which it gives way to, downwards, where there is no room for both.
    """

    def __init__(
        self,
        renderer: "pv.Renderer",
        anchor: tuple[float, float],
        margin: int = 6,
        beneath: "Overlay | None" = None,
    ) -> None:
        from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper

        self.anchor, self.margin, self.beneath = anchor, margin, beneath
        self.size = (0, 0)
        self._renderer = renderer
        self._mapper: Any = vtkImageMapper()
        # The window and level of radiologists: 0 to 255 as they are.
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor: Any = vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetPositionCoordinate().SetCoordinateSystemToViewport()
        # In front of what stands at places of the scene.
        self._actor.SetLayerNumber(1)
        self._actor.VisibilityOff()
        renderer.AddViewProp(self._actor)
        renderer.AddObserver("StartEvent", lambda *_: self._place())

    @property
    def shown(self) -> bool:
        """Whether a picture is there."""
        return bool(self._actor.GetVisibility())

    def show(self, picture: Image.Image | None) -> None:
        """Put a picture there, or none."""
        self._actor.SetVisibility(picture is not None)
        if picture is not None:
            import pyvista as pv

            image = pv.ImageData(dimensions=(*picture.size, 1))
            pixels = np.asarray(picture.convert("RGBA"))[::-1]
            image.point_data["pixels"] = pixels.reshape(-1, 4)
            self._mapper.SetInputData(image)
            self.size = picture.size
            self._place()

    def _place(self) -> None:
        """Where that is in a window of the present size."""
        free = [whole - part - 2 * self.margin for whole, part in zip(self._renderer.GetSize(), self.size, strict=True)]
        place = [self.margin + max(share * room, 0.0) for share, room in zip(self.anchor, free, strict=True)]
        other = self.beneath
        if other is not None and other.shown and other.size[0] > free[0]:
            place[1] = max(place[1] - other.size[1] - self.margin, 0.0)
        self._actor.SetPosition(round(place[0]), round(place[1]))
