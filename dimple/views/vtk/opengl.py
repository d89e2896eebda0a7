"""Is there an OpenGL library that can draw? Asked of a second process, for a missing one ends the process that asks."""

import ctypes
import functools
import os
import subprocess
import sys
from typing import Any

from dimple.errors import DeviceError

# VTK takes the kind of its windows from this variable, and has no other way to be told.
WINDOW = "VTK_DEFAULT_OPENGL_WINDOW"
# Of a window and of the desktop, in pixels.
BARS = 80
PACKAGES = "apt-get install libegl1 libgl1-mesa-dri (or libosmesa6)"
# The library that each kind of window off the screen loads, in order of preference.
OFF_SCREEN = {
    "vtkEGLRenderWindow": ("libEGL.so.1",),
    "vtkOSOpenGLRenderWindow": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"),
}
TINY_RENDER = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.AddRenderer(vtkRenderer())
window.Render()
print(window.GetClassName())
raise SystemExit(0 if window.SupportsOpenGL() else 3)
"""


def require_rendering() -> None:
    """Return if this machine can draw in three dimensions; the answer is found once a process.

    Where no window can appear, the kind of off-screen drawing is chosen too: EGL where its library is present, OSMesa
    otherwise.

    Raises:
        DeviceError: if neither can draw, naming the system packages to install.

    Example:
        >>> require_rendering()
    """
    if not window_kind():
        raise DeviceError(f"no working OpenGL library to draw in three dimensions was found; install one: {PACKAGES}")


def has_display() -> bool:
    """Whether a window can appear: an X server answers, or the system needs none; finds out once a process."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY")) and window_kind() not in OFF_SCREEN


def fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The size of a window in pixels, made smaller where the screen is; its bars need some room as well."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    screen = vtkRenderWindow().GetScreenSize()
    return (min(size[0], screen[0]), min(size[1], screen[1] - BARS)) if all(screen) else size


def by_processor(window: Any) -> bool:
    """Whether a window is drawn without a graphics card, where to smooth edges costs more than to draw the scene."""
    capabilities = window.ReportCapabilities()
    return any(name in capabilities for name in ("llvmpipe", "softpipe", "swrast"))


@functools.cache
def window_kind() -> str:
    """VTK's name for the kind of window that it can draw in here; empty if there is none."""
    for window in _candidates():
        kind = _try(window)
        if kind in OFF_SCREEN:
            os.environ[WINDOW] = kind
        if kind:
            return kind
    return ""


def _candidates() -> list[str]:
    """The kinds of window worth a try; the empty name is VTK's own choice."""
    if not sys.platform.startswith("linux"):
        return [""]
    chosen = os.environ.get(WINDOW)
    off_screen = [kind for kind, names in OFF_SCREEN.items() if any(_loads(name) for name in names)]
    first = [chosen] if chosen else [""] if os.environ.get("DISPLAY") else []
    return first + [kind for kind in off_screen if kind != chosen]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _try(window: str) -> str:
    """The kind of window in which a second process survived a tiny render, asked for by name; empty if it did not."""
    environment = {**os.environ, WINDOW: window} if window else dict(os.environ)
    try:
        done = subprocess.run(
            [sys.executable, "-c", TINY_RENDER],
            env=environment,
            capture_output=True,
            timeout=60,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
