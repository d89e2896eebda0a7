"""The viewer napari: whether it can open a window here, asked of a second process, and what its window shows."""

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
from dimple.views.napari.layout import Arrangement

if TYPE_CHECKING:
    import napari

INSTALL = "pip install 'dimple[napari]'"
PACKAGES = (
    "apt-get install libegl1 libgl1 libgl1-mesa-dri libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 "
    "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-shape0"
)
# Qt ends the process that asks for a window where a system library is missing, and napari one without OpenGL.
TINY_WINDOW = """
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication
application = QApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
raise SystemExit(0 if context.create() and context.makeCurrent(surface) else "no OpenGL")
"""
SIZE = (1280, 900)
LETTERS = 9
# A line of them in pixels, and what stays free below what is flat, as a share of the height.
LINE_HEIGHT, RIM = 21, 0.04


def require_napari() -> None:
    """Return if napari can open a window here; the answer is found once a process.

    Raises:
        DeviceError: if napari or its window library is not installed, there is no display, or a system library is
            missing; each with what to install.
    """
    if importlib.util.find_spec("napari") is None:
        raise DeviceError(f"napari is not installed; {INSTALL}")
    displays = [name for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    if sys.platform.startswith("linux") and not displays:
        raise DeviceError("no display for napari's window (DISPLAY is not set); look at the run's report.html instead")
    complaint = try_window()
    if "No Qt bindings" in complaint:
        raise DeviceError(f"napari has no window library; {INSTALL}")
    if "could not connect to display" in complaint:
        raise DeviceError(f"DISPLAY {os.environ.get('DISPLAY')} does not answer; look at the run's report.html instead")
    if complaint:
        raise DeviceError(f"napari cannot open a window here, as a system library is missing or broken; {PACKAGES}")


@functools.cache
def try_window() -> str:
    """What a second process says that tries to open a window; empty where it could."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", TINY_WINDOW], capture_output=True, timeout=60, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


def open_napari(arrangement: Arrangement, title: str) -> None:
    """Show the layers in a window of napari, and return when it is closed; see `require_napari` first."""
    import napari

    viewer = napari.Viewer(title=title)
    # Paper, as in every other view: dark rings mark what the network gets wrong.
    viewer.theme = "light"
    viewer.window.resize(*SIZE)
    for data, about, kind in arrangement.layers:
        getattr(viewer, f"add_{kind}")(data, **about)
    arrange(viewer, arrangement)
    napari.run()


def arrange(viewer: "napari.Viewer", arrangement: Arrangement) -> None:
    """Turn a viewer that holds nothing but the layers to where they are best seen, and give every place its caption."""
    viewer.dims.set_current_step(0, arrangement.start)
    if arrangement.camera is not None:
        for layer, (_, _, kind) in zip(viewer.layers, arrangement.layers, strict=True):
            if kind == "surface":
                _light(layer)
        _look_through(viewer, arrangement.camera)
    elif arrangement.upwards:
        viewer.scene.camera.orientation2d = ("up", "right")
        _leave_room(viewer, max(text.count("\n") for text in arrangement.captions) + 1)
    if arrangement.side_by_side:
        viewer.canvas.grid.enabled = True
        viewer.canvas.grid.spacing = 0.03
        for layer in viewer.layers:
            layer.name_overlay.visible = True
        viewer.reset_view()
    if arrangement.legend in viewer.layers:
        bar = viewer.layers[arrangement.legend].colorbar
        bar.visible, bar.position = True, "bottom_right"
    if arrangement.linked:
        viewer.layers.link_layers([viewer.layers[name] for name in arrangement.linked], ("contrast_limits", "gamma"))
    viewer.layers.selection.active = viewer.layers[arrangement.active]
    # Below the images one cell of the grid is empty.
    _caption(viewer, arrangement.captions, "bottom_right" if arrangement.side_by_side else "top_left")


def _look_through(viewer: "napari.Viewer", camera: Camera) -> None:
    viewer.dims.ndisplay = 3
    eye = viewer.scene.camera
    eye.orientation = ("towards", "up", "right")
    eye.perspective = VIEW_ANGLE
    viewer.reset_view()
    eye.set_view_direction(tuple(camera.forward[::-1]), tuple(camera.up[::-1]))


def _leave_room(viewer: "napari.Viewer", lines: int) -> None:
    """Show what is flat below so many lines of a caption."""
    height, eye = viewer.canvas.size[0], viewer.scene.camera
    share = min(LINE_HEIGHT * (lines + 1) / height, 0.6)
    viewer.reset_view(margin=share + RIM)
    depth, middle, across = eye.center
    eye.center = (depth, middle + (share - RIM) / 2 * height / eye.zoom, across)


def _light(surface: Any) -> None:
    """Keep a surface where it is, but let its own transform mirror it.

    napari 0.9 lights surfaces from behind where axes are right-handed as those of space are; a mirror turns its lamp.
    """
    mirror = np.ones(surface.ndim)
    mirror[-1] = -1.0
    vertices, faces, values = surface.data
    surface.data = (vertices * mirror.astype(vertices.dtype), faces, values)
    surface.scale = mirror


def _caption(viewer: "napari.Viewer", captions: Sequence[str], place: str) -> None:
    def show() -> None:
        viewer.canvas.overlays.text.text = captions[min(viewer.dims.current_step[0], len(captions) - 1)]

    text = viewer.canvas.overlays.text
    text.position, text.font_size, text.visible = place, LETTERS, True
    viewer.dims.events.current_step.connect(show)
    show()
