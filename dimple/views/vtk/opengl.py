"""Search for an OpenGL library that can draw.

The search runs in a second process, because a missing or broken library ends the process that uses it.
"""

import ctypes
import functools
import os
import subprocess
import sys
from typing import Any

from dimple.errors import DeviceError

# VTK reads the class of its windows from this environment variable, and offers no other way to choose it.
WINDOW_CLASS_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
# Height in pixels of the title bar of a window and the task bar of the desktop together.
WINDOW_BARS_HEIGHT = 80
SYSTEM_PACKAGES = "apt-get install libegl1 libgl1-mesa-dri (or libosmesa6)"
# Libraries of each class of off-screen window, in order of preference.
OFFSCREEN_LIBRARIES = {
    "vtkEGLRenderWindow": ("libEGL.so.1",),
    "vtkOSOpenGLRenderWindow": ("libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"),
}
# Renders a tiny off-screen image and prints the class of the window that VTK chose.
RENDER_TEST_SCRIPT = """
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
    """Check that this machine can draw in three dimensions. The result is cached for the process.

    Where no window can appear, this also selects the off-screen window class: EGL if its library is present, otherwise
    OSMesa.

    Raises:
        DeviceError: if nothing can draw; it names the system packages to install.

    Example:
        >>> require_rendering()
    """
    if not find_window_class():
        raise DeviceError(f"no working OpenGL library for drawing in three dimensions; install one: {SYSTEM_PACKAGES}")


def has_display() -> bool:
    """Return whether a window can appear: an X server answers, or the system is not Linux. Cached for the process."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY")) and find_window_class() not in OFFSCREEN_LIBRARIES


def fit_to_screen(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of a window in pixels, reduced where the screen minus its bars is smaller."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    screen = vtkRenderWindow().GetScreenSize()
    # Without a screen VTK reports a size of 0.
    return (min(size[0], screen[0]), min(size[1], screen[1] - WINDOW_BARS_HEIGHT)) if all(screen) else size


def is_software_rendered(window: Any) -> bool:
    """Return whether a VTK window is drawn without a graphics card, where anti-aliasing is slower than the scene."""
    capabilities = window.ReportCapabilities()
    return any(name in capabilities for name in ("llvmpipe", "softpipe", "swrast"))


@functools.cache
def find_window_class() -> str:
    """Return the name of the first VTK window class that can draw on this machine; empty if there is none.

    An off-screen class is also written to the environment variable `WINDOW_CLASS_VARIABLE`.
    """
    for candidate in _candidate_window_classes():
        window_class = _try_window_class(candidate)
        if window_class in OFFSCREEN_LIBRARIES:
            os.environ[WINDOW_CLASS_VARIABLE] = window_class
        if window_class:
            return window_class
    return ""


def _candidate_window_classes() -> list[str]:
    """Return the window classes to try, in this order; an empty name stands for VTK's default."""
    if not sys.platform.startswith("linux"):
        return [""]
    chosen = os.environ.get(WINDOW_CLASS_VARIABLE)
    off_screen = [name for name, files in OFFSCREEN_LIBRARIES.items() if any(_is_loadable(file) for file in files)]
    first = [chosen] if chosen else [""] if os.environ.get("DISPLAY") else []
    return first + [name for name in off_screen if name != chosen]


def _is_loadable(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _try_window_class(window_class: str) -> str:
    """Return the class of the window in which a second process rendered a tiny image; empty if it failed."""
    environment = {**os.environ, WINDOW_CLASS_VARIABLE: window_class} if window_class else dict(os.environ)
    try:
        done = subprocess.run(
            [sys.executable, "-c", RENDER_TEST_SCRIPT],
            env=environment,
            capture_output=True,
            timeout=60,
            text=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
