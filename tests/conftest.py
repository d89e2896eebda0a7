"""What every test stands on: one thread, the same hypothesis examples every time, double precision, real data."""

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch comes in, here and in the programs that tests start: threads that wait would spin on small networks.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Processes cost seconds to start; the tests that are about them ask for them.
os.environ.setdefault("DIMPLE_JOBS", "1")

import pytest
import torch
from hypothesis import settings

from dimple.errors import DeviceError
from dimple.views.vtk.opengl import require_rendering

CHECKOUT = Path(__file__).resolve().parent.parent
# A program that napari's tests start; looked through for examples it would need napari, which is an extra.
collect_ignore = ["views/napari_session.py"]

torch.set_num_threads(1)
settings.register_profile("dimple", derandomize=True, deadline=None, database=None)
settings.load_profile("dimple")


@pytest.fixture(scope="session")
def rendering() -> None:
    """Skips where nothing can draw in three dimensions."""
    try:
        require_rendering()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision for everything that the test makes without naming a type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real images and checkpoints; a test that needs it is skipped where it is missing."""
    folder = Path(os.environ.get("DIMPLE_DATA") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is missing (DIMPLE_DATA names another folder)")
    return folder
