"""An image at a fixed position of a VTK renderer, in front of the scene, pixel by pixel."""

from typing import TYPE_CHECKING, Any, final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import pyvista as pv


@final
class Overlay:
    """A slot for an image within a renderer. It keeps its relative position when the window changes its size.

    Args:
        renderer: the image is drawn into it.
        anchor: the position, as fractions of the free width and height: (0, 1) is the upper left corner, (0.5, 0.5) the
            center.
        padding: pixels between the image and the edge of the renderer.
        obstacle: another overlay at the same height. Where the width is too small for both, this one moves below it.

    Attributes:
        size: width and height of the last image in pixels; (0, 0) before the first.
    """

    def __init__(
        self,
        renderer: "pv.Renderer",
        anchor: tuple[float, float],
        padding: int = 6,
        obstacle: "Overlay | None" = None,
    ) -> None:
        from vtkmodules.vtkRenderingCore import vtkActor2D, vtkImageMapper

        self.anchor = anchor
        self.padding = padding
        self.obstacle = obstacle
        self.size = (0, 0)
        self._renderer = renderer
        self._mapper: Any = vtkImageMapper()
        # These two settings keep values from 0 to 255 unchanged.
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor: Any = vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetPositionCoordinate().SetCoordinateSystemToViewport()
        # In front of the billboards.
        self._actor.SetLayerNumber(1)
        self._actor.VisibilityOff()
        renderer.AddViewProp(self._actor)
        renderer.AddObserver("StartEvent", lambda *_: self._update_position())

    @property
    def is_visible(self) -> bool:
        """True while an image is shown."""
        return bool(self._actor.GetVisibility())

    def show(self, image: Image.Image | None) -> None:
        """Show an image; None hides the overlay."""
        self._actor.SetVisibility(image is not None)
        if image is not None:
            import pyvista as pv

            grid = pv.ImageData(dimensions=(*image.size, 1))
            pixels = np.asarray(image.convert("RGBA"))[::-1]
            grid.point_data["pixels"] = pixels.reshape(-1, 4)
            self._mapper.SetInputData(grid)
            self.size = image.size
            self._update_position()

    def _update_position(self) -> None:
        """Place the image in a window of the present size."""
        free = [
            total - part - 2 * self.padding for total, part in zip(self._renderer.GetSize(), self.size, strict=True)
        ]
        position = [self.padding + max(a * length, 0.0) for a, length in zip(self.anchor, free, strict=True)]
        other = self.obstacle
        if other is not None and other.is_visible and other.size[0] > free[0]:
            position[1] = max(position[1] - other.size[1] - self.padding, 0.0)
        self._actor.SetPosition(round(position[0]), round(position[1]))
