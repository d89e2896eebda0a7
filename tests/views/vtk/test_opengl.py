"""A missing OpenGL library gives an error message and does not end the process."""

import os
from collections.abc import Iterator

import pytest

from dimple.errors import DeviceError
from dimple.views.vtk import opengl

CRASHING_SCRIPT = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture
def uncached(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clear the cached result before and after, and simulate a Linux machine without a display."""
    monkeypatch.setattr(opengl.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    # Set here, so that monkeypatch restores the former value in every case.
    monkeypatch.setenv(opengl.WINDOW_CLASS_VARIABLE, "")
    opengl.find_window_class.cache_clear()
    yield
    opengl.find_window_class.cache_clear()


@pytest.mark.usefixtures("uncached")
def test_without_libraries_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_is_loadable", lambda library: False)
    with pytest.raises(DeviceError, match=r"apt-get install libegl1 libgl1-mesa-dri \(or libosmesa6\)"):
        opengl.require_rendering()


@pytest.mark.usefixtures("uncached")
def test_a_library_that_crashes_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_is_loadable", lambda library: True)
    monkeypatch.setattr(opengl, "RENDER_TEST_SCRIPT", CRASHING_SCRIPT)
    with pytest.raises(DeviceError, match="no working OpenGL"):
        opengl.require_rendering()


@pytest.mark.usefixtures("uncached")
def test_the_first_window_class_that_draws_is_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def try_osmesa_only(window_class: str) -> str:
        tried.append(window_class)
        return window_class if "OS" in window_class else ""

    monkeypatch.setattr(opengl, "_is_loadable", lambda library: True)
    monkeypatch.setattr(opengl, "_try_window_class", try_osmesa_only)
    opengl.require_rendering()
    opengl.require_rendering()
    assert tried == ["vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow"]
    assert os.environ[opengl.WINDOW_CLASS_VARIABLE] == "vtkOSOpenGLRenderWindow"


@pytest.mark.usefixtures("uncached")
def test_a_display_that_does_not_answer_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_try_window_class", lambda window_class: "vtkEGLRenderWindow")
    assert not opengl.has_display()
    monkeypatch.setenv("DISPLAY", ":4711")
    opengl.find_window_class.cache_clear()
    assert not opengl.has_display()
    monkeypatch.setattr(opengl, "_try_window_class", lambda window_class: "vtkXOpenGLRenderWindow")
    opengl.find_window_class.cache_clear()
    assert opengl.has_display()


def test_a_missing_library_is_not_loadable() -> None:
    assert not opengl._is_loadable("libthereisnosuchlibrary.so.9")
