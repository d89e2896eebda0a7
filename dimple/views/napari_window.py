"""The viewer napari: whether it can open a window here, asked of a second process, and what its window shows."""

import functools
import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from dimple.errors import DeviceError
from dimple.views.arrangement import Arrangement, LayerData
from dimple.views.camera import VIEW_ANGLE

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
    complaint = _try()
    if "No Qt bindings" in complaint:
        raise DeviceError(f"napari has no window library; {INSTALL}")
    if "could not connect to display" in complaint:
        raise DeviceError(f"DISPLAY {os.environ.get('DISPLAY')} does not answer; look at the run's report.html instead")
    if complaint:
        raise DeviceError(f"napari cannot open a window here, as a system library is missing or broken; {PACKAGES}")


@functools.cache
def _try() -> str:
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

    viewer = napari.Viewer(title=title, show=False)
    viewer.theme = "light"
    for data, about, kind in arrangement.layers:
        viewer.add_layer(napari.layers.Layer.create(data, about, kind))
    arrange(viewer, arrangement)
    viewer.window.resize(*SIZE)
    viewer.show()
    napari.run()
