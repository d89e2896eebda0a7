"""Settings and fixtures of all tests: one thread, fixed hypothesis examples, double precision, real data."""

import os
from collections.abc import Iterator
from pathlib import Path

# Set before torch is imported, here and in the programs that tests start: waiting threads would spin on small networks.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Processes take seconds to start; tests of several processes set the number themselves.
os.environ.setdefault("DIMPLE_JOBS", "1")

import pytest
import torch
from hypothesis import settings

from dimple.errors import DeviceError
from dimple.views.vtk.opengl import require_rendering

CHECKOUT = Path(__file__).resolve().parent.parent
# A program that tests of napari start; the collection of its examples would need napari, which is an extra.
collect_ignore = ["views/napari_session.py"]

torch.set_num_threads(1)
settings.register_profile("dimple", derandomize=True, deadline=None, database=None)
settings.load_profile("dimple")


@pytest.fixture(scope="session")
def rendering() -> None:
    """Skip a test if three-dimensional rendering is not available."""
    try:
        require_rendering()
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def double() -> Iterator[None]:
    """Double precision as the default type of a test."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real images and checkpoints; tests that need it are skipped if it is missing."""
    folder = Path(os.environ.get("DIMPLE_DATA") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is missing (DIMPLE_DATA names another folder)")
    return folder
