"""The window of napari: a check that it can open on this machine, and the layout of its layers.

The check runs in a second process, because Qt ends a process in which it cannot open a window.
"""

import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dimple.errors import DeviceError
from dimple.views.content.camera import VIEW_ANGLE, Camera
from dimple.views.napari.layout import NapariLayout

if TYPE_CHECKING:
    import napari

INSTALL_COMMAND = "pip install '.[napari]' in the checkout"
SYSTEM_PACKAGES = (
    "apt-get install libegl1 libgl1 libgl1-mesa-dri libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0"
)
# Creates a Qt application with an OpenGL context. A missing system library or OpenGL ends the process.
WINDOW_TEST_SCRIPT = """
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication
application = QApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
raise SystemExit(0 if context.create() and context.makeCurrent(surface) else "no OpenGL")
"""
# Width and height in pixels.
WINDOW_SIZE = (1280, 900)
CAPTION_FONT_SIZE = 9
# Height of a line of a caption in pixels.
LINE_HEIGHT = 21
# Fraction of the height of the canvas that stays free below a 2-D scene.
BOTTOM_FREE_FRACTION = 0.04
# Largest fraction of the height of the canvas that a caption takes above a 2-D scene.
MAX_CAPTION_FRACTION = 0.6


def require_napari() -> None:
    """Check that napari can open a window on this machine. The result is cached for the process.

    Raises:
        DeviceError: if napari, its window library, a display or a system library is missing; it names what to install.
    """
    if importlib.util.find_spec("napari") is None:
        raise DeviceError(f"napari is not installed; {INSTALL_COMMAND}")
    displays = [name for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    if sys.platform.startswith("linux") and not displays:
        raise DeviceError("no display for napari's window (DISPLAY is not set); look at the run's report.html instead")
    error = find_window_error()
    if "No Qt bindings" in error:
        raise DeviceError(f"napari has no window library; {INSTALL_COMMAND}")
    if "could not connect to display" in error:
        raise DeviceError(f"DISPLAY {os.environ.get('DISPLAY')} does not answer; look at the run's report.html instead")
    if error:
        raise DeviceError(
            f"napari cannot open a window here, as a system library is missing or broken; {SYSTEM_PACKAGES}"
        )


@functools.cache
def find_window_error() -> str:
    """Return the error output of a second process that tries to open a window; empty if it succeeds."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", WINDOW_TEST_SCRIPT], capture_output=True, timeout=60, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


def open_napari(layout: NapariLayout, title: str) -> None:
    """Show the layers in a window of napari until it is closed; call `require_napari` first."""
    import napari

    viewer = napari.Viewer(title=title)
    # A light background as in every other view, on which the dark rings of misclassified points are visible.
    viewer.theme = "light"
    viewer.window.resize(*WINDOW_SIZE)
    for data, options, kind in layout.layers:
        getattr(viewer, f"add_{kind}")(data, **options)
    apply_layout(viewer, layout)
    napari.run()


def apply_layout(viewer: "napari.Viewer", layout: NapariLayout) -> None:
    """Apply a layout to a viewer that contains exactly its layers: camera, grid, color bar, links and captions."""
    viewer.dims.set_current_step(0, layout.start_index)
    if layout.camera is not None or layout.y_axis_up:
        viewer.canvas.overlays.axes.visible = True
    if layout.camera is not None:
        for layer, (_, _, kind) in zip(viewer.layers, layout.layers, strict=True):
            if kind == "surface":
                _mirror_for_lighting(layer)
        _set_camera(viewer, layout.camera)
    elif layout.y_axis_up:
        viewer.scene.camera.orientation2d = ("up", "right")
        _reserve_caption_space(viewer, max(text.count("\n") for text in layout.captions) + 1)
    if layout.side_by_side:
        viewer.canvas.grid.enabled = True
        viewer.canvas.grid.spacing = 0.03
        for layer in viewer.layers:
            layer.name_overlay.visible = True
        viewer.reset_view()
    if layout.color_bar_layer in viewer.layers:
        color_bar = viewer.layers[layout.color_bar_layer].colorbar
        color_bar.visible = True
        color_bar.position = "bottom_right"
    if layout.linked_layers:
        viewer.layers.link_layers([viewer.layers[name] for name in layout.linked_layers], ("contrast_limits", "gamma"))
    viewer.layers.selection.active = viewer.layers[layout.active_layer]
    # With layers side by side, the last cell of the grid is empty.
    _show_captions(viewer, layout.captions, "bottom_right" if layout.side_by_side else "top_left")


def _set_camera(viewer: "napari.Viewer", camera: Camera) -> None:
    viewer.dims.ndisplay = 3
    napari_camera = viewer.scene.camera
    napari_camera.orientation = ("towards", "up", "right")
    napari_camera.perspective = VIEW_ANGLE
    viewer.reset_view()
    napari_camera.set_view_direction(tuple(camera.forward[::-1]), tuple(camera.up[::-1]))


def _reserve_caption_space(viewer: "napari.Viewer", num_lines: int) -> None:
    """Move a 2-D scene below a caption with a number of lines."""
    height = viewer.canvas.size[0]
    camera = viewer.scene.camera
    fraction = min(LINE_HEIGHT * (num_lines + 1) / height, MAX_CAPTION_FRACTION)
    viewer.reset_view(margin=fraction + BOTTOM_FREE_FRACTION)
    z, y, x = camera.center
    camera.center = (z, y + (fraction - BOTTOM_FREE_FRACTION) / 2 * height / camera.zoom, x)


def _mirror_for_lighting(surface: Any) -> None:
    """Mirror the data of a surface and mirror it back by its transform, so that it stays at its position.

    With right-handed axes, napari 0.9 lights surfaces from behind; a mirroring transform brings the light to the front.
    """
    mirror = np.ones(surface.ndim)
    mirror[-1] = -1.0
    vertices, faces, values = surface.data
    surface.data = (vertices * mirror.astype(vertices.dtype), faces, values)
    surface.scale = mirror


def _show_captions(viewer: "napari.Viewer", captions: Sequence[str], position: str) -> None:
    def update() -> None:
        viewer.canvas.overlays.text.text = captions[min(viewer.dims.current_step[0], len(captions) - 1)]

    text = viewer.canvas.overlays.text
    text.position = position
    text.font_size = CAPTION_FONT_SIZE
    text.visible = True
    viewer.dims.events.current_step.connect(update)
    update()
