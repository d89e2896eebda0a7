"""Views are tested on scenes whose pictures are known; those in space need a library that can draw."""

from collections.abc import Iterator

import pytest

from tests.views.browser import Browser


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def browser(opened: Browser) -> Iterator[Browser]:
    """A browser whose console has nothing to complain of in the end."""
    opened.errors.clear()
    yield opened
    assert opened.errors == []
