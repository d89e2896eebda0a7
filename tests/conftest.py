"""Settings and fixtures of all tests: one thread, fixed hypothesis examples, double precision, real data."""

import gc
import os
import shutil
import sys
import tempfile
import time
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
from dimple.runs.lock import owner_mark
from dimple.views.vtk.opengl import require_rendering

CHECKOUT = Path(__file__).resolve().parent.parent
# A program that tests of napari start; the collection of its examples would need napari, which is an extra.
collect_ignore = ["views/napari_session.py"]

torch.set_num_threads(1)
settings.register_profile("dimple", derandomize=True, deadline=None, database=None)
settings.load_profile("dimple")


# The environment variable that marks all processes that the tests start, and the seconds within which they have to end.
MARK = "DIMPLE_TEST_SESSION"
SECONDS_TO_END = 10.0


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail if the tests leave a process, a temporary file or a semaphore; where Linux shows them."""
    # The folders of the tests stay where they are; torch keeps what it has compiled.
    compiled = tmp_path_factory.mktemp("compiled")
    # The sockets of some programs need a short path.
    folder = Path(tempfile.mkdtemp(prefix="dimple-tests-"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(MARK, folder.name)
        patched.setenv("TMPDIR", str(folder))
        patched.setenv("TORCHINDUCTOR_CACHE_DIR", str(compiled))
        patched.setattr(tempfile, "tempdir", str(folder))
        yield
    # A semaphore ends with the objects that hold it.
    gc.collect()
    deadline = time.monotonic() + SECONDS_TO_END
    while (left := _list_left(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
    # Elsewhere the files of a process that ends stay for a while.
    assert sys.platform != "linux" or not left, f"the tests leave {', '.join(left)}"


def _list_left(folder: Path) -> list[str]:
    """Return the files in the folder, the processes with its mark, and the semaphores of this process."""
    # What this process has unpacked goes when it ends.
    files = [file.relative_to(folder).as_posix() for file in folder.rglob("*")]
    left = [f"a file {name}" for name in files if owner_mark() not in name][:20]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            is_marked = f"{MARK}={folder.name}".encode() in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        # The tracker of semaphores ends with this process.
        if is_marked and words != [""] and not any("resource_tracker" in word for word in words):
            left.append(f"a process {process.name} {' '.join(words)[:200]}")
    return left + [f"a semaphore {file.name}" for file in Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*")]


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
