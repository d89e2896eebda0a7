"""Memory settings of a process, made once at its start."""

import atexit
import gc

# A little less than the largest value to which glibc raises its threshold (mallopt(3), M_MMAP_THRESHOLD).
MMAP_THRESHOLD_BYTES = 28 << 20


def configure_memory() -> None:
    """Make the C library reuse freed memory, and run the garbage collector less often.

    Memory that was returned to the system must be mapped again page by page, which takes a tenth of the time of
    searches in small networks. glibc raises its threshold when a large block is freed, and then keeps blocks up to that
    size. A garbage collection is slow because large libraries hold many objects; the one at exit would take a second.
    """
    bytearray(MMAP_THRESHOLD_BYTES)
    gc.set_threshold(50_000, 10, 10)
    atexit.register(gc.freeze)
