"""How a process keeps house, settled once at its beginning."""

import atexit
import gc

# As much as glibc lets its threshold rise, less a margin (mallopt(3), M_MMAP_THRESHOLD).
KEPT = 28 << 20


def settle_memory() -> None:
    """Keep memory that has been freed, and look for garbage less often.

    Memory that goes back to the system is faulted in again page by page, which takes a tenth of the time of searches in
    small networks; a large block that is freed teaches the C library to keep as much. Among the objects of large
    libraries a look for garbage takes long, the one at the end a second.
    """
    bytearray(KEPT)
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)
