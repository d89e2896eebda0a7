"""Views are tested on scenes whose pictures are known; those in space need a library that can draw."""

import pytest

from dimple.errors import DeviceError
from dimple.views.rendering import require_rendering


@pytest.fixture(scope="session")
def rendering() -> None:
    """Skips where nothing can draw in three dimensions."""
    try:
        require_rendering()
    except DeviceError as error:
        pytest.skip(str(error))
