"""A missing library is a sentence, never the end of the process."""

import os
from collections.abc import Iterator

import pytest

from dimple.errors import DeviceError
from dimple.views.vtk import opengl as rendering

DIES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The question asked anew, as on a Linux machine without a display, and forgotten afterwards."""
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    # Set first, so that it is put back to what it was whatever the code does.
    monkeypatch.setenv(rendering.WINDOW, "")
    rendering.window_kind.cache_clear()
    yield
    rendering.window_kind.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_without_libraries_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_loads", lambda library: False)
    with pytest.raises(DeviceError, match=r"apt-get install libegl1 libgl1-mesa-dri \(or libosmesa6\)"):
        rendering.require_rendering()


@pytest.mark.usefixtures("fresh")
def test_a_library_that_crashes_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_loads", lambda library: True)
    monkeypatch.setattr(rendering, "TINY_RENDER", DIES)
    with pytest.raises(DeviceError, match="no working OpenGL"):
        rendering.require_rendering()


@pytest.mark.usefixtures("fresh")
def test_the_first_kind_that_draws_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def draws_with_osmesa(window: str) -> str:
        asked.append(window)
        return window if "OS" in window else ""

    monkeypatch.setattr(rendering, "_loads", lambda library: True)
    monkeypatch.setattr(rendering, "_try", draws_with_osmesa)
    rendering.require_rendering()
    rendering.require_rendering()
    assert asked == ["vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"]
    assert os.environ[rendering.WINDOW] == "vtkOSOpenGLRenderWindow"


@pytest.mark.usefixtures("fresh")
def test_a_display_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_try", lambda window: "vtkEGLRenderWindow")
    assert not rendering.has_display()
    monkeypatch.setenv("DISPLAY", ":4711")
    rendering.window_kind.cache_clear()
    assert not rendering.has_display()
    monkeypatch.setattr(rendering, "_try", lambda window: "vtkXOpenGLRenderWindow")
    rendering.window_kind.cache_clear()
    assert rendering.has_display()


def test_a_library_that_is_not_there_does_not_load() -> None:
    assert not rendering._loads("libthereisnosuchlibrary.so.9")
