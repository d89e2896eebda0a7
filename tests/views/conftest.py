"""Fixtures of the tests of views: a browser for pages."""

from collections.abc import Iterator

import pytest

from tests.views.browser import Browser


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened_without_webgl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser-without-webgl"), flags=("--disable-3d-apis",)) as opened:
        yield opened


@pytest.fixture
def browser_without_webgl(opened_without_webgl: Browser) -> Iterator[Browser]:
    """Yield a browser without WebGL, and check at the end of the test that its console contains no errors."""
    opened_without_webgl.errors.clear()
    yield opened_without_webgl
    assert opened_without_webgl.errors == []


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """Yield a browser, and check at the end of the test that its console contains no errors."""
    opened.errors.clear()
    yield opened
    assert opened.errors == []
