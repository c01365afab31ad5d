"""Memory that is free within this process, given back to the system.

What a process frees stays with it. glibc keeps pages that lie between others in use, and TensorFlow
keeps all that its tensors have ever taken: after RetinaFace half a gigabyte, of which 20 MB are in
use while photos are written. Both are asked here for their free pages, whose contents nobody needs.
On systems other than Linux, and with another C library, nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from functools import cache
from typing import Any

import numpy as np

_RANGE = 1 << 30  # bytes of addresses for tensors
_PIECE = 16 << 20  # bytes given back at a time: free pages lie between tensors that stay
_PIECES = 48  # three quarters of the range: what stays, such as weights, takes the rest

_is_reserved = False


def reserve_for_tensors() -> None:
    """Have TensorFlow's tensors lie in one range of addresses, if none is reserved yet.

    By itself TensorFlow takes ranges that double in size, each for what no longer fits into those
    before: 75 MB more while RetinaFace searches a tile. Addresses alone take no memory.
    """
    global _is_reserved
    if _is_reserved or _libc() is None:
        return
    _is_reserved = bool(_unset(_RANGE, 1))


def give_back() -> None:
    """Give the system the free pages of this process, also those reserved for tensors."""
    libc = _libc()
    if libc is None:
        return
    if _is_reserved:
        # A tensor that is not set may hold anything, so its pages can be exchanged for fresh ones.
        for tensor in _unset(_PIECE, _PIECES):
            piece = np.asarray(tensor)  # on a CPU no copy; if it were one, its pages alone went
            start = -(-piece.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
            stop = (piece.ctypes.data + _PIECE) // mmap.PAGESIZE * mmap.PAGESIZE
            libc.madvise(start, stop - start, mmap.MADV_DONTNEED)
    give_heap_back()


def give_heap_back() -> None:
    """Give the system the free pages of the heap; takes some milliseconds."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _libc() -> Any:
    """The C library with the functions for that; None where it has none."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        return None
    libc.malloc_trim.argtypes = [ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return libc


def _unset(size: int, count: int) -> list[Any]:
    """Make tensors of so many bytes each, none of which is written; fewer if there is no room."""
    import tensorflow as tf

    made: list[Any] = []
    with contextlib.suppress(tf.errors.ResourceExhaustedError), tf.device("CPU:0"):
        for _ in range(count):
            made.append(tf.raw_ops.Empty(shape=(size,), dtype=tf.uint8, init=False))
    return made
