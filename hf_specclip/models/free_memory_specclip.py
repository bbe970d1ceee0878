"""Memory that a process has freed, given back to the system."""

import contextlib
import ctypes


def return_free_memory() -> None:
    """Give freed memory back, where the C library (glibc) keeps it for itself; else do nothing."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
